package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/api"
	"github.com/ringback/ringback/internal/node"
	"github.com/ringback/ringback/internal/sse"
)

// patience is for what must come, on a busy machine.
const patience = 30 * time.Second

// A transport reads the events of a job after an id, to their end.
type transport func(w *world, id string, after string) []ringback.StreamEvent

var transports = map[string]transport{"SSE": overSSE, "WebSocket": overWebSocket}

func overSSE(w *world, id, after string) []ringback.StreamEvent {
	w.t.Helper()
	var header []string
	if after != "" {
		header = []string{"Last-Event-ID", after}
	}
	got := w.do("GET", "/api/jobs/"+id+"/stream", "", header...)
	if got.StatusCode == http.StatusNoContent {
		return nil
	}
	if got.StatusCode != http.StatusOK {
		w.t.Fatalf("GET stream of %s after %q: got %s %s", id, after, got.Status, got.body)
	}
	return sseEvents(w.t, strings.NewReader(got.body))
}

// sseEvents reads events, and checks their framing against the JSON.
func sseEvents(t *testing.T, r io.Reader) (events []ringback.StreamEvent) {
	t.Helper()
	for e, err := range sse.Read(r, sse.Limits{Line: 64 << 20, Event: 64 << 20}) {
		if err != nil {
			if errors.Is(err, sse.ErrCut) {
				return events
			}
			t.Fatal(err)
		}
		event := decodeEvent(t, e.Data)
		if e.ID != event.String() || e.Type != string(event.Type) {
			t.Errorf("id: %s, event: %s, data: %s", e.ID, e.Type, e.Data)
		}
		events = append(events, event)
	}
	return events
}

func decodeEvent(t *testing.T, data []byte) (event ringback.StreamEvent) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	must(t, d.Decode(&event))
	return event
}

func overWebSocket(w *world, id, after string) []ringback.StreamEvent {
	w.t.Helper()
	conn := w.dial("/api/jobs/" + id + "/ws?after=" + after)
	defer conn.CloseNow()
	events, end := messages(w.t, conn)
	if end.Code != websocket.StatusNormalClosure || end.Reason != "" {
		w.t.Errorf("the WebSocket of %s after %q ended with %d %q", id, after, end.Code, end.Reason)
	}
	return events
}

func (w *world) dial(path string, header ...string) *websocket.Conn {
	w.t.Helper()
	h := http.Header{}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	conn, _, err := websocket.Dial(w.t.Context(), w.url+path, &websocket.DialOptions{HTTPClient: w.client, HTTPHeader: h})
	must(w.t, err)
	conn.SetReadLimit(-1)
	return conn
}

// messages reads a WebSocket until the server closes it.
func messages(t *testing.T, conn *websocket.Conn) (events []ringback.StreamEvent, end websocket.CloseError) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		kind, data, err := conn.Read(ctx)
		if errors.As(err, &end) {
			return events, end
		}
		if err != nil {
			t.Fatalf("the WebSocket broke off: %v", err)
		}
		if kind != websocket.MessageText {
			t.Errorf("a message is of kind %s", kind)
		}
		events = append(events, decodeEvent(t, data))
	}
}

// grown returns a reader's text: that of the last attempt.
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

func TestAnAnswerIsSeenGrowingOverEitherTransport(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	for name, events := range transports {
		t.Run(name, func(t *testing.T) {
			id := w.submit(`"prompt":"Hi","stream":true,"model":"sim/slow?words=20&pace=5ms"`)
			got := events(w, id, "")
			job := w.end(id)
			if text := grown(got); text == "" || text != *job.Result {
				t.Errorf("the deltas make %q, the result is %q", text, *job.Result)
			}
			first, last := got[0], got[len(got)-1]
			if first.Type != ringback.EventQueued || got[1].Type != ringback.EventStarted || len(got) < 10 {
				t.Errorf("%d events begin with %s, %s", len(got), first.Type, got[1].Type)
			}
			if last.Type != ringback.EventCompleted || last.Job == nil || *last.Job.Result != *job.Result || last.Job.Response != nil || last.Job.StreamURL != "" {
				t.Errorf("the last event is %+v", last)
			}
		})
	}
}

