package node_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/limit"
	"github.com/ringback/ringback/internal/node"
	"github.com/ringback/ringback/internal/reading"
	"github.com/ringback/ringback/internal/simulate"
)

// limited bounds the calls of the provider, on all nodes together.
func limited(calls int) func(*node.Config) {
	return func(c *node.Config) {
		impatient(c)
		c.Providers["simulated"] = node.Provider{Client: c.Providers["simulated"].Client, Concurrency: calls}
	}
}

// running returns how many calls the provider has not ended.
func (w *world) running() (n int) {
	for _, c := range w.calls.Calls() {
		if c.End == simulate.Running {
			n++
		}
	}
	return n
}

func TestAProvidersLimitIsOneOfAllNodes(t *testing.T) {
	t.Parallel()
	a, b, _, _ := newCluster().pair(t, setup{}, limited(3))
	onB := func() (n int) {
		held, err := b.store.Held(t.Context(), b.node.ID())
		must(t, err)
		return len(held.Jobs)
	}
	for i := range 8 {
		w := []*world{a, b}[i%2]
		w.ask("sim/mute", "many")
	}
	a.eventually("three calls", func() bool { return a.running() == 3 })
	a.eventually("a share for each", func() bool { return onB() == 1 })
	b.stop()
	a.knows(1)
	a.eventually("all three on the one that is left", func() bool {
		held, err := a.store.Held(t.Context(), a.node.ID())
		must(t, err)
		if len(held.Jobs) > 3 {
			t.Fatalf("%d jobs run, of at most 3", len(held.Jobs))
		}
		return len(held.Jobs) == 3
	})
}

// A limit of one, and two nodes: one has no part of the limit, and neither takes jobs for
// it nor claims them on insert.
func TestANodeWithoutAPartOfALimitLeavesItsJobsToOthers(t *testing.T) {
	t.Parallel()
	a, b, _, _ := newCluster().pair(t, setup{}, limited(1))
	for i := range 6 {
		w := []*world{a, b}[i%2]
		j := w.ask("sim/echo", fmt.Sprint("one at a time ", i))
		if got := w.end(j.ID); got.Status != ringback.Completed {
			t.Errorf("got %s, want completed", got.Status)
		}
		if at := w.ledger(j.ID)[0].Node; at != a.node.ID() {
			t.Errorf("job %d ran on %s, want the first of the nodes", i, at)
		}
	}
}

// gates makes holds last as long as the provider says, or an hour.
func gates(c *node.Config) {
	impatient(c)
	c.Gate = limit.Config{HoldMin: time.Hour, HoldMax: time.Hour}
}

func TestAHoldOfOneNodeHoldsTheOthers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]*cluster{"by a signal": bySignals(), "when the signal is lost": withoutSignals()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b, _, _ := c.pair(t, setup{}, gates)
			model := "sim/status-429?times=1&retry_after=3"
			held := a.ask(model, "refused")
			began := time.Now()
			b.eventually("a hold on the other node", func() bool { return len(b.node.Readiness().Holds) == 1 })
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("the other node knew of it after %s, want within 2 s", took)
			}
			if h := b.node.Readiness().Holds[0]; h.Model != model || h.Reason != "provider_refused" || h.Until.Before(began.Add(2*time.Second)) {
				t.Errorf("the hold: got %+v", h)
			}
			behind := b.ask(model, "behind")
			if j := b.job(behind.ID); j.StatusReason != "provider_refused" {
				t.Errorf("a job for it: got %s %q, want it to wait", j.Status, j.StatusReason)
			}
			b.cancel(behind.ID)
			a.end(held.ID)
			a.wantOutcomes(held.ID, refused, answered)
			b.wantCalls("behind", 0)
			if at := a.ledger(held.ID)[1].StartedAt; at.Before(began.Add(2900 * time.Millisecond)) {
				t.Errorf("the second call came %s after the refusal that asked for 3 s", at.Sub(began))
			}
			for _, w := range []*world{a, b} {
				w.eventually("no hold", func() bool { return len(w.node.Readiness().Holds) == 0 })
			}
			a.eventually("none in the store", func() bool {
				holds, err := a.store.Holds(t.Context())
				must(t, err)
				return len(holds) == 0
			})
		})
	}
}

// The key is held for an hour on both nodes. Then it works again; one node learns so from
// the probe of its start, and frees the other.
func TestAProbesSuccessFreesTheOtherNodes(t *testing.T) {
	t.Parallel()
	nodes := bySignals()
	a, b, _, _ := nodes.pair(t, setup{}, gates)
	a.refuseKey("sim/status-401")
	for _, w := range []*world{a, b} {
		w.eventually("the hold", func() bool { return len(w.node.Readiness().Holds) == 1 })
	}
	waiting, err := a.node.Jobs(t.Context(), "default", reading.JobQuery{Limit: 100})
	must(t, err)
	for _, j := range waiting.Data {
		a.cancel(j.ID)
		a.end(j.ID)
	}
	j := b.ask("sim/echo", "mended by now")
	var toC *link
	c := start(t, setup{beside: a, node: nodes.joining(&toC, gates)})
	c.end(j.ID)
	c.wantCalls("mended by now", 1)
	c.eventually("none in the store", func() bool {
		holds, err := c.store.Holds(t.Context())
		must(t, err)
		return len(holds) == 0
	})
	for _, w := range []*world{a, b} {
		w.eventually("free again", func() bool { return len(w.node.Readiness().Holds) == 0 })
	}
}
