package node_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/node"
	"github.com/ringback/ringback/internal/simulate"
)

// streamed returns a request whose answer can be watched as it grows.
func streamed(model string) ringback.Request {
	return ringback.Request{Model: model, Prompt: "Tell me what a webhook is.", Stream: true}
}

// next waits for events of a stream, and returns them.
func next(ctx context.Context, s *node.Stream) ([]ringback.StreamEvent, error) {
	if err := s.Wait(ctx); err != nil {
		return nil, err
	}
	events, err := s.Ready()
	if len(events) > 0 {
		s.Advance(&events[len(events)-1])
	}
	return events, err
}

// watch opens the events of a job.
func (w *world) watch(id string, after ringback.EventID) *node.Stream {
	w.t.Helper()
	s, err := w.node.Stream(w.t.Context(), "default", id, after, false)
	must(w.t, err)
	return s
}

// events reads the events of a job to the end, and closes the stream.
func (w *world) events(id string, after ringback.EventID) (events []ringback.StreamEvent) {
	w.t.Helper()
	s := w.watch(id, after)
	defer s.Close()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	for {
		some, err := next(ctx, s)
		if errors.Is(err, io.EOF) {
			return events
		}
		must(w.t, err)
		events = append(events, some...)
	}
}

// grown returns what a reader makes of events: the text of the last attempt.
func grown(events []ringback.StreamEvent) string {
	var text strings.Builder
	for _, e := range events {
		switch {
		case e.Type == ringback.EventRetrying:
			text.Reset()
		case e.Delta != nil && e.Kind == ringback.DeltaText:
			text.WriteString(e.Text)
		}
	}
	return text.String()
}

// types returns the types of events; deltas in a row count as one.
func types(events []ringback.StreamEvent) (all []ringback.EventType) {
	for _, e := range events {
		if len(all) == 0 || e.Type != ringback.EventDelta || all[len(all)-1] != ringback.EventDelta {
			all = append(all, e.Type)
		}
	}
	return all
}

func TestAnAnswerIsWatchedFromItsBeginningToItsEnd(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	id := w.submit(streamed("sim/echo")).ID
	live := w.events(id, ringback.EventID{})
	job := w.end(id)
	want := []ringback.EventType{ringback.EventQueued, ringback.EventStarted, ringback.EventDelta, ringback.EventCompleted}
	if diff := cmp.Diff(want, types(live)); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	last := live[len(live)-1]
	if grown(live) != *job.Result || *last.Job.Result != *job.Result || last.Job.Response != nil {
		t.Errorf("text: got %q and %v at the end, want %q", grown(live), last.Job.Result, *job.Result)
	}
	for i, e := range live {
		if diff := cmp.Diff(append([]ringback.StreamEvent{}, live[i+1:]...), append([]ringback.StreamEvent{}, w.events(id, e.EventID)...), sameURL); diff != "" {
			t.Fatalf("later, behind %s (-want +got):\n%s", e.EventID, diff)
		}
	}
}

// sameURL lets tokens differ.
var sameURL = cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".StreamURL" }, cmp.Ignore())

func TestANewAttemptIsSaidPlainly(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	id := w.submit(streamed("sim/break-off")).ID
	live := w.events(id, ringback.EventID{})
	job := w.end(id)
	if job.Status == ringback.Completed && grown(live) != *job.Result {
		t.Errorf("text: got %q, want %q", grown(live), *job.Result)
	}
	for i, e := range live {
		if e.Type == ringback.EventRetrying && (live[i+1].Type != ringback.EventStarted || live[i+1].Attempt != e.Attempt) {
			t.Errorf("behind job.retrying %s: got %s %s, want the start of that attempt", e.EventID, live[i+1].Type, live[i+1].EventID)
		}
	}
	if n := strings.Count(strings.Join(texts(types(live)), " "), "job.retrying"); n != job.Attempts-1 {
		t.Errorf("job.retrying: got %d for %d attempts", n, job.Attempts)
	}
	if diff := cmp.Diff(live, w.events(id, ringback.EventID{}), sameURL); diff != "" {
		t.Errorf("later (-live +later):\n%s", diff)
	}
}

func texts[T ~string](all []T) (out []string) {
	for _, v := range all {
		out = append(out, string(v))
	}
	return out
}