func TestWhoResumesAtAnyEventGetsTheRest(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	id := w.submit(`"prompt":"Hi","stream":true,"model":"sim/break-off?words=12","max_attempts":1,"fallback_models":["sim/slow?words=12&pace=20ms"]`)
	live := overSSE(w, id, "")
	if again := overWebSocket(w, id, ""); !cmp.Equal(live, again) {
		t.Errorf("who came after the end got other events (-live +after):\n%s", cmp.Diff(live, again))
	}
	for i, e := range live {
		for name, events := range transports {
			if diff := cmp.Diff(append([]ringback.StreamEvent(nil), live[i+1:]...), events(w, id, e.String())); diff != "" {
				t.Errorf("over %s, after %s (-want +got):\n%s", name, e.EventID, diff)
			}
		}
	}
}

func TestWhoHasSeenTheEndIsToldThatThereIsNoMore(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	id := w.submit(`"prompt":"Hi"`)
	events := overSSE(w, id, "")
	last := events[len(events)-1].String()
	for _, got := range []answer{
		w.do("GET", "/api/jobs/"+id+"/stream", "", "Last-Event-ID", last),
		w.do("GET", "/api/jobs/"+id+"/stream?after="+last, ""),
		w.do("GET", "/api/jobs/"+id+"/stream?after=0-1", "", "Last-Event-ID", last), // the newer one counts
	} {
		if got.StatusCode != http.StatusNoContent || got.body != "" {
			t.Errorf("got %s %q, want 204", got.Status, got.body)
		}
	}
}

func TestAStreamIsNotHeldUpOnItsWay(t *testing.T) {
	t.Parallel()
	w := start(t, setup{server: func(s *api.Server) { s.Hurry(20*time.Millisecond, patience) }})
	id := w.submit(`"prompt":"Hi","run_at":"` + time.Now().Add(time.Hour).UTC().Format(time.RFC3339) + `"`)
	resp := w.open("/api/jobs/" + id + "/stream")
	defer resp.Body.Close()
	for name, want := range map[string]string{
		"Content-Type": "text/event-stream", "Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no", "Content-Length": "",
	} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	const queued = "retry: 1000\n\nid: 0-1\nevent: job.queued\ndata: {"
	start := make([]byte, len(queued))
	_, err := io.ReadFull(resp.Body, start)
	must(t, err)
	if string(start) != queued {
		t.Errorf("it begins with %q", start)
	}
	var seen []byte
	for !bytes.HasSuffix(seen, []byte("}\n\n:\n\n:\n\n")) { // the server lives
		b := make([]byte, 1)
		_, err := io.ReadFull(resp.Body, b)
		must(t, err)
		seen = append(seen, b...)
	}
	// A reader that has seen everything gets a response at once, too.
	again := w.open("/api/jobs/" + id + "/stream?after=0-1")
	must(t, again.Body.Close())
	if got := w.do("HEAD", "/api/jobs/"+id+"/stream", ""); got.StatusCode != http.StatusOK || got.Header.Get("Content-Type") != "text/event-stream" || got.ContentLength != -1 {
		t.Errorf("HEAD: got %s, %v", got.Status, got.Header)
	}
	if got := w.do("HEAD", "/api/jobs/0193c1a7-5e6f-7a8b-9c0d-1e2f3a4b5c6d/stream", ""); got.StatusCode != http.StatusNotFound {
		t.Errorf("HEAD of a job that is not there: got %s", got.Status)
	}
}

// open sends a GET and returns the response, whose body is still to come.
func (w *world) open(path string, header ...string) *http.Response {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, w.url+path, nil)
	must(w.t, err)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := w.client.Do(r)
	must(w.t, err)
	return resp
}

