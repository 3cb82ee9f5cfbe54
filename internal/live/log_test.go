package live

import (
	"bytes"
	"context"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/ringback/ringback"
)

var errOver = errors.New("over")

// readAll reads a log from after to its end.
func readAll(t testing.TB, l *Log, after ringback.EventID) (events []ringback.StreamEvent) {
	t.Helper()
	for {
		some, err := l.Next(t.Context(), after, false)
		if errors.Is(err, io.EOF) {
			return events
		}
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, some...)
		after = some[len(some)-1].EventID
	}
}

// textOf returns the text that a reader has after these events: that of the last attempt.
func textOf(events []ringback.StreamEvent) (text string) {
	for _, e := range events {
		switch {
		case e.Type == ringback.EventRetrying:
			text = ""
		case e.Delta != nil && e.Kind == ringback.DeltaText:
			text += e.Text
		}
	}
	return text
}

// written returns a log with some attempts, and the text of the last one.
func written(t *rapid.T) (l *Log, text string) {
	l = NewLog("a-job")
	attempts := rapid.IntRange(1, 3).Draw(t, "attempts")
	for a := 1; a <= attempts; a++ {
		number := int64(2*a - 1)
		if a > 1 {
			l.Add(number, ringback.StreamEvent{Type: ringback.EventRetrying, Timestamp: at(a)})
		}
		l.Add(number, ringback.StreamEvent{Type: ringback.EventStarted, Model: "m", Timestamp: at(a)})
		text = ""
		for _, piece := range rapid.SliceOfN(rapid.SampledFrom([]string{"a", "€", "", "long, " + strings.Repeat("x", 100)}), 0, 20).Draw(t, "pieces") {
			kind := rapid.SampledFrom([]ringback.DeltaKind{ringback.DeltaText, ringback.DeltaThinking, ringback.DeltaToolInput}).Draw(t, "kind")
			l.Delta(number, ringback.Delta{Kind: kind, Index: len(text) % 3, Text: piece})
			if kind == ringback.DeltaText {
				text += piece
			}
		}
	}
	return l, text
}

func at(n int) ringback.Time { return ringback.Time{Time: time.UnixMilli(int64(n)).UTC()} }

func end(l *Log) ringback.StreamEvent {
	id := l.Last()
	id.Number++
	e := ringback.StreamEvent{Type: ringback.EventCompleted, JobID: "a-job", EventID: id, Job: &ringback.Job{}}
	l.End(e)
	return e
}

// A reader that resumes at an event gets exactly the events after it. A log that was stored
// and loaded again is the same.
func TestWhoeverResumesGetsTheRest(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		l, text := written(rt)
		encoded := l.Encode()
		end(l)
		all := readAll(t, l, ringback.EventID{})
		if got := textOf(all); got != text {
			rt.Fatalf("text: got %q, want %q", got, text)
		}
		for i, e := range all {
			if i > 0 && e.Compare(all[i-1].EventID) <= 0 {
				rt.Fatalf("event %s comes after %s", e.EventID, all[i-1].EventID)
			}
			if diff := cmp.Diff(all[i+1:], readAll(t, l, e.EventID), equateEmpty); diff != "" {
				rt.Fatalf("after %s (-want +got):\n%s", e.EventID, diff)
			}
		}
		again := NewLog("a-job")
		for range 2 { // the log skips what it has
			for events, err := range decode(bytes.NewReader(encoded), func(frame) {}) {
				if err != nil {
					rt.Fatal(err)
				}
				again.Append(events...)
			}
		}
		end(again)
		if diff := cmp.Diff(all, readAll(t, again, ringback.EventID{})); diff != "" {
			rt.Fatalf("stored and loaded again (-want +got):\n%s", diff)
		}
	})
}

var equateEmpty = cmp.Comparer(func(a, b []ringback.StreamEvent) bool {
	return len(a) == 0 && len(b) == 0 || cmp.Equal(a, b)
})

func TestAReaderWaitsForEventsAndForTheEnd(t *testing.T) {
	l := NewLog("a-job")
	got := make(chan []ringback.StreamEvent)
	go func() { got <- readAll(t, l, ringback.EventID{}) }()
	l.Add(1, ringback.StreamEvent{Type: ringback.EventStarted})
	for range 100 {
		l.Delta(1, ringback.Delta{Kind: ringback.DeltaText, Text: "x"})
	}
	e := end(l)
	events := <-got
	if text := textOf(events); text != strings.Repeat("x", 100) || events[len(events)-1].EventID != e.EventID {
		t.Errorf("got %d events with %d bytes of text, the last %s", len(events), len(text), events[len(events)-1].EventID)
	}
}

func TestAReaderLeavesWhenItsContextEnds(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errOver)
	if _, err := NewLog("a-job").Next(ctx, ringback.EventID{}, false); !errors.Is(err, errOver) {
		t.Errorf("got %v, want the cause", err)
	}
}

