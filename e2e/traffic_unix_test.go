//go:build unix

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/client"
	"github.com/ringback/ringback/internal/simulate"
)

const (
	travellers = 24
	// abroad is the largest number of jobs between their acceptance and their end.
	abroad = 128
	// travelPause is the mean time between a traveller's jobs: a load that leaves the
	// machine room, so that its faults are those that the test makes.
	travelPause = 200 * time.Millisecond
	// answerWithin is how long a client gives a node before it asks another.
	answerWithin = 2 * time.Second
)

// traffic is a load on all nodes of a cluster at once: each request goes to any of them,
// and to another one while there is no answer.
type traffic struct {
	*cluster

	done  chan struct{} // closed when nothing more should be submitted
	slots chan struct{} // holds one for each job in progress

	mu     sync.Mutex
	orders map[string]*order          // by the id that was accepted
	called map[string]ringback.Status // the status in the first webhook of a job's end
	faults int                        // answers of 503, and connections that broke
}

// order is what was requested.
type order struct {
	ringback.Request

	looksAfter bool            // without a webhook: its client polls until it has ended
	cancelled  bool            // its client no longer wants it
	seen       ringback.Status // its final status as first seen by its client; "" if that did not look
	end        ringback.Job
}

func newTraffic(c *cluster) *traffic {
	return &traffic{
		cluster: c, done: make(chan struct{}), slots: make(chan struct{}, abroad),
		orders: map[string]*order{}, called: map[string]ringback.Status{},
	}
}

// received records a webhook. A job's first one lets another job in.
func (l *traffic) received(d simulate.Delivery) {
	l.mu.Lock()
	_, known := l.called[d.JobID]
	if !known {
		l.called[d.JobID] = ringback.Status(d.Status)
	}
	l.mu.Unlock()
	if !known {
		<-l.slots
	}
}

// orderOf returns a traveller's nth order.
func orderOf(traveller, n int, callback string) *order {
	o := &order{Request: ringback.Request{
		Prompt: fmt.Sprintf("order %d of traveller %d", n, traveller), CallbackURL: callback,
		Model: "sim/slow?words=30&pace=50ms", MaxAttempts: new(20), // a kill costs none of them
	}}
	switch n % 10 {
	case 0:
		o.Model = "sim/echo"
	case 1:
		o.Priority = new(rand.IntN(10))
	case 2:
		if n%20 == 2 { // its own model, so that no breaker delays it
			o.Model = fmt.Sprintf("sim/flaky-1?first=%dus", 1+traveller+travellers*n)
		}
	case 3:
		o.Model, o.Events, o.looksAfter = "sim/echo", &[]ringback.EventType{}, true
	case 5:
		o.cancelled = true
	case 6:
		o.Model, o.RunAt, o.Priority = "sim/echo", &ringback.Time{Time: time.Now().Add(2 * time.Second)}, new(5)
	case 8:
		o.Events, o.looksAfter, o.Priority = &[]ringback.EventType{}, true, new(9)
	case 9:
		if n%20 == 9 {
			o.Model = "sim/status-400"
		}
	}
	if o.looksAfter {
		o.CallbackURL = ""
	}
	return o
}

// travel submits until it is told to stop, each order exactly once: repeatedly under the
// same key, at any node, until it is accepted.
func (l *traffic) travel(ctx context.Context, traveller int) error {
	var jobs errgroup.Group
	for n := 0; ; n++ {
		select {
		case <-l.done:
			return jobs.Wait()
		case <-ctx.Done():
			return context.Cause(ctx)
		case l.slots <- struct{}{}:
		}
		o := orderOf(traveller, n, l.callback)
		id, err := l.place(ctx, o)
		if err != nil {
			return fmt.Errorf("submit %q: %w", o.Prompt, err)
		}
		jobs.Go(func() error { return l.serve(ctx, id, o) })
		pause(ctx, travelPause)
	}
}

