//go:build unix

package e2e_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/simulate"
	"github.com/ringback/ringback/internal/sse"
)

// listener is a server that a job's events are pushed to, by a POST that is held open or
// over a WebSocket. It keeps them like a viewer.
type listener struct {
	t   *testing.T
	url string
	// breakAfter is the number of events after which it breaks off the first request; 0: it
	// does not.
	breakAfter int

	mu      sync.Mutex
	seen    viewer
	resumed []string      // Last-Event-ID of each request
	ended   chan struct{} // closed after the event that ends the job
}

func newListener(t *testing.T) *listener {
	t.Helper()
	l := &listener{t: t, ended: make(chan struct{})}
	s := httptest.NewServer(l)
	t.Cleanup(s.Close)
	l.url = s.URL
	return l
}

func (l *listener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := ringback.Verify(r.Header, nil, parseSecret(l.t, whsecSecret)); err != nil {
		l.t.Errorf("%s %s is signed wrongly: %v", r.Method, r.URL, err)
	}
	l.mu.Lock()
	l.resumed = append(l.resumed, r.Header.Get("Last-Event-ID"))
	l.mu.Unlock()
	if r.Header.Get("Upgrade") != "" {
		l.overWebSocket(w, r)
		return
	}
	if r.Method != http.MethodPost || r.Header.Get("Content-Type") != "text/event-stream" {
		l.t.Errorf("%s came with Content-Type %q, want a POST of text/event-stream", r.Method, r.Header.Get("Content-Type"))
	}
	for e, err := range sse.Read(bufio.NewReader(r.Body), sse.Limits{Line: mostEvent, Event: mostEvent}) {
		if err != nil {
			return
		}
		if l.take(e.Data) { // a panic would make net/http read on, up to the body's end
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				l.t.Error(err)
				return
			}
			conn.Close()
			return
		}
	}
}

func (l *listener) overWebSocket(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		l.t.Errorf("accept a WebSocket: %v", err)
		return
	}
	defer conn.CloseNow()
	conn.SetReadLimit(mostEvent)
	for {
		_, data, err := conn.Read(r.Context())
		switch {
		case websocket.CloseStatus(err) == websocket.StatusNormalClosure, err != nil:
			return
		case l.take(data):
			return
		}
	}
}

// take keeps an event, and reports whether to break off.
func (l *listener) take(data []byte) (breakOff bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, err := l.seen.take(data)
	if err != nil {
		l.t.Error(err)
	}
	if e.Job != nil {
		close(l.ended)
	}
	return len(l.resumed) == 1 && len(l.seen.events) == l.breakAfter
}

// end waits for the end of the stream, and returns what was seen of it.
func (l *listener) end(t *testing.T) *viewer {
	t.Helper()
	select {
	case <-l.ended:
	case <-time.After(patience):
		l.mu.Lock()
		defer l.mu.Unlock()
		t.Fatalf("the end of the job was not pushed, in %d requests (behind %q) with %d events", len(l.resumed), l.resumed, len(l.seen.events))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return &l.seen
}

// The events of a job are pushed to its stream_to, by POST or WebSocket, and to its
// receiver as webhooks of its progress. The webhook of its end, the only guaranteed one,
// comes last.
func TestEventsArePushed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{receiver: simulate.ReceiverConfig{}})
	w.start()
	w.ready()
	events := append([]ringback.EventType{ringback.EventStarted, ringback.EventProgress}, ringback.TerminalEvents...)
	push := func(t *testing.T, to string) ringback.Job {
		t.Helper()
		w := w.in(t)
		id := w.submit(ringback.Request{Prompt: utterance(t.Name(), 150), Model: "sim/blocks?pace=10ms", StreamTo: to, Events: &events})
		return w.delivered(id)
	}

	for scheme, kind := range map[string]string{"http": "POST", "ws": "WebSocket"} {
		t.Run("a stream by "+kind, func(t *testing.T) {
			t.Parallel()
			l := newListener(t)
			job := push(t, scheme+strings.TrimPrefix(l.url, "http"))
			l.end(t).wantEnd(t, job)
			pulled := &viewer{endpoint: w.endpoint, job: job.ID, over: transports}
			must(t, pulled.watch(t.Context()))
			pulled.wantSame(t, l.end(t))
			if len(l.resumed) != 1 {
				t.Errorf("it took %d requests, want one", len(l.resumed))
			}
		})
	}

	t.Run("a stream that breaks goes on, and what is missing can be pulled", func(t *testing.T) {
		t.Parallel()
		l := newListener(t)
		l.breakAfter = 30
		job := push(t, l.url)
		seen := l.end(t)
		if len(l.resumed) != 2 || l.resumed[0] != "" || l.resumed[1] == "" {
			t.Errorf("the requests came with Last-Event-ID %q, want none, and one", l.resumed)
		}
		pulled := &viewer{endpoint: w.endpoint, job: job.ID, over: transports}
		pulled.events = append(pulled.events, seen.events[:30]...)
		must(t, pulled.watch(t.Context()))
		pulled.wantEnd(t, job)
		for i := 1; i < len(seen.events); i++ {
			if seen.events[i].Compare(seen.events[i-1].EventID) <= 0 {
				t.Errorf("event %s was pushed behind %s", seen.events[i].EventID, seen.events[i-1].EventID)
			}
		}
	})

	t.Run("webhooks of progress come in order, and then the end's", func(t *testing.T) {
		t.Parallel()
		job := push(t, "")
		var before ringback.EventID
		var kinds []string
		var last time.Time
		for _, d := range w.receiver.Deliveries() {
			if d.JobID != job.ID {
				continue
			}
			kinds = append(kinds, d.Type)
			if d.Type != string(ringback.EventProgress) {
				continue
			}
			var e struct {
				ringback.EventID

				PartialResult string `json:"partial_result"`
			}
			must(t, json.Unmarshal(d.Body, &e))
			if e.Compare(before) <= 0 || !strings.HasPrefix(*job.Result, e.PartialResult) || e.PartialResult == "" {
				t.Errorf("progress %s came behind %s, with %q", e.EventID, before, e.PartialResult)
			}
			if pause := d.At.Sub(last); pause < 400*time.Millisecond {
				t.Errorf("progress came %s behind the one before, want 500 ms", pause)
			}
			before, last = e.EventID, d.At
		}
		if n := len(kinds); n < 3 || kinds[0] != "job.started" || kinds[1] != "job.progress" || kinds[n-1] != "job.completed" {
			t.Errorf("the webhooks are %q, want started, progress and completed", kinds)
		}
	})
}