func TestTheEndIsReadWhateverWasReadBefore(t *testing.T) {
	l := NewLog("a-job")
	e := end(l)
	if got := readAll(t, l, ringback.EventID{Attempt: 1, Number: 57}); len(got) != 1 {
		t.Errorf("after an event that is lost: got %d events, want the end", len(got))
	}
	if got := readAll(t, l, e.EventID); len(got) != 0 {
		t.Errorf("after the end: got %d events, want none", len(got))
	}
}

func TestAFailureIsReadBehindWhatIsThere(t *testing.T) {
	l := NewLog("a-job")
	l.Add(1, ringback.StreamEvent{Type: ringback.EventStarted})
	l.Fail(errOver)
	events, err := l.Next(t.Context(), ringback.EventID{}, false)
	if len(events) != 1 || err != nil {
		t.Fatalf("got %d events and %v, want one", len(events), err)
	}
	if _, err := l.Next(t.Context(), events[0].EventID, false); !errors.Is(err, errOver) {
		t.Errorf("got %v, want the failure", err)
	}
}

// A very long answer has a bounded number of events, and loses nothing.
func TestPiecesOfAVeryLongAnswerAreGathered(t *testing.T) {
	l := NewLog("a-job")
	l.Add(1, ringback.StreamEvent{Type: ringback.EventStarted})
	const pieces = manyEvents + 50_000
	for range pieces {
		l.Delta(1, ringback.Delta{Kind: ringback.DeltaText, Text: "x"})
	}
	end(l)
	events := readAll(t, l, ringback.EventID{})
	if text := textOf(events); len(text) != pieces {
		t.Errorf("text: got %d bytes, want %d", len(text), pieces)
	}
	if most := manyEvents + pieces/gathered + 3; len(events) > most {
		t.Errorf("events: got %d, want at most %d", len(events), most)
	}
}

func TestMuchTextOfAnAttemptThatBrokeGoes(t *testing.T) {
	l := NewLog("a-job")
	l.Add(1, ringback.StreamEvent{Type: ringback.EventStarted})
	l.Delta(1, ringback.Delta{Kind: ringback.DeltaText, Text: strings.Repeat("x", tornText)})
	torn := l.Last()
	l.Add(3, ringback.StreamEvent{Type: ringback.EventRetrying})
	l.Add(3, ringback.StreamEvent{Type: ringback.EventStarted})
	l.Delta(3, ringback.Delta{Kind: ringback.DeltaText, Text: "y"})
	if len(l.text) != 1 {
		t.Errorf("text: got %d bytes, want that of the last attempt", len(l.text))
	}
	end(l)
	if got := readAll(t, l, torn); textOf(got) != "y" || len(got) != 4 {
		t.Errorf("after the torn text: got %d events with %q", len(got), textOf(got))
	}
}

// An attempt that was taken away may still write when the next one has begun.
func TestWhatComesOfAnAttemptThatWasTakenAwayIsVoid(t *testing.T) {
	l := NewLog("a-job")
	l.Add(1, ringback.StreamEvent{Type: ringback.EventStarted})
	l.Add(3, ringback.StreamEvent{Type: ringback.EventRetrying})
	l.Add(3, ringback.StreamEvent{Type: ringback.EventStarted})
	for range 100 {
		l.Delta(1, ringback.Delta{Kind: ringback.DeltaText, Text: "old"})
		l.Delta(3, ringback.Delta{Kind: ringback.DeltaText, Text: "x"})
	}
	l.Add(1, ringback.StreamEvent{Type: ringback.EventRetrying})
	end(l)
	all := readAll(t, l, ringback.EventID{})
	if got := textOf(all); got != strings.Repeat("x", 100) || len(all) != 104 {
		t.Errorf("got %d events with %q", len(all), got)
	}
	for i, e := range all {
		if rest := readAll(t, l, e.EventID); len(rest) != len(all)-1-i {
			t.Fatalf("after %s: got %d events, want %d", e.EventID, len(rest), len(all)-1-i)
		}
	}
}

func TestALogIsFollowedExactlyWhileItIsReadAndNotFed(t *testing.T) {
	var h Hub
	job := uuid.New()
	begun, ended := make(chan *Log, 10), make(chan struct{}, 10)
	tail := func(ctx context.Context, l *Log) Await {
		begun <- l
		<-ctx.Done()
		ended <- struct{}{}
		return AwaitNothing
	}
	l, leave := h.Open(job, tail)
	if <-begun != l {
		t.Fatal("another log has a tail")
	}
	other, leaveToo := h.Open(job, tail)
	if other != l {
		t.Fatal("two readers have two logs")
	}
	fed, done := h.OpenWriter(job)
	<-ended
	if fed != l {
		t.Fatal("the attempt writes another log")
	}
	opened, leaveLocal := h.OpenLocal(job)
	if opened != l {
		t.Fatal("a log with a writer can't be opened locally")
	}
	if left := leaveToo(); left != 2 {
		t.Errorf("readers left: got %d, want 2", left)
	}
	done()
	<-begun
	if l, _ := h.OpenLocal(job); l != nil {
		t.Error("a log without a writer was opened locally")
	}
	leave()
	leaveLocal()
	<-ended
	if len(h.logs) != 0 {
		t.Error("a log is kept though it has no users")
	}
	_, leave = h.Open(job, tail)
	<-begun
	h.Close()
	<-ended
	leave()
	if h.Readers(job) != 0 {
		t.Error("a reader is left")
	}
}

