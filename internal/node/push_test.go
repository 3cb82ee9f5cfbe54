package node_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/node"
	"github.com/ringback/ringback/internal/simulate"
	"github.com/ringback/ringback/internal/sse"
	"github.com/ringback/ringback/internal/webhook"
)

// pushed is a stream that a receiver got.
type pushed struct {
	id, last string // webhook-id, Last-Event-ID
	events   []ringback.StreamEvent
	close    websocket.StatusCode // 0: none
	header   http.Header
}

// streamReceiver takes streams, as a POST at / and as messages at /ws.
type streamReceiver struct {
	t   *testing.T
	url string
	// each is called with each event as it comes; nil: nothing is called. An error ends the
	// connection.
	each func(ringback.StreamEvent) error

	mu    sync.Mutex
	got   []pushed // those that have ended
	ended chan pushed
}

func newStreamReceiver(t *testing.T, each func(ringback.StreamEvent) error) *streamReceiver {
	r := &streamReceiver{t: t, each: each, ended: make(chan pushed, 100)}
	server := httptest.NewServer(http.HandlerFunc(r.take))
	t.Cleanup(server.Close)
	r.url = server.URL
	return r
}

func (r *streamReceiver) take(w http.ResponseWriter, req *http.Request) {
	key, err := ringback.ParseSecret(secret)
	if err == nil {
		err = ringback.Verify(req.Header, nil, key)
	}
	if err != nil {
		r.t.Errorf("signature of %s: %v", req.URL, err)
	}
	p := pushed{id: req.Header.Get("webhook-id"), last: req.Header.Get("Last-Event-ID"), header: req.Header}
	if strings.HasPrefix(req.URL.Path, "/ws") {
		r.messages(w, req, &p)
	} else {
		err = r.post(req, &p)
	}
	r.mu.Lock()
	r.got = append(r.got, p)
	r.mu.Unlock()
	r.ended <- p
	if err != nil { // an aborted handler would go on reading to the end of the body
		if c, _, err := http.NewResponseController(w).Hijack(); err == nil {
			c.Close()
		}
	}
}

func (r *streamReceiver) post(req *http.Request, p *pushed) error {
	if ct := req.Header.Get("Content-Type"); ct != "text/event-stream" || req.Method != http.MethodPost {
		r.t.Errorf("got a %s of %q", req.Method, ct)
	}
	for e, err := range sse.Read(req.Body, sse.Limits{Line: 1 << 24, Event: 1 << 24}) {
		if err != nil {
			return err
		}
		if err := r.event(p, e.Data); err != nil {
			return err
		}
	}
	return nil
}

func (r *streamReceiver) messages(w http.ResponseWriter, req *http.Request, p *pushed) {
	c, err := websocket.Accept(w, req, nil)
	if err != nil {
		r.t.Error(err)
		return
	}
	defer c.CloseNow()
	c.SetReadLimit(1 << 24)
	for {
		_, data, err := c.Read(context.Background())
		if err == nil {
			err = r.event(p, data)
		}
		if err != nil {
			p.close = websocket.CloseStatus(err)
			return
		}
	}
}

func (r *streamReceiver) event(p *pushed, data []byte) error {
	var e ringback.StreamEvent
	if err := json.Unmarshal(data, &e); err != nil {
		r.t.Errorf("got %s: %v", data, err)
	}
	p.events = append(p.events, e)
	if r.each != nil {
		return r.each(e)
	}
	return nil
}

// next waits for a stream to end, and returns it.
func (r *streamReceiver) next() pushed {
	r.t.Helper()
	select {
	case p := <-r.ended:
		return p
	case <-time.After(patience):
		r.t.Fatalf("no stream has ended within %s", patience)
		return pushed{}
	}
}

// messagesURL returns the URL at which it takes messages.
func (r *streamReceiver) messagesURL() string {
	return "ws" + strings.TrimPrefix(r.url, "http") + "/ws"
}

