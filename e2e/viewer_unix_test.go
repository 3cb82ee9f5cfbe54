//go:build unix

package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/tidwall/gjson"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/client"
	"github.com/ringback/ringback/internal/sse"
)

// viewer watches a job up to its end, over one connection after another. Each may be cut,
// and each may be of another kind.
type viewer struct {
	endpoint *endpoint
	job      string
	// over are the transports: each connection takes one at random.
	over []transport
	// wrap returns the replacement for a connection, the first being 0. nil: none is
	// replaced.
	wrap func(connection int, c net.Conn) net.Conn
	// see is called with each event. nil: not called.
	see func(ringback.StreamEvent)

	events      []ringback.StreamEvent
	connections int
	losses      []error // why connections ended before the job did
}

// A transport watches over one connection, continuing after what the viewer has seen, and
// returns nil at the job's end.
type transport struct {
	name  string
	watch func(ctx context.Context, v *viewer, c *http.Client) error
}

var (
	sseByHeader = transport{"SSE, resumed by Last-Event-ID", func(ctx context.Context, v *viewer, c *http.Client) error {
		return v.overSSE(ctx, c, "", http.Header{"Last-Event-Id": {v.last()}})
	}}
	sseByURL = transport{"SSE, resumed by ?after=", func(ctx context.Context, v *viewer, c *http.Client) error {
		return v.overSSE(ctx, c, "?after="+v.last(), nil)
	}}
	webSocket = transport{"WebSocket", func(ctx context.Context, v *viewer, c *http.Client) error {
		return v.overWebSocket(ctx, c)
	}}
	// goClient reconnects by itself, as often as necessary.
	goClient = transport{"the Go client", func(ctx context.Context, v *viewer, c *http.Client) error {
		return v.byClient(ctx, c)
	}}
)

// transports are those that continue after what was seen over another one.
var transports = []transport{sseByHeader, sseByURL, webSocket}

// watch watches to the job's end, over as many connections as necessary.
func (v *viewer) watch(ctx context.Context) error {
	for {
		err := v.watchOnce(ctx)
		if err == nil || ctx.Err() != nil || errors.Is(err, errWrong) {
			return err
		}
		v.losses = append(v.losses, err)
		select {
		case <-time.After(rand.N(20 * time.Millisecond)):
		case <-ctx.Done():
		}
	}
}

// watchOnce watches over one connection.
func (v *viewer) watchOnce(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c := v.client()
	defer c.CloseIdleConnections()
	over := v.over[rand.IntN(len(v.over))]
	if err := over.watch(ctx, v, c); err != nil {
		return fmt.Errorf("%s: %w", over.name, err)
	}
	return nil
}

// client makes a connection for each request.
func (v *viewer) client() *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, v.endpoint.address())
			if err != nil {
				return nil, err
			}
			if v.wrap != nil {
				conn = v.wrap(v.connections, conn)
			}
			v.connections++
			return conn, nil
		},
	}}
}

// last returns the id of the last event that was seen.
func (v *viewer) last() string {
	if len(v.events) == 0 {
		return ""
	}
	return v.events[len(v.events)-1].String()
}

// mostEvent bounds an event in bytes.
const mostEvent = 64 << 20

// errUnended is an error that another connection may fix.
var errUnended = errors.New("the stream ended before the job")

// errWrong is an error that another connection would not fix.
var errWrong = errors.New("what came is wrong")

func (v *viewer) overSSE(ctx context.Context, c *http.Client, query string, header http.Header) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1/api/jobs/"+v.job+"/stream"+query, nil)
	if err != nil {
		return err
	}
	maps.Copy(req.Header, header)
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusNoContent && len(v.events) > 0 && v.events[len(v.events)-1].Job != nil:
		return nil // it was cut after the end
	case resp.StatusCode >= 500:
		return errors.New(resp.Status)
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("%w: %s of the stream of job %s behind %q", errWrong, resp.Status, v.job, v.last())
	}
	for e, err := range sse.Read(resp.Body, sse.Limits{Line: mostEvent, Event: mostEvent}) {
		if err != nil {
			return err
		}
		event, err := v.take(e.Data)
		switch {
		case err != nil:
			return err
		case e.ID != event.String() || e.Type != string(event.Type):
			return fmt.Errorf("%w: event %s %s came as %s %s", errWrong, event.Type, event.EventID, e.Type, e.ID)
		}
	}
	if len(v.events) > 0 && v.events[len(v.events)-1].Job != nil {
		return nil
	}
	return errUnended
}

func (v *viewer) overWebSocket(ctx context.Context, c *http.Client) error {
	conn, resp, err := websocket.Dial(ctx, "ws://127.0.0.1/api/jobs/"+v.job+"/ws?after="+v.last(), &websocket.DialOptions{HTTPClient: c})
	if err != nil {
		if resp != nil && resp.StatusCode < 500 && resp.StatusCode != http.StatusSwitchingProtocols {
			return fmt.Errorf("%w: %w", errWrong, err)
		}
		return err
	}
	defer conn.CloseNow()
	conn.SetReadLimit(mostEvent)
	for {
		kind, data, err := conn.Read(ctx)
		if err != nil {
			if len(v.events) > 0 && v.events[len(v.events)-1].Job != nil && websocket.CloseStatus(err) == websocket.StatusNormalClosure {
				return nil
			}
			return err
		}
		if kind != websocket.MessageText {
			return fmt.Errorf("%w: a message of kind %s", errWrong, kind)
		}
		if _, err := v.take(data); err != nil {
			return err
		}
	}
}

