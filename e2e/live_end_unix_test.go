//go:build unix

package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidwall/gjson"
	"golang.org/x/sync/errgroup"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/postgrestest"
	"github.com/ringback/ringback/internal/simulate"
)

// cancelWithin is how soon a cancellation must show at all readers, on an otherwise idle
// machine; busyFactor is the allowance for a busy one.
const (
	cancelWithin = 100 * time.Millisecond
	busyFactor   = 20
)

// in returns the world for a subtest.
func (w *world) in(t *testing.T) *world {
	within := *w
	within.t = t
	return &within
}

// leaves waits until the provider sees that the connection of its nth call for a prompt is
// closed.
func (w *world) leaves(prompt string) {
	w.t.Helper()
	w.call(func(c simulate.Call) bool { return c.Prompt == prompt && c.End == simulate.ClientLeft })
}

// A cancellation shows at all readers, at any node, at once; the provider's connection is
// closed; and what they had read stays, with its cost.
func TestCancelShowsAtAllReaders(t *testing.T) {
	t.Run("at one node", func(t *testing.T) {
		w := newWorld(t, setup{})
		w.start()
		w.ready()
		w.in(t).cancelsUnder(t, w.endpoint, w.endpoint)
	})
	t.Run("at others than the one that runs the job", func(t *testing.T) {
		c := newCluster(t, setup{}, postgrestest.Database(t), 3)
		for n, roles := range []string{"api", "api", "worker"} {
			c.nodes[n].open("--roles", roles)
			c.nodes[n].ready()
		}
		c.in(t).cancelsUnder(t, c.nodes[0].endpoint, c.nodes[1].endpoint)
	})
}

// cancelsUnder cancels some jobs, one after another, under readers of two nodes.
func (w *world) cancelsUnder(t *testing.T, here, there *endpoint) {
	t.Helper()
	const jobs = 8
	var shown, closed []time.Duration
	for n := range jobs {
		prompt := fmt.Sprint("not wanted any more ", n)
		id := w.submit(ringback.Request{Stream: true, Prompt: prompt, Model: "sim/slow?words=20000&pace=5ms"})
		var viewers []*viewer
		for _, d := range []*endpoint{here, there} {
			for _, over := range []transport{sseByHeader, webSocket, goClient} {
				viewers = append(viewers, &viewer{endpoint: d, job: id, over: []transport{over}})
			}
		}
		var (
			asked   time.Time
			mu      sync.Mutex // guards asked and shown
			g       errgroup.Group
			reading sync.WaitGroup
		)
		for _, v := range viewers {
			reading.Add(1)
			begun := sync.OnceFunc(reading.Done)
			v.see = func(e ringback.StreamEvent) {
				if e.Number > 20 {
					begun()
				}
				if e.Job != nil {
					mu.Lock()
					defer mu.Unlock()
					shown = append(shown, time.Since(asked))
				}
			}
			g.Go(func() error { return v.watch(t.Context()) })
		}
		reading.Wait() // all see it grow
		mu.Lock()
		asked = time.Now()
		mu.Unlock()
		_, err := w.api.Cancel(t.Context(), id)
		must(t, err)
		w.leaves(prompt)
		closed = append(closed, time.Since(asked))
		must(t, g.Wait())
		job := w.ended(id)
		if job.Status != ringback.Cancelled || job.PartialResult == "" {
			t.Errorf("job %s is %s with the text %q, want it cancelled with what had come", id, job.Status, job.PartialResult)
		}
		usage := gjson.ParseBytes(job.Usage)
		if !usage.Get("input_tokens").Exists() || !usage.Get("output_tokens").Exists() {
			t.Errorf("the usage of job %s is %s, want it with input_tokens and output_tokens", id, job.Usage)
		}
		for _, v := range viewers {
			v.wantEnd(t, job)
			v.wantSame(t, viewers[0])
			if v.connections != 1 {
				t.Errorf("job %s: a viewer had %d connections, want one", id, v.connections)
			}
		}
	}
	t.Logf("a cancellation showed at %d readers within %s (median), %s (all); the provider's connection was closed within %s",
		len(shown), quantile(shown, .5), quantile(shown, 1), quantile(closed, 1))
	if slowest := quantile(shown, 1); slowest > busyFactor*cancelWithin {
		t.Errorf("a cancellation showed after %s", slowest)
	}
}