func TestAStreamIsPushedFromItsBeginningToItsEnd(t *testing.T) {
	t.Parallel()
	r := newStreamReceiver(t, nil)
	w := start(t, setup{})
	for _, to := range []string{r.url, r.messagesURL()} {
		j := w.submit(ringback.Request{Model: "sim/slow?pace=2ms&words=40", Prompt: to, StreamTo: to})
		p := r.next()
		job := w.end(j.ID)
		want := []ringback.EventType{ringback.EventQueued, ringback.EventStarted, ringback.EventDelta, ringback.EventCompleted}
		if diff := cmp.Diff(want, types(p.events)); diff != "" {
			t.Fatalf("%s (-want +got):\n%s", to, diff)
		}
		if grown(p.events) != *job.Result || len(p.events) < 20 {
			t.Errorf("%s: got %d events with the text %q, want %q", to, len(p.events), grown(p.events), *job.Result)
		}
		if diff := cmp.Diff(w.events(j.ID, ringback.EventID{}), p.events, sameURL); diff != "" {
			t.Errorf("%s: another stream than a reader's (-reader +push):\n%s", to, diff)
		}
		if to != r.url && p.close != websocket.StatusNormalClosure {
			t.Errorf("close code: got %d, want 1000", p.close)
		}
		w.webhook(j.ID) // it comes all the same
	}
	w.eventually("both are counted", func() bool { return w.node.Pushed("stream", "sent") == 2 })
}

func TestTheCallbackURLItselfMayTakeTheStream(t *testing.T) {
	t.Parallel()
	hooks := make(chan string, 10)
	r := newStreamReceiver(t, nil)
	both := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		if req.Header.Get("Authorization") != "Bearer x" {
			t.Errorf("%s came without the callback headers", req.Header.Get("Content-Type"))
		}
		if req.Header.Get("Content-Type") == "text/event-stream" {
			r.take(rw, req)
			return
		}
		hooks <- req.Header.Get("Content-Type")
	}))
	t.Cleanup(both.Close)
	w := start(t, setup{})
	w.submit(ringback.Request{
		Model: "sim/echo", Prompt: "both", CallbackURL: both.URL, StreamTo: both.URL, CallbackHeaders: map[string]string{"Authorization": "Bearer x"},
	})
	if p := r.next(); types(p.events)[len(types(p.events))-1] != ringback.EventCompleted {
		t.Errorf("got %v", types(p.events))
	}
	if got := <-hooks; got != "application/json" {
		t.Errorf("the webhook: got %s", got)
	}
}

func TestCallbackHeadersGoToTheCallbackHostOnly(t *testing.T) {
	t.Parallel()
	r := newStreamReceiver(t, nil)
	w := start(t, setup{})
	w.submit(ringback.Request{Model: "sim/echo", Prompt: "x", StreamTo: r.url, CallbackHeaders: map[string]string{"Authorization": "Bearer x"}})
	if p := r.next(); p.header.Get("Authorization") != "" {
		t.Error("another host than that of the callback got the callback headers")
	}
}

func TestANewAttemptGoesOnInTheSameRequest(t *testing.T) {
	t.Parallel()
	r := newStreamReceiver(t, nil)
	w := start(t, setup{})
	j := w.submit(ringback.Request{Model: "sim/break-off-5", Prompt: "torn", StreamTo: r.url, MaxAttempts: new(3)})
	p := r.next()
	job := w.end(j.ID)
	if diff := cmp.Diff(w.events(j.ID, ringback.EventID{}), p.events, sameURL); diff != "" {
		t.Errorf("another stream than a reader's (-reader +push):\n%s", diff)
	}
	if n := strings.Count(strings.Join(texts(types(p.events)), " "), "job.retrying"); n != 2 || job.Attempts != 3 || len(r.ended) != 0 {
		t.Errorf("got %d job.retrying for %d attempts, and %d further streams, want one stream", n, job.Attempts, len(r.ended))
	}
}