func TestWhatAReaderAsksForWronglyIsNamed(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	id := w.submit(`"prompt":"Hi"`)
	stream, ws := "/api/jobs/"+id+"/stream", "/api/jobs/"+id+"/ws"
	bad := func(field, message string) ringback.Error {
		return ringback.Error{Code: ringback.InvalidRequest, Field: field, Message: message}
	}
	const form = " must be the id of an event, ATTEMPT-NUMBER, such as 1-7"
	w.refused(w.do("GET", stream+"?after=7", ""), http.StatusBadRequest, bad("after", "after"+form))
	w.refused(w.do("GET", stream, "", "Last-Event-ID", "last"), http.StatusBadRequest, bad("Last-Event-ID", "Last-Event-ID"+form))
	w.refused(w.do("GET", ws, ""), http.StatusBadRequest,
		bad("", "this path speaks WebSocket; GET /api/jobs/{id}/stream has the same events over plain HTTP"))
	upgrade := []string{"Connection", "keep-alive, Upgrade", "Upgrade", "WebSocket", "Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="}
	w.refused(w.do("GET", ws, "", append(upgrade, "Sec-WebSocket-Version", "12")...), http.StatusBadRequest,
		bad("Sec-WebSocket-Version", "Sec-WebSocket-Version must be 13"))
	w.refused(w.do("GET", ws+"?after=x", "", append(upgrade, "Sec-WebSocket-Version", "13")...), http.StatusBadRequest, bad("after", "after"+form))
	const unknown = "0193c1a7-5e6f-7a8b-9c0d-1e2f3a4b5c6d"
	w.refused(w.do("GET", "/api/jobs/"+unknown+"/stream", ""), http.StatusNotFound,
		ringback.Error{Code: ringback.NotFound, Message: `there is no job "` + unknown + `"`})
	w.end(id)
	w.refused(w.do("GET", stream, "", node.RelayHeader, "1"), http.StatusNotFound,
		ringback.Error{Code: ringback.NotFound, Message: `there is no job "` + id + `"`})
}

func TestATokenOpensItsJobAlone(t *testing.T) {
	t.Parallel()
	logger, logged := api.LogTo(t)
	w := start(t, setup{api: api.Config{APIKey: "k", Logger: logger}})
	submit := func() ringback.Accepted {
		return read[ringback.Accepted](t, w.do("POST", "/api/generate", `{"prompt":"Hi","events":[],"stream":true}`, "x-api-key", "k"))
	}
	mine, other := submit(), submit()
	path, token, _ := strings.Cut(mine.StreamURL, "?token=")
	if path != mine.StatusURL+"/stream" || token == "" {
		t.Fatalf("stream_url is %s", mine.StreamURL)
	}
	if got := w.do("GET", mine.StreamURL, ""); got.StatusCode != http.StatusOK {
		t.Errorf("with the token: got %s %s", got.Status, got.body)
	}
	conn := w.dial(mine.StatusURL + "/ws?token=" + token)
	if _, end := messages(t, conn); end.Code != websocket.StatusNormalClosure {
		t.Errorf("with the token over WebSocket: got %v", end)
	}
	closed := ringback.Error{
		Code:    ringback.Unauthorized,
		Message: "this token does not open this job, or its hour is over; GET /api/jobs/{id} has a new stream_url",
	}
	w.refused(w.do("GET", other.StatusURL+"/stream?token="+token, ""), http.StatusUnauthorized, closed)
	w.refused(w.do("GET", mine.StatusURL+"/stream?token="+token+"x", ""), http.StatusUnauthorized, closed)
	w.refused(w.do("GET", mine.StatusURL+"?token="+token, ""), http.StatusUnauthorized, ringback.Error{
		Code: ringback.Unauthorized, Message: "an API key is required; send it as Authorization: Bearer KEY or as x-api-key: KEY",
	})
	if got := w.do("GET", mine.StatusURL+"/stream?token=old", "", "x-api-key", "k"); got.StatusCode != http.StatusOK {
		t.Errorf("with the key beside an old token: got %s", got.Status)
	}
	job := read[ringback.Job](t, w.do("GET", mine.StatusURL, "", "x-api-key", "k"))
	if got := w.do("GET", job.StreamURL, ""); got.StatusCode != http.StatusOK {
		t.Errorf("with the token that GET gives: got %s", got.Status)
	}
	if strings.Contains(logged(), token) || strings.Contains(logged(), "token=") {
		t.Errorf("a token is in the log:\n%s", logged())
	}
}