// place submits an order until it is accepted.
func (l *traffic) place(ctx context.Context, o *order) (id string, err error) {
	err = l.retryUntil(ctx, func(ctx context.Context, api *client.Client) error {
		accepted, err := api.Submit(ctx, o.Request, client.IdempotencyKey(o.Prompt))
		id = accepted.JobID
		return err
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.orders[id] = o
	return id, err
}

// serve does what an order's client does once it is accepted.
func (l *traffic) serve(ctx context.Context, id string, o *order) error {
	switch {
	case o.cancelled:
		pause(ctx, 500*time.Millisecond)
		return l.retryUntil(ctx, func(ctx context.Context, api *client.Client) error {
			_, err := api.Cancel(ctx, id)
			if e, ok := errors.AsType[*ringback.Error](err); ok && e.Code == ringback.Conflict {
				return nil // it has ended already
			}
			return err
		})
	case o.looksAfter:
		defer func() { <-l.slots }()
		for !o.seen.Terminal() {
			pause(ctx, 250*time.Millisecond)
			err := l.retryUntil(ctx, func(ctx context.Context, api *client.Client) error {
				job, err := api.Get(ctx, id)
				o.seen = job.Status
				return err
			})
			if err != nil {
				return fmt.Errorf("look after job %s: %w", id, err)
			}
		}
	}
	return nil
}

// retryUntil asks one node after another until one answers. A response that a node must not
// give, such as that there is no such job, ends it.
func (l *traffic) retryUntil(ctx context.Context, ask func(context.Context, *client.Client) error) error {
	for {
		once, cancel := context.WithTimeout(ctx, answerWithin)
		err := ask(once, l.nodes[rand.IntN(len(l.nodes))].api)
		cancel()
		if err == nil || ctx.Err() != nil {
			return err
		}
		if e, refused := errors.AsType[*ringback.Error](err); refused && (e.Code != ringback.Unavailable || e.RetryAfterSeconds == 0) {
			return err
		}
		l.mu.Lock()
		l.faults++
		l.mu.Unlock()
		pause(ctx, 100*time.Millisecond)
	}
}

// pause sleeps for that long on average, or until ctx ends.
func pause(ctx context.Context, mean time.Duration) {
	select {
	case <-time.After(mean/2 + rand.N(mean)):
	case <-ctx.Done():
	}
}

// begin begins the traffic. stop ends it, and returns when all orders that clients look
// after have ended.
func (l *traffic) begin(ctx context.Context) (stop func() error) {
	g, ctx := errgroup.WithContext(ctx)
	for n := range travellers {
		g.Go(func() error { return l.travel(ctx, n) })
	}
	return func() error {
		close(l.done)
		return g.Wait()
	}
}

// wantEnds checks that every accepted order ends once, as it must, the same for all
// clients. It returns the ledgers, which explain the provider's calls.
func (l *traffic) wantEnds() map[string][]ringback.Attempt {
	l.t.Helper()
	l.forEach(func(id string, o *order) error {
		job, err := l.awaitEnd(id, o)
		o.end = job
		return err
	})
	calls := map[string]int{} // by prompt
	for _, c := range l.calls.Calls() {
		calls[c.Prompt]++
	}
	ledgers := map[string][]ringback.Attempt{}
	l.forEach(func(id string, o *order) error {
		ledger, err := l.api.Attempts(l.t.Context(), id)
		if err != nil {
			return err
		}
		if wrong := l.faultOf(id, o, ledger, calls[o.Prompt]); wrong != "" {
			l.t.Errorf("job %s (%s, %q, %d calls of the provider) is %s, but %s; its ledger:\n%s",
				id, o.Model, o.Prompt, calls[o.Prompt], o.end.Status, wrong, describe(ledger))
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		ledgers[id] = ledger
		return nil
	})
	for id := range l.called {
		if l.orders[id] == nil {
			l.t.Errorf("a webhook came for job %s, which was never submitted", id)
		}
	}
	return ledgers
}

// forEach calls do for all orders, a few at a time.
func (l *traffic) forEach(do func(id string, o *order) error) {
	l.t.Helper()
	var g errgroup.Group
	g.SetLimit(travellers)
	for id, o := range l.orders {
		g.Go(func() error {
			if err := do(id, o); err != nil {
				return fmt.Errorf("job %s (%s): %w", id, o.Model, err)
			}
			return nil
		})
	}
	must(l.t, g.Wait())
}

// awaitEnd waits for the end of an order's job, and of its webhook.
func (l *traffic) awaitEnd(id string, o *order) (ringback.Job, error) {
	if !o.looksAfter {
		return l.deliveredWithin(id)
	}
	ctx, cancel := context.WithTimeout(l.t.Context(), patience)
	defer cancel()
	return l.api.Wait(ctx, id)
}

// faultOf returns what is wrong with the end of an order.
func (l *traffic) faultOf(id string, o *order, ledger []ringback.Attempt, calls int) string {
	l.mu.Lock()
	called := l.called[id]
	l.mu.Unlock()
	switch {
	case !o.mayEnd(o.end.Status):
		return fmt.Sprintf("it must not end so: %s", o.end.Error)
	case o.Model == "sim/echo" && o.end.Status == ringback.Completed && *o.end.Result != o.Prompt:
		return fmt.Sprintf("it was answered %q", *o.end.Result)
	case o.looksAfter && called != "":
		return "it had a webhook, and none was wanted"
	case o.looksAfter && o.seen != o.end.Status:
		return fmt.Sprintf("it was %s", o.seen)
	case !o.looksAfter && called != o.end.Status:
		return fmt.Sprintf("its webhook said %q", called)
	}
	return checkLedger(ledger, calls)
}

func (o *order) mayEnd(s ringback.Status) bool {
	switch {
	case o.Model == "sim/status-400":
		return s == ringback.Failed
	case o.cancelled && s == ringback.Cancelled:
		return true
	default:
		return s == ringback.Completed
	}
}

// wantNoOtherOrders checks that there are no other jobs than those accepted.
func (l *traffic) wantNoOtherOrders() {
	l.t.Helper()
	listed := 0
	for q := (client.Query{Limit: 100}); ; {
		page, err := l.api.List(l.t.Context(), q)
		must(l.t, err)
		for _, j := range page.Data {
			if listed++; l.orders[j.ID] == nil {
				l.t.Errorf("job %s is there a second time, under an id that no client knows", j.ID)
			}
		}
		if page.NextCursor == nil {
			break
		}
		q.Cursor = *page.NextCursor
	}
	if listed != len(l.orders) {
		l.t.Errorf("%d jobs are there, want the %d that were accepted", listed, len(l.orders))
	}
}
