package api_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/gobwas/ws"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/api"
	"github.com/ringback/ringback/internal/node"
)

// wire is a connection on which a test writes HTTP itself.
type wire struct {
	t *testing.T
	net.Conn
	in *bufio.Reader
}

func (w *world) wire() *wire {
	w.t.Helper()
	conn, err := net.Dial("tcp", w.addr)
	must(w.t, err)
	w.t.Cleanup(func() { _ = conn.Close() })
	must(w.t, conn.SetDeadline(time.Now().Add(patience)))
	return &wire{w.t, conn, bufio.NewReader(conn)}
}

// ask sends the lines of a request.
func (c *wire) ask(lines ...string) {
	c.t.Helper()
	_, err := io.WriteString(c, strings.Join(lines, "\r\n")+"\r\nHost: localhost\r\n\r\n")
	must(c.t, err)
}

func (c *wire) answer() *http.Response {
	c.t.Helper()
	resp, err := http.ReadResponse(c.in, nil)
	must(c.t, err)
	return resp
}

func (c *wire) atEnd() {
	c.t.Helper()
	if rest, err := io.ReadAll(c.in); len(rest) > 0 || err != nil {
		c.t.Errorf("on the connection that should have ended: got %q, %v", rest, err)
	}
}

func TestAConnectionServesFurtherRequestsBehindAStream(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	c := w.wire()
	for range 3 {
		id := w.submit(`"prompt":"Hi","stream":true,"model":"sim/slow?words=5&pace=5ms"`)
		c.ask("GET /api/jobs/" + id + "/stream HTTP/1.1")
		resp := c.answer()
		if resp.Close || resp.Header.Get("Date") == "" || resp.Header.Get("X-Request-Id") == "" {
			t.Errorf("the headers are %v", resp.Header)
		}
		if events := sseEvents(t, resp.Body); grown(events) != *w.end(id).Result {
			t.Errorf("the deltas make %q", grown(events))
		}
		body := `{"prompt":"Hi","callback_url":"` + w.callback + `"}`
		c.ask("POST /api/generate HTTP/1.1", fmt.Sprintf("Content-Length: %d", len(body)), "Content-Type: application/json")
		_, err := io.WriteString(c, body)
		must(t, err)
		resp = c.answer()
		if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusAccepted {
			t.Errorf("behind the stream: got %s, %v", resp.Status, err)
		}
	}
}

func TestAStreamEndsWithItsConnectionWhereTheReaderWantsThat(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	for _, how := range []string{"HTTP/1.0", "HTTP/1.1\r\nConnection: close"} {
		id := w.submit(`"prompt":"Hi","stream":true,"model":"sim/slow?words=5&pace=5ms"`)
		c := w.wire()
		c.ask("GET /api/jobs/" + id + "/stream " + how)
		resp := c.answer()
		if chunked := resp.TransferEncoding != nil; !resp.Close || chunked == strings.HasPrefix(how, "HTTP/1.0") {
			t.Errorf("%q: got %v, %v", how, resp.Header, resp.TransferEncoding)
		}
		if events := sseEvents(t, resp.Body); grown(events) != *w.end(id).Result {
			t.Errorf("%q: the deltas make %q", how, grown(events))
		}
		c.atEnd()
	}
}

// A request that is sent before a stream's end is not answered: the connection ends, and
// its client has to send it again.
func TestARequestAheadOfAStreamsEndIsNotLostInSilence(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	for name, ask := range map[string]func(c *wire, stream string){
		"with it": func(c *wire, stream string) { c.ask(stream + "\r\nHost: localhost\r\n\r\nGET /healthz HTTP/1.1") },
		"behind it": func(c *wire, stream string) {
			c.ask(stream)
			_, err := c.in.Peek(1)
			must(t, err)
			c.ask("GET /healthz HTTP/1.1")
		},
	} {
		id := w.submit(`"prompt":"Hi","stream":true,"model":"sim/slow?words=20&pace=5ms"`)
		c := w.wire()
		ask(c, "GET /api/jobs/"+id+"/stream HTTP/1.1")
		if events := sseEvents(t, c.answer().Body); grown(events) != *w.end(id).Result {
			t.Errorf("%s: the deltas make %q", name, grown(events))
		}
		c.atEnd()
	}
}