func (v *viewer) byClient(ctx context.Context, c *http.Client) error {
	api, err := client.New(client.Config{URL: "http://127.0.0.1", HTTPClient: c})
	if err != nil {
		return err
	}
	after, _ := ringback.ParseEventID(v.last()) // it came from an event
	for e, err := range api.Stream(ctx, v.job, client.After(after)) {
		if err != nil {
			return fmt.Errorf("%w: %w", errWrong, err)
		}
		v.keep(e)
	}
	return nil
}

// take handles an event.
func (v *viewer) take(data []byte) (ringback.StreamEvent, error) {
	var e ringback.StreamEvent
	if err := json.Unmarshal(data, &e); err != nil {
		return e, fmt.Errorf("%w: %q is no event: %w", errWrong, data, err)
	}
	v.keep(e)
	return e, nil
}

func (v *viewer) keep(e ringback.StreamEvent) {
	v.events = append(v.events, e)
	if v.see != nil {
		v.see(e)
	}
}

// said returns the content of a job's events: the blocks of the last attempt, in order.
func said(events []ringback.StreamEvent, kind ringback.DeltaKind) string {
	var attempt int64
	blocks := map[int]*strings.Builder{}
	for _, e := range events {
		if e.Attempt > attempt && e.Job == nil {
			attempt = e.Attempt
			clear(blocks)
		}
		if e.Delta == nil || e.Kind != kind {
			continue
		}
		if blocks[e.Index] == nil {
			blocks[e.Index] = &strings.Builder{}
		}
		blocks[e.Index].WriteString(e.Text)
	}
	var all strings.Builder
	for _, i := range slices.Sorted(maps.Keys(blocks)) {
		all.WriteString(blocks[i].String())
	}
	return all.String()
}

// wantEnd checks that the viewer has seen each event once, in order, and has got what is
// stored.
func (v *viewer) wantEnd(t *testing.T, want ringback.Job) {
	t.Helper()
	if len(v.events) == 0 {
		t.Fatalf("job %s: a viewer saw nothing", v.job)
	}
	for i := 1; i < len(v.events); i++ {
		if before, e := v.events[i-1].EventID, v.events[i].EventID; e.Compare(before) <= 0 {
			t.Errorf("job %s: event %s came behind %s", v.job, e, before)
		}
	}
	last := v.events[len(v.events)-1]
	if last.Job == nil || last.Job.Status != want.Status || last.Type != ringback.EventOf(want.Status) {
		t.Errorf("job %s: the last event is %s %s, want the end, %s", v.job, last.Type, last.EventID, want.Status)
	}
	text := want.PartialResult
	if want.Result != nil {
		text = *want.Result
	}
	if got := said(v.events, ringback.DeltaText); got != text {
		t.Errorf("job %s: a viewer read %.1000q, want %.1000q", v.job, got, text)
	}
	if want.Response == nil {
		return
	}
	content := gjson.GetBytes(want.Response, "content")
	var thoughts strings.Builder
	for _, thought := range content.Get("#.thinking").Array() {
		thoughts.WriteString(thought.Str)
	}
	if got := said(v.events, ringback.DeltaThinking); got != thoughts.String() {
		t.Errorf("job %s: a viewer read the thoughts %q, want %q", v.job, got, thoughts.String())
	}
	if got, input := said(v.events, ringback.DeltaToolInput), content.Get("#.input|0").Raw; gjson.Get(got, "@ugly").Raw != input {
		t.Errorf("job %s: a viewer read the tool's input %q, want %q", v.job, got, input)
	}
}

// wantSame checks that two viewers have seen the same events, except for when they looked.
func (v *viewer) wantSame(t *testing.T, other *viewer) {
	t.Helper()
	type seen struct {
		id   ringback.EventID
		kind ringback.EventType
		text ringback.Delta
	}
	brief := func(events []ringback.StreamEvent) (all []seen) {
		for _, e := range events {
			s := seen{id: e.EventID, kind: e.Type}
			if e.Delta != nil {
				s.text = *e.Delta
			}
			all = append(all, s)
		}
		return all
	}
	a, b := brief(v.events), brief(other.events)
	if slices.Equal(a, b) {
		return
	}
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			t.Errorf("job %s: event %d is %v for one viewer, %v for another", v.job, i, a[i], b[i])
			return
		}
	}
	t.Errorf("job %s: one viewer saw %d events, another %d", v.job, len(a), len(b))
}

var errCut = errors.New("the connection was cut")

// cutConn is a connection that breaks after that many bytes, even in the middle of
// something.
type cutConn struct {
	net.Conn

	left atomic.Int64
}

func cutAfter(conn net.Conn, bytes int) net.Conn {
	c := &cutConn{Conn: conn}
	c.left.Store(int64(bytes))
	return c
}

func (c *cutConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p[:min(int64(len(p)), c.left.Load())])
	if c.left.Add(int64(-n)) == 0 && err == nil {
		if tcp, ok := c.Conn.(*net.TCPConn); ok && rand.IntN(2) == 0 {
			_ = tcp.SetLinger(0) // the other side gets a reset
		}
		c.Close()
		err = errCut
	}
	return n, err
}