func TestReadersAreBounded(t *testing.T) {
	t.Parallel()
	w := start(t, setup{api: api.Config{MaxReaders: 1, Metrics: prometheus.NewRegistry()}})
	id := w.submit(`"prompt":"Hi","run_at":"` + time.Now().Add(time.Hour).UTC().Format(time.RFC3339) + `"`)
	path := "/api/jobs/" + id + "/stream"
	first := w.open(path)
	got := w.do("GET", path, "")
	w.refused(got, http.StatusServiceUnavailable, ringback.Error{
		Code: ringback.Unavailable, Message: "too many readers watch jobs at this server; try again in a moment",
	})
	if after := got.Header.Get("Retry-After"); after != "5" {
		t.Errorf("Retry-After: %s", after)
	}
	w.metric(`ringback_stream_readers{transport="sse"} 1`)
	must(t, first.Body.Close())
	w.metric(`ringback_stream_readers{transport="sse"} 0`)
	second := w.open(path)
	must(t, second.Body.Close())
}

// metric waits for a line of the metrics.
func (w *world) metric(line string) {
	w.t.Helper()
	w.eventually("the metrics have "+line, func() bool { return strings.Contains(w.do("GET", "/metrics", "").body, "\n"+line+"\n") })
}

// manyEvents are more than fit into a connection that nobody reads.
const manyEvents = `"prompt":"Hi","stream":true,"model":"sim/echo?words=8000"`

// A reader that reads nothing is cut off. Nobody waits for it meanwhile, and what it has
// read is the beginning of what it gets by resuming.
func TestAReaderThatTakesNothingIsCutOff(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"sse", "websocket"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := start(t, setup{api: api.Config{Metrics: prometheus.NewRegistry()}, server: func(s *api.Server) { s.Hurry(time.Hour, 300*time.Millisecond) }})
			id := w.submit(manyEvents)
			slow := w.narrow(id, name)
			if text, job := grown(overSSE(w, id, "")), w.end(id); text != *job.Result {
				t.Errorf("another reader got %d bytes of %d", len(text), len(*job.Result))
			}
			w.metric(`ringback_stream_readers_cut_total{transport="` + name + `"} 1`)
			seen := slow()
			if len(seen) == 0 || seen[len(seen)-1].Job != nil {
				t.Fatalf("the slow reader has %d events", len(seen))
			}
			rest := overSSE(w, id, seen[len(seen)-1].String())
			if diff := cmp.Diff(overSSE(w, id, ""), append(seen, rest...)); diff != "" {
				t.Errorf("who is cut off and resumes (-want +got):\n%.2000s", diff)
			}
			w.metric(`ringback_stream_readers{transport="` + name + `"} 0`)
		})
	}
}

// narrow opens a stream on a connection with small buffers. rest reads what has arrived, to
// the end of the connection.
func (w *world) narrow(id, transport string) (rest func() []ringback.StreamEvent) {
	w.t.Helper()
	client := w.narrowClient()
	if transport == "sse" {
		r, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, w.url+"/api/jobs/"+id+"/stream", nil)
		must(w.t, err)
		resp, err := client.Do(r)
		must(w.t, err)
		return func() []ringback.StreamEvent {
			defer resp.Body.Close()
			came, _ := io.ReadAll(resp.Body) // it breaks off
			return sseEvents(w.t, bytes.NewReader(came))
		}
	}
	conn, _, err := websocket.Dial(w.t.Context(), w.url+"/api/jobs/"+id+"/ws", &websocket.DialOptions{HTTPClient: client})
	must(w.t, err)
	conn.SetReadLimit(-1)
	return func() (events []ringback.StreamEvent) {
		defer conn.CloseNow()
		for {
			_, data, err := conn.Read(w.t.Context())
			if err != nil {
				return events
			}
			events = append(events, decodeEvent(w.t, data))
		}
	}
}

// narrowClient makes connections with small buffers that nobody reads.
func (w *world) narrowClient() *http.Client {
	dialer := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if err == nil {
			err = conn.(*net.TCPConn).SetReadBuffer(128 << 10)
		}
		return conn, err
	}}
	w.t.Cleanup(dialer.CloseIdleConnections)
	return &http.Client{Transport: dialer}
}