func TestAReaderThatTalksIsCutOff(t *testing.T) {
	t.Parallel()
	w := start(t, setup{api: api.Config{Metrics: prometheus.NewRegistry()}})
	id := w.submit(`"prompt":"Hi","model":"sim/mute"`)
	c := w.wire()
	c.ask("GET /api/jobs/" + id + "/stream HTTP/1.1")
	_, err := c.in.Peek(1)
	must(t, err)
	_, _ = c.Write(make([]byte, 64<<10)) // it may be cut off already
	_, _ = io.Copy(io.Discard, c.in)
	w.metric(`ringback_stream_readers{transport="sse"} 0`)
}

func TestAReaderThatAnswersNoPingIsCutOff(t *testing.T) {
	t.Parallel()
	w := start(t, setup{server: func(s *api.Server) { s.Hurry(20*time.Millisecond, 100*time.Millisecond) }})
	id := w.submit(`"prompt":"Hi","run_at":"` + time.Now().Add(time.Hour).UTC().Format(time.RFC3339) + `"`)
	c := w.wire()
	c.ask("GET /api/jobs/"+id+"/ws HTTP/1.1", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==")
	if resp := c.answer(); resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("got %s", resp.Status)
	}
	var heard []string
	for {
		h, err := ws.ReadHeader(c.in)
		must(t, err)
		payload := make([]byte, h.Length)
		_, err = io.ReadFull(c.in, payload)
		must(t, err)
		if h.OpCode == ws.OpClose {
			code, reason := ws.ParseCloseFrameData(payload)
			heard = append(heard, fmt.Sprint(code, " ", reason))
			break
		}
		heard = append(heard, map[ws.OpCode]string{ws.OpText: "an event", ws.OpPing: "a ping"}[h.OpCode])
	}
	if want := []string{"an event", "a ping", "1013 resume with ?after=0-1"}; !slices.Equal(heard, want) {
		t.Errorf("got %q, want %q", heard, want)
	}
}

// Readers that keep up and those that don't see the same, and the latter delay nobody: they
// begin to read when all others have read everything.
func TestReadersOfOneJobSeeTheSameAtTheirOwnPace(t *testing.T) {
	t.Parallel()
	w := start(t, setup{server: func(s *api.Server) { s.Hurry(10*time.Millisecond, patience) }})
	id := w.submit(manyEvents + `,"run_at":"` + time.Now().Add(time.Second).UTC().Format(time.RFC3339Nano) + `"`)
	late := make([]func() []ringback.StreamEvent, 5)
	for i := range late {
		late[i] = w.narrow(id, "sse")
	}
	const quickOnes = 20
	seen := make([][]ringback.StreamEvent, quickOnes+len(late))
	var quick sync.WaitGroup
	for i := range quickOnes {
		quick.Go(func() { seen[i] = sseEvents(t, w.open("/api/jobs/"+id+"/stream").Body) })
	}
	quick.Wait()
	for i, read := range late {
		seen[quickOnes+i] = read()
	}
	want, result := overSSE(w, id, ""), *w.end(id).Result
	for i, events := range seen {
		same := slices.EqualFunc(want, events, func(a, b ringback.StreamEvent) bool { return a.EventID == b.EventID && a.Type == b.Type })
		if text := grown(events); text != result || !same {
			t.Errorf("reader %d has %d bytes of %d, in %d events of %d", i, len(text), len(result), len(events), len(want))
		}
	}
}