func TestAStreamThatBreaksGoesOnBehindWhatWasSent(t *testing.T) {
	t.Parallel()
	for _, messages := range []bool{false, true} {
		var once sync.Once
		r := newStreamReceiver(t, func(e ringback.StreamEvent) (err error) {
			if e.Number == 10 {
				once.Do(func() { err = errors.New("broken") })
			}
			return err
		})
		w := start(t, setup{})
		to := r.url
		if messages {
			to = r.messagesURL()
		}
		j := w.submit(ringback.Request{Model: "sim/slow?pace=20ms&words=200", Prompt: "break", StreamTo: to})
		first, second := r.next(), r.next()
		w.end(j.ID)
		if first.id != second.id || first.last != "" || second.last == "" {
			t.Errorf("got %+v, then %+v", first, second)
		}
		after, err := ringback.ParseEventID(second.last)
		must(t, err)
		if second.events[0].Number != after.Number+1 || second.events[len(second.events)-1].Type != ringback.EventCompleted {
			t.Errorf("behind %s: got %s to %s", after, second.events[0].EventID, second.events[len(second.events)-1].Type)
		}
		if diff := cmp.Diff(w.events(j.ID, after), second.events, sameURL); diff != "" {
			t.Errorf("another stream than a reader's (-reader +push):\n%s", diff)
		}
	}
}

func TestAStreamThatCannotBeOpenedIsGivenUp(t *testing.T) {
	t.Parallel()
	closed := httptest.NewServer(http.NotFoundHandler())
	refusing := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(refusing.Close)
	closed.Close()
	w := start(t, setup{})
	for i, to := range []string{closed.URL, refusing.URL, "ws" + strings.TrimPrefix(refusing.URL, "http")} {
		j := w.submit(ringback.Request{Model: "sim/slow?pace=1ms&words=20", Prompt: to, StreamTo: to})
		w.webhook(j.ID)
		w.eventually("the stream is given up", func() bool { return w.node.Pushed("stream", "failed") == i+1 })
	}
	w.eventually("all places are given back", func() bool { return w.node.Streams() == 0 })
}

// stalledReceiver takes connections and nothing else.
func stalledReceiver(t *testing.T) (url string) {
	hang := make(chan struct{})
	stalled := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang }))
	t.Cleanup(stalled.Close)
	t.Cleanup(func() { close(hang) })
	return stalled.URL
}

// veryLong is more than fits between a sender and a receiver that does not read.
var veryLong = strings.Repeat(" very long", 30_000)

// A receiver that takes nothing delays neither the job nor its webhook: they end while
// their streams are still open.
func TestAStalledStreamIsInNobodysWay(t *testing.T) {
	t.Parallel()
	to := stalledReceiver(t)
	w := start(t, setup{})
	const jobs = 2
	for i := range jobs {
		w.submit(ringback.Request{Model: "sim/echo", Prompt: fmt.Sprint("stalled ", i, veryLong), StreamTo: to})
	}
	all, err := w.receiver.Wait(w.within(), jobs)
	must(t, err)
	for _, d := range all {
		w.end(d.JobID)
	}
	if n := w.node.Streams(); n != jobs {
		t.Errorf("open streams: got %d, want %d", n, jobs)
	}
}

func TestAStalledStreamIsCutOff(t *testing.T) {
	t.Parallel()
	to := stalledReceiver(t)
	w := start(t, setup{sender: webhook.SenderConfig{Timeout: time.Second}})
	w.end(w.submit(ringback.Request{Model: "sim/echo", Prompt: "stalled" + veryLong, StreamTo: to, Events: &[]ringback.EventType{}}).ID)
	w.eventually("it is cut off", func() bool { return w.node.Pushed("stream", "cut_off") == 1 && w.node.Streams() == 0 })
}

