//go:build unix

package e2e_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/postgrestest"
	"github.com/ringback/ringback/internal/simulate"
)

// Nodes are stopped in order and restarted, one by one, under load, as in an upgrade.
// Clients get nothing unusual except a 503 with a time to retry, and only from the node
// that is leaving; no attempt is cut off that could end within the drain's time; nothing is
// lost.
func TestARollingRestartIsNotNoticed(t *testing.T) {
	t.Parallel()
	rounds := 1
	if long {
		rounds = 5
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	var l *traffic
	var underWay atomic.Int64 // calls so far that have reached their first word
	count := func(c simulate.Call) {
		if c.Words == 1 {
			underWay.Add(1)
		}
	}
	c := newCluster(t, setup{racing: true, observe: count, receiver: simulate.ReceiverConfig{
		Forget: true, Observe: func(d simulate.Delivery) { l.received(d) }, Answer: nowAndThen500,
	}}, postgrestest.Database(t), 3)
	watch := newWatchman(t)
	for _, n := range c.nodes {
		n.http.Transport = watch.over(n)
		n.open()
		n.ready()
	}
	l = newTraffic(c)
	stop := l.begin(ctx)
	for range rounds {
		for _, n := range c.nodes {
			busy := underWay.Load() + 20
			eventually(t, "20 further calls", func() bool { return underWay.Load() >= busy })
			watch.going(n, true)
			n.server.terminate(syscall.SIGTERM)
			n.again()
			n.ready()
			n.http.CloseIdleConnections() // those to the process that is gone
			watch.going(n, false)
		}
	}
	must(t, stop())

	cut := 0
	for id, ledger := range l.wantEnds() {
		for _, a := range ledger {
			if a.Outcome == ringback.AttemptUncertain {
				cut++
				t.Errorf("an attempt of job %s was cut off:\n%s", id, describe(ledger))
			}
		}
	}
	l.wantNoOtherOrders()
	for _, n := range c.nodes {
		n.server.terminate(syscall.SIGTERM)
	}
	t.Logf("%d restarts, %d jobs, %d calls of the provider, %d attempts cut off; %d answers, %d of them 503 of the node that went, which answered nothing %d times",
		rounds*len(c.nodes), len(l.orders), len(c.calls.Calls()), cut, watch.answers.Load(), watch.refused.Load(), watch.silent.Load())
}

// watchman sees all responses of the nodes, and knows which one is leaving.
type watchman struct {
	t                        *testing.T
	answers, refused, silent atomic.Int64

	mu    sync.Mutex
	goes  map[*place]bool
	since map[*place]time.Time // when that changed last
}

func newWatchman(t *testing.T) *watchman {
	return &watchman{t: t, goes: map[*place]bool{}, since: map[*place]time.Time{}}
}

func (w *watchman) going(p *place, goes bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.goes[p], w.since[p] = goes, time.Now()
}

// went reports whether a node was leaving, or away, at any time since then.
func (w *watchman) went(p *place, since time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.goes[p] || w.since[p].After(since)
}

// watched is the client of a node, observed by the watchman.
type watched struct {
	*http.Transport

	by *watchman
	to *place
}

func (w *watchman) over(p *place) http.RoundTripper {
	return &watched{p.http.Transport.(*http.Transport), w, p}
}

// RoundTrip checks that a node that stays answers, and not with a 5xx.
func (w *watched) RoundTrip(r *http.Request) (*http.Response, error) {
	began := time.Now()
	resp, err := w.Transport.RoundTrip(r)
	went := w.by.went(w.to, began)
	switch {
	case r.URL.Path == "/readyz":
	case errors.Is(err, context.Canceled):
	case err != nil:
		if w.by.silent.Add(1); !went {
			w.by.t.Errorf("%s %s at node %s, which stays: %v", r.Method, r.URL.Path, w.to.name, err)
		}
	case resp.StatusCode < http.StatusInternalServerError:
		w.by.answers.Add(1)
	default:
		w.by.answers.Add(1)
		w.by.refused.Add(1)
		if !went || resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
			w.by.t.Errorf("%s %s at node %s (it goes: %t): got %d, Retry-After %q",
				r.Method, r.URL.Path, w.to.name, went, resp.StatusCode, resp.Header.Get("Retry-After"))
		}
	}
	return resp, err
}