// A job that has nothing to read before it moves has no goroutine.
func TestAFollowerRestsUntilTheJobMoves(t *testing.T) {
	var h Hub
	job := uuid.New()
	looks := make(chan struct{}, 10)
	awaits := []Await{AwaitBegin, AwaitEnd, AwaitNothing}
	tail := func(context.Context, *Log) Await {
		next := awaits[0]
		awaits = awaits[1:]
		looks <- struct{}{}
		return next
	}
	_, leave := h.Open(job, tail)
	defer leave()
	for _, what := range []Await{AwaitBegin, AwaitEnd} {
		<-looks
		for len(h.Awaiting(what)) == 0 { // it is about to return
			runtime.Gosched()
		}
		_, leaveToo := h.Open(job, tail) // one more reader changes nothing
		leaveToo()
		h.Publish(job)
	}
	<-looks
	h.tails.Wait()
	h.Publish(job) // nothing follows the end
	h.Close()
	if len(looks) != 0 || len(h.Awaiting(AwaitNothing)) != 1 {
		t.Error("it looked again at a job that is at its end")
	}
}

// A move that comes while the tail looks is not lost.
func TestAFollowerLooksAgainWhereTheJobMovedMeanwhile(t *testing.T) {
	var h Hub
	job := uuid.New()
	looks := 0
	_, leave := h.Open(job, func(context.Context, *Log) Await {
		if looks++; looks == 1 {
			h.Publish(job)
			return AwaitBegin
		}
		return AwaitNothing
	})
	defer leave()
	h.tails.Wait()
	if looks != 2 {
		t.Errorf("looks: got %d, want 2", looks)
	}
}

func TestALocalReaderEndsWithTheAttempt(t *testing.T) {
	var h Hub
	job := uuid.New()
	l, done := h.OpenWriter(job)
	opened, leave := h.OpenLocal(job)
	defer leave()
	l.Add(1, ringback.StreamEvent{Type: ringback.EventStarted})
	events, err := opened.Next(t.Context(), ringback.EventID{}, true)
	if len(events) != 1 || err != nil {
		t.Fatalf("got %d events and %v, want one", len(events), err)
	}
	done()
	if _, err := opened.Next(t.Context(), events[0].EventID, true); !errors.Is(err, io.EOF) {
		t.Errorf("after the attempt: got %v, want io.EOF", err)
	}
}

// BenchmarkDelta writes a piece for a thousand readers that have not caught up.
func BenchmarkDelta(b *testing.B) {
	l := NewLog("a-job")
	b.ReportAllocs()
	for range b.N {
		l.Delta(1, ringback.Delta{Kind: ringback.DeltaText, Text: "some words "})
		if len(l.entries) >= manyEvents-1 {
			l = NewLog("a-job")
		}
	}
}

func TestWhoAwaitsALogIsCalledOnce(t *testing.T) {
	t.Parallel()
	l := NewLog("a-job")
	called := make(chan string, 10)
	await := func(name string, after ringback.EventID, only bool) *Waiter {
		w := &Waiter{func() { called <- name }}
		l.Await(after, only, w)
		return w
	}
	next := func(want string) {
		t.Helper()
		select {
		case got := <-called:
			if got != want {
				t.Errorf("%s was called, want %s", got, want)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("%s was not called", want)
		}
	}
	await("the follower of nothing", ringback.EventID{}, true)
	next("the follower of nothing")
	l.Forget(await("the one who has left", ringback.EventID{}, false))
	await("the one who waits", ringback.EventID{}, false)
	l.Add(1, ringback.StreamEvent{Type: ringback.EventStarted})
	next("the one who waits")
	await("the one who is late", ringback.EventID{}, false)
	next("the one who is late")
	last := l.Last()
	await("the one who waits for the end", last, false)
	l.End(ringback.StreamEvent{Type: ringback.EventCompleted, EventID: ringback.EventID{Attempt: 1, Number: 9}, Job: &ringback.Job{}})
	next("the one who waits for the end")
	if len(called) > 0 {
		t.Errorf("%s was called again", <-called)
	}
	if events, err := l.Ready(last, false); len(events) != 1 || err != nil {
		t.Errorf("ready: got %v, %v", events, err)
	}
}