func TestTheEndOfACancelledJobIsPushed(t *testing.T) {
	t.Parallel()
	var seen sync.Once
	deltas := make(chan struct{})
	r := newStreamReceiver(t, func(e ringback.StreamEvent) error {
		if e.Type == ringback.EventDelta {
			seen.Do(func() { close(deltas) })
		}
		return nil
	})
	w := start(t, setup{})
	j := w.submit(ringback.Request{Model: "sim/endless?pace=5ms", Prompt: "cancel", StreamTo: r.messagesURL()})
	<-deltas
	_, err := w.node.Cancel(t.Context(), "default", j.ID)
	must(t, err)
	p := r.next()
	if last := p.events[len(p.events)-1]; last.Type != ringback.EventCancelled || last.Job == nil || last.Job.Status != ringback.Cancelled {
		t.Errorf("got %+v", last)
	}
}

// The next node has a stream of its own, and goes on where the answer begins anew.
func TestAnotherProcessPushesTheNextAttempt(t *testing.T) {
	t.Parallel()
	begun := make(chan struct{})
	var seen sync.Once
	r := newStreamReceiver(t, func(e ringback.StreamEvent) error {
		if e.Type == ringback.EventStarted {
			seen.Do(func() { close(begun) })
		}
		return nil
	})
	hold := make(chan struct{})
	w := start(t, setup{node: impatient, hold: func(c simulate.Call) <-chan struct{} {
		if c.Number == 1 {
			return hold
		}
		return nil
	}})
	j := w.submit(ringback.Request{Model: "sim/echo", Prompt: "killed", StreamTo: r.url})
	w.called("killed", 1)
	<-begun
	dir := w.kill()
	first := r.next()
	if diff := cmp.Diff([]ringback.EventType{ringback.EventQueued, ringback.EventStarted}, types(first.events)); diff != "" {
		t.Errorf("before the kill (-want +got):\n%s", diff)
	}
	again := start(t, setup{dir: dir, from: w})
	second := r.next()
	again.end(j.ID)
	want := []ringback.EventType{ringback.EventRetrying, ringback.EventStarted, ringback.EventDelta, ringback.EventCompleted}
	if diff := cmp.Diff(want, types(second.events)); diff != "" || second.last != "" || first.id == second.id {
		t.Errorf("after it, resumed behind %q with the id %s (-want +got):\n%s", second.last, second.id, diff)
	}
}

func TestADrainDoesNotWaitForStreamsThatWait(t *testing.T) {
	t.Parallel()
	r := newStreamReceiver(t, nil)
	w := start(t, setup{node: func(c *node.Config) { c.RetryDelay, c.DrainTimeout = time.Hour, time.Minute }})
	w.submit(ringback.Request{Model: "sim/break-off-3", Prompt: "waits", StreamTo: r.url})
	w.eventually("its wait", func() bool { return w.node.Lingering() == 1 })
	began := time.Now()
	w.stop()
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("the drain took %s", took)
	}
	if p := r.next(); p.events[len(p.events)-1].Type != ringback.EventRetrying {
		t.Errorf("got %v", types(p.events))
	}
}

func TestAStreamHasAPlaceOfItsOwn(t *testing.T) {
	t.Parallel()
	r := newStreamReceiver(t, nil)
	w := start(t, setup{})
	for i := range 66 {
		w.submit(ringback.Request{Model: "sim/mute", Prompt: fmt.Sprint("mute ", i), StreamTo: r.url})
	}
	w.eventually("two find no place", func() bool { return w.node.Pushed("stream", "dropped") == 2 })
	if n := w.node.Streams(); n != 64 {
		t.Errorf("places: got %d, want 64", n)
	}
	w.webhook(w.ask("sim/echo", "meanwhile").ID) // the slots of webhooks are others
}