func TestAReaderThatIsLateIsToldWhereToResume(t *testing.T) {
	t.Parallel()
	const grace = 4 * time.Second
	w := start(t, setup{server: func(s *api.Server) { s.Hurry(time.Hour, grace) }})
	id := w.submit(manyEvents)
	w.end(id)
	client := w.narrowClient()
	conn, _, err := websocket.Dial(t.Context(), w.url+"/api/jobs/"+id+"/ws", &websocket.DialOptions{HTTPClient: client})
	must(t, err)
	defer conn.CloseNow()
	conn.SetReadLimit(-1)
	time.Sleep(3 * grace / 2) // it is that: late
	events, end := messages(t, conn)
	if len(events) == 0 {
		t.Fatal("nothing came")
	}
	want := websocket.CloseError{Code: websocket.StatusTryAgainLater, Reason: "resume with ?after=" + events[len(events)-1].String()}
	if end != want {
		t.Errorf("after %d events: got %v, want %v", len(events), end, want)
	}
}

func TestTheServersEndIsToldToReaders(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	id := w.submit(`"prompt":"Hi","stream":true,"model":"sim/endless?pace=10ms"`)
	stream := w.open("/api/jobs/" + id + "/stream")
	defer stream.Body.Close()
	conn := w.dial("/api/jobs/" + id + "/ws")
	defer conn.CloseNow()
	var seen []ringback.StreamEvent
	for len(seen) == 0 || seen[len(seen)-1].Delta == nil {
		_, data, err := conn.Read(t.Context())
		must(t, err)
		seen = append(seen, decodeEvent(t, data))
	}
	begun := time.Now()
	w.stop()
	text, err := io.ReadAll(stream.Body)
	must(t, err)
	tail := string(text[bytes.LastIndex(bytes.TrimSpace(text), []byte("\n"))+1:])
	if !strings.HasPrefix(tail, "retry: ") {
		t.Errorf("the last line is %q, want a hint when to come again", tail)
	}
	rest, end := messages(t, conn)
	seen = append(seen, rest...)
	resume := "the server is stopping; resume with ?after=" + seen[len(seen)-1].String()
	if end.Code != websocket.StatusGoingAway || end.Reason != resume {
		t.Errorf("got %v, want %q", end, resume)
	}
	err = <-w.ended
	w.ended <- err
	if took := time.Since(begun); took > closeSoon {
		t.Errorf("it took %v", took)
	}
}

// closeSoon is how long readers may delay the server's end.
const closeSoon = 3 * time.Second

func TestWhatAReaderSaysIsNotHeard(t *testing.T) {
	t.Parallel()
	w := start(t, setup{server: func(s *api.Server) { s.Hurry(10*time.Millisecond, patience) }})
	id := w.submit(`"prompt":"Hi","stream":true,"model":"sim/slow?words=10&pace=20ms"`)
	conn := w.dial("/api/jobs/" + id + "/ws")
	for range 10 {
		must(t, conn.Write(t.Context(), websocket.MessageText, []byte("hello?")))
	}
	if events, end := messages(t, conn); end.Code != websocket.StatusNormalClosure || grown(events) == "" {
		t.Errorf("got %d events, %v", len(events), end)
	}
	conn = w.dial("/api/jobs/" + w.submit(`"prompt":"Hi","model":"sim/mute"`) + "/ws")
	must(t, conn.Write(t.Context(), websocket.MessageText, make([]byte, 64<<10)))
	if _, end := messages(t, conn); end.Code != websocket.StatusMessageTooBig {
		t.Errorf("a large message: got %v", end)
	}
}

func TestReadersThatVanishLeaveNothing(t *testing.T) {
	t.Parallel()
	w := start(t, setup{api: api.Config{Metrics: prometheus.NewRegistry()}})
	id := w.submit(`"prompt":"Hi","stream":true,"model":"sim/mute"`)
	var open []io.Closer
	for range 50 {
		open = append(open, w.open("/api/jobs/"+id+"/stream").Body)
		conn := w.dial("/api/jobs/" + id + "/ws")
		open = append(open, closer(conn.CloseNow))
	}
	w.metric(`ringback_stream_readers{transport="websocket"} 50`)
	for _, c := range open {
		_ = c.Close()
	}
	w.metric(`ringback_stream_readers{transport="sse"} 0`)
	w.metric(`ringback_stream_readers{transport="websocket"} 0`)
}

type closer func() error

func (c closer) Close() error { return c() }