// A process that dies loses its events. Those of its successor come after them.
func TestAReaderComesBackAfterACrash(t *testing.T) {
	t.Parallel()
	held := make(chan struct{})
	first := start(t, setup{node: impatient, hold: func(c simulate.Call) <-chan struct{} {
		if c.Number == 1 {
			return held
		}
		return nil
	}})
	id := first.submit(streamed("sim/echo")).ID
	s := first.watch(id, ringback.EventID{})
	var seen ringback.EventID
	for seen.Attempt == 0 {
		events, err := next(t.Context(), s)
		must(t, err)
		seen = events[len(events)-1].EventID
	}
	s.Close()
	second := start(t, setup{dir: first.kill(), from: first})
	close(held)
	rest := second.events(id, seen)
	want := []ringback.EventType{ringback.EventRetrying, ringback.EventStarted, ringback.EventDelta, ringback.EventCompleted}
	if diff := cmp.Diff(want, types(rest)); diff != "" {
		t.Errorf("events behind %s (-want +got):\n%s", seen, diff)
	}
	if job := second.end(id); grown(rest) != *job.Result {
		t.Errorf("text: got %q, want %q", grown(rest), *job.Result)
	}
}

func TestAJobWithoutStreamSaysThatItBeganAndEnded(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	r := streamed("sim/echo")
	r.Stream = false
	id := w.submit(r).ID
	got := w.events(id, ringback.EventID{})
	if diff := cmp.Diff([]ringback.EventType{ringback.EventQueued, ringback.EventCompleted}, types(got)); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestAJobThatIsCancelledShowsItsEndAtOnce(t *testing.T) {
	t.Parallel()
	w := start(t, setup{node: impatient, hold: func(simulate.Call) <-chan struct{} { return make(chan struct{}) }})
	id := w.submit(streamed("sim/echo")).ID
	s := w.watch(id, ringback.EventID{})
	defer s.Close()
	var began time.Time
	for {
		events, err := next(t.Context(), s)
		must(t, err)
		switch events[len(events)-1].Type {
		case ringback.EventStarted:
			began = time.Now()
			_, err := w.node.Cancel(t.Context(), "default", id)
			must(t, err)
		case ringback.EventCancelled:
			took := time.Since(began)
			t.Logf("the end showed %s after the cancel", took)
			if took >= 10*time.Second { // by then everything that is looked at from time to time has been
				t.Errorf("that is not at once")
			}
			return
		}
	}
}

func TestAJobThatNobodyWatchesAnyMoreIsCancelledIfThatIsWanted(t *testing.T) {
	t.Parallel()
	w := start(t, setup{node: impatient, hold: func(simulate.Call) <-chan struct{} { return make(chan struct{}) }})
	r := streamed("sim/echo")
	stays := w.submit(r).ID
	r.OnDisconnect = ringback.DisconnectCancel
	goes, resumed := w.submit(r).ID, w.submit(r).ID
	for _, id := range []string{stays, goes, resumed} {
		s := w.watch(id, ringback.EventID{})
		_, err := next(t.Context(), s)
		must(t, err)
		s.Close()
	}
	back := w.watch(resumed, ringback.EventID{})
	defer back.Close()
	// (Waiting for its end would watch it.)
	w.eventually("the cancel", func() bool { return w.job(goes).Status == ringback.Cancelled })
	for _, id := range []string{stays, resumed} {
		job, err := w.node.Job(t.Context(), "default", id, false)
		must(t, err)
		if job.Status != ringback.Running {
			t.Errorf("job %s: got %s, want running", id, job.Status)
		}
	}
}

func TestATokenOpensOneJobForAnHour(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	job := w.submit(streamed("sim/echo"))
	job, err := w.node.Job(t.Context(), "default", job.ID, false)
	must(t, err)
	_, token, _ := strings.Cut(job.StreamURL, "?token=")
	if !w.node.Opens(job.ID, token) {
		t.Error("the token does not open its job")
	}
	if w.node.Opens("01a212d5-c121-7c27-8612-b0a55f1c71ca", token) {
		t.Error("the token opens another job")
	}
	for _, bad := range []string{"", "x", token[1:], token[:len(token)-1] + "_", strings.Repeat("A", len(token))} {
		if bad != token && w.node.Opens(job.ID, bad) {
			t.Errorf("%q opens the job", bad)
		}
	}
}