// A reader that claims to have seen what is still to come gets only what follows that, and
// takes nothing from others, in whichever order they came.
func TestAReaderThatIsAheadTakesNothingFromOthers(t *testing.T) {
	t.Parallel()
	for _, order := range [][]string{{"", "1-4", "9-9"}, {"9-9", "1-4", ""}} {
		t.Run(order[0], func(t *testing.T) {
			t.Parallel()
			w := start(t, setup{})
			id := w.submit(`"prompt":"Hi","stream":true,"model":"sim/slow?words=10&pace=5ms","run_at":"` + time.Now().Add(time.Second).UTC().Format(time.RFC3339Nano) + `"`)
			bodies := map[string]io.Reader{}
			for _, after := range order {
				body := w.open("/api/jobs/" + id + "/stream?after=" + after).Body
				defer body.Close()
				bodies[after] = body
			}
			seen := map[string][]ringback.StreamEvent{}
			for after, body := range bodies {
				seen[after] = sseEvents(t, body)
			}
			all := overSSE(w, id, "")
			behind := slices.IndexFunc(all, func(e ringback.StreamEvent) bool { return e.Attempt == 1 && e.Number > 4 })
			for after, want := range map[string][]ringback.StreamEvent{"": all, "1-4": all[behind:], "9-9": all[len(all)-1:]} {
				if diff := cmp.Diff(want, seen[after]); diff != "" {
					t.Errorf("after %q (-want +got):\n%.2000s", after, diff)
				}
			}
		})
	}
}

func TestWhereAConnectionIsNotGivenUpTheReaderIsTold(t *testing.T) {
	t.Parallel()
	var server *api.Server
	w := start(t, setup{api: api.Config{Metrics: prometheus.NewRegistry()}, server: func(s *api.Server) { server = s }})
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/jobs/"+w.submit(`"prompt":"Hi"`)+"/stream", nil)
	r.Host = "localhost"
	rec := httptest.NewRecorder()
	server.ServeHTTP(rec, r)
	if rec.Code != http.StatusInternalServerError || !strings.Contains(rec.Body.String(), "internal") {
		t.Errorf("got %d %s", rec.Code, rec.Body)
	}
	w.metric(`ringback_stream_readers{transport="sse"} 0`)
}

// Nodes whose readers watch a job reconnect after the end of an attempt: none of them has
// left, and the job continues although nobody is connected meanwhile.
func TestTheEndOfAnAttemptIsNoLeavingOfThoseWhoRelayIt(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	id := w.submit(`"prompt":"Hi","stream":true,"on_disconnect":"cancel","model":"sim/429?times=1&retry_after=7&first=1s"`)
	var relays []io.Reader
	for len(relays) < 4 {
		resp := w.open("/api/jobs/"+id+"/stream", node.RelayHeader, "1")
		defer resp.Body.Close()
		if resp.StatusCode == http.StatusOK { // the attempt has begun
			relays = append(relays, resp.Body)
		}
	}
	for _, r := range relays {
		if events := sseEvents(t, r); len(events) == 0 || events[len(events)-1].Type != ringback.EventRetrying {
			t.Errorf("a relay got %v", events)
		}
	}
	var job ringback.Job
	w.eventually("the job ends", func() bool { // a call that waits for it would be a reader that has not left
		job = read[ringback.Job](t, w.do("GET", "/api/jobs/"+id, ""))
		return job.Status.Terminal()
	})
	if job.Status != ringback.Completed {
		t.Errorf("the job is %s", job.Status)
	}
}

// A bug of ours affects only the readers that trigger it.
func TestAPanicOverAReaderEndsThatReader(t *testing.T) {
	t.Parallel()
	logger, logged := api.LogTo(t)
	w := start(t, setup{api: api.Config{Logger: logger}, server: (*api.Server).PanicOverLarge})
	id := w.submit(`"prompt":"` + strings.Repeat("x", 100_000) + `","stream":true,"model":"sim/echo","run_at":"` + time.Now().Add(time.Second).UTC().Format(time.RFC3339Nano) + `"`)
	conn := w.dial("/api/jobs/" + id + "/ws")
	waits := w.open("/api/jobs/" + id + "/stream")
	defer waits.Body.Close()
	events, end := messages(t, conn)
	if end.Code != websocket.StatusInternalError || len(events) == 0 || events[len(events)-1].Job != nil {
		t.Errorf("over WebSocket, after %d events: got %v", len(events), end)
	}
	for _, events := range [][]ringback.StreamEvent{sseEvents(t, waits.Body), overSSE(w, id, "")} {
		if len(events) == 0 || events[len(events)-1].Job != nil {
			t.Errorf("over SSE: got %d events", len(events))
		}
	}
	if !strings.Contains(logged(), "this is large") {
		t.Errorf("it is not in the log:\n%.2000s", logged())
	}
}