func TestAStreamToIsCheckedWhenItIsSubmitted(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	for to, want := range map[string]string{
		"ftp://example.com/":       "stream_to must begin with http:// or https://, for one request that is held open, or with ws:// or wss://, for messages",
		"ws://169.254.169.254/":    "169.254.169.254 is a cloud metadata address; the operator can open it with --allow-callback, but only by its own range",
		"https://example.com:6379": "the port of stream_to must be 80, 443 or 1024 to 65535, and not one of another protocol",
	} {
		_, err := w.try(ringback.Request{StreamTo: to})
		if e := fault(t, err, ringback.InvalidRequest); e.Field != "stream_to" || e.Message != want {
			t.Errorf("%s: got %s: %s", to, e.Field, e.Message)
		}
	}
	_, err := w.try(ringback.Request{Events: new([]ringback.EventType{"job.progres"}), CallbackURL: w.callback})
	fault(t, err, ringback.InvalidRequest)
}

// recorded returns the webhooks of a job so far.
func (w *world) recorded(id string) (types []string, all []ringback.Event) {
	w.t.Helper()
	for _, d := range w.receiver.Deliveries() {
		if d.JobID == id {
			types = append(types, d.Type)
			all = append(all, event(w.t, d))
		}
	}
	return types, all
}

var allEvents = slices.Concat([]ringback.EventType{ringback.EventStarted, ringback.EventProgress}, ringback.TerminalEvents)

func TestProgressIsToldOnTheWay(t *testing.T) {
	t.Parallel()
	for _, stream := range []bool{false, true} {
		w := start(t, setup{})
		j := w.submit(ringback.Request{Model: "sim/slow?pace=20ms&words=100", Prompt: "grow", Events: &allEvents, CallbackURL: w.callback, Stream: stream})
		w.hook(func(d simulate.Delivery) bool { return d.JobID == j.ID && d.Type == "job.completed" })
		job := w.end(j.ID)
		said, all := w.recorded(j.ID)
		if len(said) < 4 || said[0] != "job.started" || said[len(said)-1] != "job.completed" {
			t.Fatalf("got %v", said)
		}
		last := ringback.EventID{}
		ids := map[string]bool{}
		for i, e := range all[:len(all)-1] {
			id := ringback.EventID{Attempt: e.Attempt, Number: e.Number}
			if id.Compare(last) <= 0 || e.Status != ringback.Running || e.Timestamp.IsZero() {
				t.Errorf("%d: got %s %s behind %s", i, e.Type, id, last)
			}
			if e.Type == ringback.EventProgress && (e.PartialResult == "" || !strings.HasPrefix(*job.Result, e.PartialResult)) {
				t.Errorf("%s: %q is no beginning of %q", id, e.PartialResult, *job.Result)
			}
			last = id
		}
		deliveries := w.receiver.Deliveries()
		for _, d := range deliveries {
			ids[d.ID] = true
		}
		n := len(deliveries) - 1
		if took := all[n-1].Timestamp.Sub(all[0].Timestamp.Time); took < time.Duration(n-1)*500*time.Millisecond-200*time.Millisecond {
			t.Errorf("%d were sent within %s, want one each 500 ms at most", n, took)
		}
		if len(ids) != len(deliveries) {
			t.Errorf("got %d webhook-ids for %d webhooks", len(ids), len(deliveries))
		}
		if page, err := w.node.Deliveries(t.Context(), "default", j.ID, "", 100); err != nil || len(page.Data) != 1 {
			t.Errorf("stored deliveries: got %d, %v, want that of the end", len(page.Data), err)
		}
		kinds := []ringback.EventType{ringback.EventQueued, ringback.EventCompleted}
		if stream {
			kinds = []ringback.EventType{ringback.EventQueued, ringback.EventStarted, ringback.EventDelta, ringback.EventCompleted}
		}
		if diff := cmp.Diff(kinds, types(w.events(j.ID, ringback.EventID{}))); diff != "" {
			t.Errorf("stored events (-want +got):\n%s", diff)
		}
	}
}

