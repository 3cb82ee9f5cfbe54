//go:build siege && unix

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/client"
	"github.com/ringback/ringback/internal/simulate"
)

// The honest callers of the siege.

const (
	honestCallers  = 20
	honestPause    = 400 * time.Millisecond // between two jobs of one caller
	honestPatience = 2 * time.Minute        // for the end of an honest job
)

type honest struct {
	callers  int
	api      *client.Client
	callback string
	dead     <-chan struct{} // closed when the server has died
	note     func(job string)

	mu        sync.Mutex
	count     int
	delivered map[string]string        // job → what its webhook said
	waiting   map[string]chan struct{} // job → closed when its webhook arrives
}

func newHonest(callers int, note func(job string)) *honest {
	return &honest{callers: callers, note: note, delivered: map[string]string{}, waiting: map[string]chan struct{}{}}
}

// receive handles a webhook, of anybody's job.
func (h *honest) receive(d simulate.Delivery) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.delivered[d.JobID] == "" {
		h.delivered[d.JobID] = d.Type
		close(h.arrival(d.JobID))
	}
}

// moveIn starts a server in their world, with a key.
func (h *honest) moveIn(w *world) *server {
	w.t.Helper()
	w.env = append(w.env, "RINGBACK_API_KEY="+siegeKey)
	s := w.start()
	w.ready()
	var err error
	h.api, err = client.New(client.Config{URL: "http://127.0.0.1", HTTPClient: w.http, APIKey: siegeKey})
	must(w.t, err)
	h.callback, h.dead = w.callback, s.dead
	return s
}

// arrival must be called with the lock held.
func (h *honest) arrival(job string) chan struct{} {
	if h.waiting[job] == nil {
		h.waiting[job] = make(chan struct{})
	}
	return h.waiting[job]
}

// outcome is the outcome of the honest jobs of some seconds.
type outcome struct {
	mu       sync.Mutex
	jobs     int
	failures map[string]int
	accepted []time.Duration // how long each 202 took
	whole    []time.Duration // from submission to webhook
}

func (o *outcome) share() float64 {
	failed := 0
	for _, n := range o.failures {
		failed += n
	}
	return 1 - float64(failed)/float64(max(1, o.jobs))
}

// slowest returns how long the slowest hundredth took at least to be accepted.
func (o *outcome) slowest() time.Duration { return inOrder(o.accepted, 0.99) }

func (o *outcome) String() string {
	return fmt.Sprintf("%d honest jobs, %.2f %% well; 202 p50 %s, p99 %s; whole p50 %s, p99 %s; failures: %s", o.jobs, 100*o.share(),
		inOrder(o.accepted, 0.5), o.slowest(), inOrder(o.whole, 0.5), inOrder(o.whole, 0.99), counted(o.failures))
}

func inOrder(took []time.Duration, q float64) time.Duration {
	if len(took) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(took))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

// live makes the callers submit for that long, or until the server dies, and waits for all
// results.
func (h *honest) live(ctx context.Context, d time.Duration) *outcome {
	o := &outcome{failures: map[string]int{}}
	ctx, cancel := context.WithTimeout(ctx, d+honestPatience)
	defer cancel()
	go func() {
		select {
		case <-h.dead:
			cancel()
		case <-ctx.Done():
		}
	}()
	over, end := context.WithTimeout(ctx, d)
	defer end()
	var all sync.WaitGroup
	for range h.callers {
		all.Go(func() {
			for sleep(over, honestPause) {
				all.Go(func() { h.errand(ctx, o) })
			}
		})
	}
	all.Wait()
	return o
}

// errand runs one job, and notes how that went.
func (h *honest) errand(ctx context.Context, o *outcome) {
	h.mu.Lock()
	h.count++
	n := h.count
	h.mu.Unlock()
	err := h.run(ctx, o, n)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.jobs++
	if err != nil {
		o.failures[fmt.Sprintf("%.160s", err)]++
	}
}

func (h *honest) run(ctx context.Context, o *outcome, n int) error {
	prompt := fmt.Sprintf("%08d ", n) + strings.Repeat("honest work ", 170)
	begin := time.Now()
	accepted, err := h.api.Submit(ctx, ringback.Request{Prompt: prompt, Model: "sim/good", CallbackURL: h.callback, Stream: n%5 == 0},
		client.IdempotencyKey(fmt.Sprint("honest-", n)))
	took := time.Since(begin)
	if err != nil {
		return fmt.Errorf("submit: %w", err)
	}
	h.note(accepted.JobID)
	o.mu.Lock()
	o.accepted = append(o.accepted, took)
	o.mu.Unlock()
	if n%5 == 0 {
		if err := h.watch(ctx, accepted.JobID, prompt[:8]); err != nil {
			return fmt.Errorf("watch: %w", err)
		}
	}
	h.mu.Lock()
	arrival := h.arrival(accepted.JobID)
	h.mu.Unlock()
	select {
	case <-arrival:
	case <-ctx.Done():
		return errors.New("no webhook")
	}
	h.mu.Lock()
	kind := h.delivered[accepted.JobID]
	h.mu.Unlock()
	o.mu.Lock()
	o.whole = append(o.whole, time.Since(begin))
	o.mu.Unlock()
	if kind != string(ringback.EventCompleted) {
		return fmt.Errorf("the webhook is %s", kind)
	}
	if n%3 == 0 {
		job, err := h.api.Get(ctx, accepted.JobID)
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
		if job.Result == nil || !strings.Contains(*job.Result, prompt[:8]) {
			return errors.New("read: the result is another's")
		}
	}
	return nil
}

func (h *honest) watch(ctx context.Context, job, mark string) error {
	for e, err := range h.api.Stream(ctx, job) {
		if err != nil {
			return err
		}
		if e.Job != nil {
			if e.Job.Status != ringback.Completed || e.Job.Result == nil || !strings.Contains(*e.Job.Result, mark) {
				return fmt.Errorf("it ended as %s", e.Job.Status)
			}
			return nil
		}
	}
	return errors.New("the stream ended before the job")
}

// allEnd cancels what is still waiting or running, and fails the test if an accepted job
// does not end.
func (g *target) allEnd(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	for {
		alive := 0
		for _, status := range []ringback.Status{ringback.Queued, ringback.Running} {
			page, err := g.honest.api.List(ctx, client.Query{Status: status, Limit: 100})
			if err != nil && !busy(err) {
				t.Fatal(err)
			}
			for _, job := range page.Data {
				alive++
				_, _ = g.honest.api.Cancel(ctx, job.ID) // what has ended meanwhile is a conflict
			}
			if err != nil {
				alive++ // unknown
			}
		}
		if alive == 0 {
			break
		}
		if !sleep(ctx, 200*time.Millisecond) {
			t.Fatalf("at least %d jobs that were accepted do not end", alive)
		}
	}
	ended := map[string]bool{}
	q := client.Query{Limit: 100}
	for {
		page, err := g.honest.api.List(ctx, q)
		must(t, err)
		for _, job := range page.Data {
			ended[job.ID] = true
		}
		if page.NextCursor == nil {
			break
		}
		q.Cursor = *page.NextCursor
	}
	lost := 0
	for _, job := range g.book.jobs {
		if !ended[job] {
			lost++
		}
	}
	if lost > 0 {
		t.Errorf("%d of %d jobs that were accepted are not there any more", lost, len(g.book.jobs))
	}
	t.Logf("all %d accepted jobs have ended", len(g.book.jobs))
}
