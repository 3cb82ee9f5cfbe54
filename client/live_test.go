package client_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/client"
)

// A cutter is a proxy to a server that breaks connections again and again, at random places
// in what the server sends.
type cutter struct {
	to    string
	most  int // bytes until a connection breaks
	conns sync.WaitGroup
	cuts  atomic.Int64
}

// startCutter returns a client whose connections to the server are cut.
func startCutter(t *testing.T, w *world, most int) (*client.Client, *cutter) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	p := &cutter{to: w.addr, most: most}
	p.conns.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			p.conns.Go(func() { p.carry(conn) })
		}
	})
	t.Cleanup(func() { l.Close(); p.conns.Wait() })
	transport := &http.Transport{DisableKeepAlives: true}
	c, err := client.New(client.Config{URL: "http://" + l.Addr().String(), APIKey: apiKey, HTTPClient: &http.Client{Transport: transport}})
	must(t, err)
	return c, p
}

func (p *cutter) carry(down net.Conn) {
	defer down.Close()
	up, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	defer up.Close()
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		_, _ = io.Copy(up, down)
	}()
	if _, err := io.CopyN(down, up, int64(1+rand.N(p.most))); err == nil {
		p.cuts.Add(1)
	}
	down.Close()
	up.Close()
	<-asked
}

// Readers of a real server, whose connections break at random places: each gets the whole
// answer, and each event once.
func TestReadersWhoAreCutOffHaveTheWholeAnswer(t *testing.T) {
	t.Parallel()
	w := start(t)
	reading, p := startCutter(t, w, 20_000)
	accepted, err := w.client.Submit(t.Context(), ringback.Request{Prompt: "Hi", Model: "sim/slow?words=300&pace=5ms", Events: noEvents, Stream: true})
	must(t, err)
	const readers = 20
	var read sync.WaitGroup
	for range readers {
		read.Go(func() {
			got, err := follow(t.Context(), reading, accepted.JobID)
			if err != nil {
				t.Error(err)
			} else if got.Text() != *got.Job().Result || len(got.Text()) < 1000 {
				t.Errorf("got %d bytes of text, want the result: %d", len(got.Text()), len(*got.Job().Result))
			}
		})
	}
	read.Wait()
	if n := p.cuts.Load(); n < readers {
		t.Errorf("there were %d cuts, which tries nothing", n)
	}
}

// follow reads a job to its end. It returns an error if an event is out of order.
func follow(ctx context.Context, c *client.Client, id string) (got client.Transcript, err error) {
	var last ringback.EventID
	for e, err := range c.Stream(ctx, id) {
		if err != nil {
			return got, err
		}
		if e.Compare(last) <= 0 {
			return got, fmt.Errorf("event %s came after %s", e.EventID, last)
		}
		last = e.EventID
		got.Add(e)
	}
	if got.Job() == nil {
		return got, fmt.Errorf("the stream ended after event %s, before the job", last)
	}
	return got, nil
}

func TestAStreamOutlivesARestartOfTheServer(t *testing.T) {
	t.Parallel()
	w := start(t)
	accepted, err := w.client.Submit(t.Context(), ringback.Request{Prompt: "Hi", Model: "sim/slow?words=100&pace=10ms", Events: noEvents, Stream: true})
	must(t, err)
	var got client.Transcript
	restarted, void := false, 0
	for e, err := range w.client.Stream(t.Context(), accepted.JobID) {
		must(t, err)
		if got.Add(e) {
			void++
		}
		if !restarted && strings.Count(got.Text(), " ") > 10 {
			restarted = true
			w.stop()
			w.serve()
		}
	}
	if void != 1 || got.Attempt() < 2 || got.Job() == nil || got.Text() != *got.Job().Result {
		t.Errorf("void %d times, attempt %d, %q of %+v", void, got.Attempt(), got.Text(), got.Job())
	}
}

func TestAJobThatIsNotStreamedHasItsTurns(t *testing.T) {
	t.Parallel()
	w := start(t)
	job, err := w.client.SubmitAndWait(t.Context(), ringback.Request{Prompt: "Hi", Events: noEvents})
	must(t, err)
	if job.Status != ringback.Completed || *job.Result != "Hi" {
		t.Errorf("got %+v", job)
	}
	events, err := collect(w.client.Stream(t.Context(), job.ID))
	must(t, err)
	if len(events) < 2 || events[0].Type != ringback.EventQueued || events[len(events)-1].Type != ringback.EventCompleted || *events[len(events)-1].Job.Result != "Hi" {
		t.Errorf("got %+v", events)
	}
	for _, e := range events {
		if e.Delta != nil {
			t.Errorf("there is a piece: %+v", e)
		}
	}
}

func TestWhoSubmitsAndWaitsHasOneJobWhateverHappens(t *testing.T) {
	t.Parallel()
	script := []serve{
		says(""), // it may have arrived
		refuses(503, "Retry-After: 7\r\n", `{"error":"stopping","code":"unavailable"}`),
		says("HTTP/1.1 202 Accepted\r\nConnection: close\r\n\r\n" + `{"job_id":"j1","status":"running"}`),
		says("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + `{"job_id":"j1","status":"running"}`),
		says("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + `{"job_id":"j1","status":"completed","result":"Hello"}`),
	}
	var asked []string
	keys := map[string]bool{}
	turn := inTurn(script...)
	note := func(conn net.Conn, r *http.Request) {
		asked = append(asked, r.Method+" "+r.RequestURI+" "+r.Header.Get("Prefer"))
		keys[r.Header.Get("Idempotency-Key")] = true
		turn(conn, r)
	}
	bubble(t, note, func(t *testing.T, c *client.Client) {
		job, err := c.SubmitAndWait(t.Context(), ringback.Request{Prompt: "Hi"})
		if err != nil || *job.Result != "Hello" {
			t.Errorf("got %+v, %v", job, err)
		}
	})
	want := []string{
		"POST /api/generate wait=60", "POST /api/generate wait=60", "POST /api/generate wait=60",
		"GET /api/jobs/j1?wait=60 ", "GET /api/jobs/j1?wait=60 ",
	}
	if d := cmp.Diff(want, asked); d != "" || len(keys) != 2 { // one, and none of the last two
		t.Errorf("keys %v, asked for (-want +got):\n%s", keys, d)
	}
	bubble(t, refuses(400, "", `{"code":"invalid_request","error":"no"}`), func(t *testing.T, c *client.Client) {
		_, err := c.SubmitAndWait(t.Context(), ringback.Request{}, client.IdempotencyKey("mine"))
		if err == nil || err.Error() != "no" {
			t.Errorf("got %v", err)
		}
	})
	bubble(t, says(""), func(t *testing.T, c *client.Client) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := c.SubmitAndWait(ctx, ringback.Request{})
		if err == nil || !strings.HasPrefix(err.Error(), "submit: context deadline exceeded; the last try: ") {
			t.Errorf("got %v", err)
		}
	})
}