// A receiver that is stuck with a progress gets the end at once, and no progress after it.
func TestAStuckProgressDoesNotDelayTheEnd(t *testing.T) {
	t.Parallel()
	stuck := make(chan struct{}, 100)
	w := start(t, setup{receiver: simulate.ReceiverConfig{Answer: func(d simulate.Delivery) simulate.Answer {
		if d.Type == "job.progress" {
			stuck <- struct{}{}
			return simulate.Answer{Fault: simulate.Hang}
		}
		return simulate.Answer{}
	}}})
	j := w.submit(ringback.Request{Model: "sim/slow?pace=10ms&words=50", Prompt: "stuck", Events: &allEvents, CallbackURL: w.callback})
	<-stuck
	w.hook(func(d simulate.Delivery) bool { return d.JobID == j.ID && d.Type == "job.completed" })
	said, _ := w.recorded(j.ID)
	if said[len(said)-1] != "job.completed" || w.node.Pushed("progress", "cut_off") != 1 {
		t.Errorf("got %v, and %d cut off", said, w.node.Pushed("progress", "cut_off"))
	}
}

// A receiver that fails at events that it does not know still gets the ends.
func TestFailingProgressHoldsNoHostBack(t *testing.T) {
	t.Parallel()
	w := start(t, setup{
		node: func(c *node.Config) { c.HostGate.BreakAfter, c.HostGate.HoldMin = 1, time.Hour },
		receiver: simulate.ReceiverConfig{Answer: func(d simulate.Delivery) simulate.Answer {
			if d.Type == "job.progress" || d.Type == "job.started" {
				return simulate.Answer{Status: http.StatusInternalServerError}
			}
			return simulate.Answer{}
		}},
	})
	j := w.submit(ringback.Request{Model: "sim/slow?pace=30ms&words=60", Prompt: "fails", Events: &allEvents, CallbackURL: w.callback})
	w.hook(func(d simulate.Delivery) bool { return d.JobID == j.ID && d.Type == "job.completed" })
	said, all := w.recorded(j.ID)
	n := len(all) - 1 // of those before the end, with pauses of 1 s, 2 s, 4 s …
	took, least := all[n-1].Timestamp.Sub(all[0].Timestamp.Time), time.Duration(1<<(n-1)-1)*time.Second
	if took < least-200*time.Millisecond {
		t.Errorf("got %v within %s, want longer and longer pauses if none is taken", said, took)
	}
	if d := w.settledDelivery(j.ID); len(d.Tries) != 1 {
		t.Errorf("the end took %d tries", len(d.Tries))
	}
}

func TestProgressLeavesSlotsToEnds(t *testing.T) {
	t.Parallel()
	w := start(t, setup{receiver: simulate.ReceiverConfig{Answer: func(d simulate.Delivery) simulate.Answer {
		if d.Type == "job.progress" {
			return simulate.Answer{Fault: simulate.Hang}
		}
		return simulate.Answer{}
	}}})
	var growing []string
	for i := range 12 {
		events := []ringback.EventType{ringback.EventProgress}
		growing = append(growing, w.submit(ringback.Request{Model: "sim/endless?pace=20ms", Prompt: fmt.Sprint(i), Events: &events, CallbackURL: w.callback}).ID)
	}
	w.eventually("some find no slot", func() bool { return w.node.Pushed("progress", "dropped") > 0 })
	var sent []time.Time // by the sender's clock
	for _, d := range w.receiver.Deliveries() {
		sent = append(sent, event(t, d).Timestamp.Time)
	}
	slices.SortFunc(sent, time.Time.Compare)
	for i := 4; i < len(sent); i++ { // each is given up after 5 s
		if after := sent[i].Sub(sent[i-4]); after < 4900*time.Millisecond {
			t.Errorf("%d were sent within %s, want half of the host's slots at most in 5 s", 5, after)
		}
	}
	w.webhook(w.ask("sim/echo", "end").ID)
	for _, id := range growing {
		_, err := w.node.Cancel(t.Context(), "default", id)
		must(t, err)
		w.end(id)
	}
}