// A job with on_disconnect=cancel is cancelled five seconds after its last reader left; a
// reader that comes back before that keeps it.
func TestJobsThatNobodyWatchesAreCancelled(t *testing.T) {
	t.Parallel()
	c := newCluster(t, setup{}, postgrestest.Database(t), 3)
	for n, roles := range []string{"api", "api", "api,worker"} {
		c.nodes[n].open("--roles", roles)
		c.nodes[n].ready()
	}
	one, other, runs := c.nodes[0].endpoint, c.nodes[1].endpoint, c.nodes[2].endpoint
	request := func(t *testing.T, model string) ringback.Request {
		return ringback.Request{Stream: true, Prompt: t.Name(), Model: model, OnDisconnect: ringback.DisconnectCancel}
	}
	const endless, short = "sim/endless?pace=50ms", "sim/slow?words=160&pace=50ms" // 8 s
	submit := func(t *testing.T, model string) string {
		t.Helper()
		r := request(t, model)
		r.CallbackURL = c.callback
		accepted, err := runs.api.Submit(t.Context(), r)
		must(t, err)
		return accepted.JobID
	}
	// glance watches until some events have arrived, and leaves.
	glance := func(t *testing.T, d *endpoint, job string, over transport, events int) {
		t.Helper()
		ctx, leave := context.WithCancel(t.Context())
		defer leave()
		v := &viewer{endpoint: d, job: job, over: []transport{over}}
		v.see = func(ringback.StreamEvent) {
			if len(v.events) >= events {
				leave()
			}
		}
		if err := v.watch(ctx); ctx.Err() == nil {
			t.Errorf("the job ended while it was watched: %v", err)
		}
	}
	// look does so when some pieces have arrived.
	look := func(t *testing.T, d *endpoint, job string, over transport) {
		t.Helper()
		glance(t, d, job, over, 11)
	}
	wantCancelled := func(t *testing.T, job string, left time.Time) {
		t.Helper()
		c.in(t).leaves(t.Name())
		took := time.Since(left)
		got := c.in(t).ended(job)
		if got.Status != ringback.Cancelled || took < 4500*time.Millisecond {
			t.Errorf("the job is %s after %s, want it cancelled after 5 s", got.Status, took)
		}
		t.Logf("the provider saw the connection closed %s after the last one had left", took)
	}

	for name, at := range map[string]struct {
		endpoint *endpoint
		over     transport
	}{
		"SSE at the node that runs it":       {runs, sseByHeader},
		"WebSocket at the node that runs it": {runs, webSocket},
		"SSE at another node":                {one, sseByHeader},
		"WebSocket at another node":          {other, webSocket},
	} {
		t.Run("the last reader leaves: "+name, func(t *testing.T) {
			t.Parallel()
			id := submit(t, endless)
			look(t, at.endpoint, id, at.over)
			wantCancelled(t, id, time.Now())
		})
	}

	// waitAndLeave leaves once the provider has been called and has sent that many words.
	waitAndLeave := func(t *testing.T, d *endpoint, words int) {
		t.Helper()
		r := request(t, endless)
		r.Prompt, r.CallbackURL = fmt.Sprint(r.Prompt, d == runs), c.callback
		body, err := json.Marshal(r)
		must(t, err)
		ctx, leave := context.WithCancel(t.Context())
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://127.0.0.1/api/generate", strings.NewReader(string(body)))
		must(t, err)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Prefer", "wait=60")
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			if resp, err := d.http.Do(req); err == nil {
				said, _ := io.ReadAll(resp.Body)
				resp.Body.Close()
				t.Errorf("the waiting client got %s %s", resp.Status, said)
			}
		}()
		c.in(t).call(func(call simulate.Call) bool { return call.Prompt == r.Prompt && call.Words >= words })
		leave()
		<-gone
		left := time.Now()
		c.in(t).leaves(r.Prompt)
		if took := time.Since(left); took < 4500*time.Millisecond {
			t.Errorf("it was cancelled after %s, want 5 s", took)
		}
	}
	t.Run("one who waits for the answer leaves", func(t *testing.T) {
		t.Parallel()
		for _, d := range []*endpoint{runs, one} {
			waitAndLeave(t, d, 11)
		}
	})
	t.Run("one who waits leaves before its node knows that the job has begun", func(t *testing.T) {
		t.Parallel()
		waitAndLeave(t, one, 0)
	})

	t.Run("a reader comes back in time, at another node", func(t *testing.T) {
		t.Parallel()
		id := submit(t, short)
		look(t, runs, id, sseByHeader)
		v := &viewer{endpoint: other, job: id, over: []transport{webSocket}}
		must(t, v.watch(t.Context()))
		if job := c.in(t).ended(id); job.Status != ringback.Completed {
			t.Errorf("the job is %s, want it completed", job.Status)
		} else {
			v.wantEnd(t, job)
		}
	})

	t.Run("one of two readers leaves, at nodes of their own", func(t *testing.T) {
		t.Parallel()
		id := submit(t, short)
		v := &viewer{endpoint: other, job: id, over: []transport{sseByHeader}}
		reads := make(chan struct{})
		begun := sync.OnceFunc(func() { close(reads) })
		v.see = func(ringback.StreamEvent) { begun() }
		var g errgroup.Group
		g.Go(func() error { return v.watch(t.Context()) })
		<-reads
		look(t, one, id, sseByHeader)
		must(t, g.Wait())
		if job := c.in(t).ended(id); job.Status != ringback.Completed {
			t.Errorf("the job is %s though somebody watched it, want it completed", job.Status)
		} else {
			v.wantEnd(t, job)
		}
	})

	t.Run("one of two readers of a job without a stream leaves, at nodes of their own", func(t *testing.T) {
		t.Parallel()
		r := request(t, short)
		r.Stream, r.CallbackURL = false, c.callback
		accepted, err := runs.api.Submit(t.Context(), r)
		must(t, err)
		v := &viewer{endpoint: other, job: accepted.JobID, over: []transport{webSocket}}
		reads := make(chan struct{})
		begun := sync.OnceFunc(func() { close(reads) })
		v.see = func(ringback.StreamEvent) { begun() }
		var g errgroup.Group
		g.Go(func() error { return v.watch(t.Context()) })
		<-reads
		glance(t, runs, accepted.JobID, sseByHeader, 1)
		must(t, g.Wait())
		if job := c.in(t).ended(accepted.JobID); job.Status != ringback.Completed {
			t.Errorf("the job is %s though somebody watched it, want it completed", job.Status)
		}
	})

	t.Run("one of two readers of a job that waits leaves, at nodes of their own", func(t *testing.T) {
		t.Parallel()
		later := func(in time.Duration) string {
			r := request(t, "sim/echo")
			r.CallbackURL, r.RunAt = c.callback, &ringback.Time{Time: time.Now().Add(in)}
			accepted, err := runs.api.Submit(t.Context(), r)
			must(t, err)
			return accepted.JobID
		}
		watched, left := later(8*time.Second), later(time.Hour)
		v := &viewer{endpoint: other, job: watched, over: []transport{webSocket}}
		var g errgroup.Group
		g.Go(func() error { return v.watch(t.Context()) })
		glance(t, other, left, sseByHeader, 1)
		glance(t, one, watched, sseByHeader, 1)
		glance(t, one, left, sseByHeader, 1)
		eventually(t, "the cancel of the job that nobody watches", func() bool { // a client waiting for it would watch it
			job, err := runs.api.Get(t.Context(), left)
			must(t, err)
			return job.Status == ringback.Cancelled
		})
		must(t, g.Wait())
		if job := c.in(t).ended(watched); job.Status != ringback.Completed {
			t.Errorf("the job is %s though somebody watched it, want it completed", job.Status)
		}
	})

	t.Run("nobody has ever watched", func(t *testing.T) {
		t.Parallel()
		if job := c.in(t).ended(submit(t, short)); job.Status != ringback.Completed {
			t.Errorf("the job is %s, want it completed", job.Status)
		}
	})
}
