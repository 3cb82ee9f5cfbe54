package node_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/node"
	"github.com/ringback/ringback/internal/simulate"
)

// The node lives, but its renewals are lost: its lease is taken away, its job runs
// elsewhere, and what it has done since is void.
func TestANodeThatIsSweptLosesItsJobsAndGoesOnUnderANewID(t *testing.T) {
	t.Parallel()
	answer := make(chan struct{})
	s, metrics := measured(setup{hold: func(c simulate.Call) <-chan struct{} {
		if c.Number == 1 {
			return answer
		}
		return nil
	}})
	c := newCluster()
	var toA, toB *link
	change := s.node
	s.node = func(cfg *node.Config) { change(cfg); c.joining(&toA)(cfg) }
	a := start(t, s)
	former := a.node.ID()
	j := a.ask("sim/slow?words=20&pace=20ms", "moves")
	a.called("moves", 1)
	b := start(t, setup{beside: a, node: c.joining(&toB)})
	toA.deaf.Store(true)

	if got := b.end(j.ID); got.Status != ringback.Completed || got.Attempts != 2 {
		t.Errorf("got %s after %d attempts, want completed by the second, on another node", got.Status, got.Attempts)
	}
	b.wantOutcomes(j.ID, uncertain, answered)
	if ledger := b.ledger(j.ID); ledger[0].Node != former || ledger[1].Node != b.node.ID() {
		t.Errorf("nodes of the ledger: got %s and %s, want %s and %s", ledger[0].Node, ledger[1].Node, former, b.node.ID())
	}
	toA.deaf.Store(false)
	a.eventually("a new id", func() bool { return a.node.ID() != former && a.node.Alive() == 2 })
	close(answer)
	a.call(func(c simulate.Call) bool { return c.Number == 1 && c.End == simulate.ClientLeft })
	a.wantValues(metrics, map[string]float64{`ringback_fenced_writes_total{kind="job"}`: 1, `ringback_nodes`: 2})
	b.webhook(j.ID)
	b.settledDelivery(j.ID)
	b.wantWebhooks(j.ID, 1)

	again := a.ask("sim/echo", "goes on")
	if got := a.end(again.ID); got.Status != ringback.Completed {
		t.Errorf("afterwards: got %s, want completed", got.Status)
	}
}

func TestTheJobsOfANodeThatDiesRunOnAnother(t *testing.T) {
	t.Parallel()
	s, metrics := measured(setup{node: impatient})
	c := newCluster()
	var toA, toB *link
	a := start(t, setup{node: c.joining(&toA, impatient)})
	var running []ringback.Job
	for range 5 {
		running = append(running, a.ask("sim/mute", "dies"))
	}
	a.called("dies", 5)
	change := s.node
	s.beside = a
	s.node = func(cfg *node.Config) { change(cfg); c.joining(&toB)(cfg) }
	b := start(t, s)
	b.wantValues(metrics, map[string]float64{`ringback_nodes`: 2})
	toA.down.Store(true)
	b.called("dies", 10)
	for _, j := range running {
		b.runsOn(j.ID, b.node.ID())
		b.cancel(j.ID)
		b.end(j.ID)
		b.wantOutcomes(j.ID, uncertain, cancelled)
	}
	b.wantValues(metrics, map[string]float64{
		`ringback_sweeps_total`: 1, `ringback_swept_jobs_total`: 5, `ringback_nodes`: 1,
		`ringback_attempts_total{model="sim/mute",outcome="uncertain",provider="simulated"}`: 5,
	})
	toA.down.Store(false)
}

// The claim is committed, and the node is swept before the claim's answer arrives: what it
// claimed under its former id is not its own.
func TestWhatWasClaimedUnderAFormerIDIsNotBegun(t *testing.T) {
	t.Parallel()
	var toA, toB *link
	c := newCluster()
	a := start(t, setup{node: c.joining(&toA, func(cfg *node.Config) {
		toA.claimed = make(chan struct{})
	})})
	former := a.node.ID()
	release := a.node.FillAnswers() // so that it is not claimed on insert
	j := a.ask("sim/echo", "claimed too early")
	release()
	<-toA.claimed
	toA.deaf.Store(true)
	b := start(t, setup{beside: a, node: c.joining(&toB)})
	if got := b.end(j.ID); got.Status != ringback.Completed {
		t.Errorf("got %s, want completed on the other node", got.Status)
	}
	toA.deaf.Store(false)
	a.eventually("a new id", func() bool { return a.node.ID() != former })
	<-toA.claimed
	a.eventually("nothing in hand", func() bool { return a.node.Remembered() == 0 })
	a.wantOutcomes(j.ID, uncertain, answered)
	a.wantCalls("claimed too early", 1)
	if got := a.end(a.ask("sim/echo", "afterwards").ID); got.Status != ringback.Completed {
		t.Errorf("afterwards: got %s, want completed", got.Status)
	}
}

// The node was frozen between a claim and its answer, and its lease ran out. Nobody
// has swept it yet; that may happen at any moment.
func TestWhatWasClaimedUnderALeaseThatRanOutIsNotBegun(t *testing.T) {
	t.Parallel()
	var way *link
	w := start(t, setup{node: newCluster().joining(&way, func(*node.Config) {
		way.claimed = make(chan struct{})
	})})
	release := w.node.FillAnswers() // so that it is not claimed on insert
	j := w.ask("sim/echo", "claimed too early")
	release()
	<-way.claimed
	way.deaf.Store(true)
	w.eventually("the end of the lease", func() bool { return !w.node.Leased() })
	<-way.claimed
	w.eventually("its release", func() bool { return w.job(j.ID).Status == ringback.Queued })
	w.wantCalls("claimed too early", 0)
	way.deaf.Store(false)
	if got := w.end(j.ID); got.Status != ringback.Completed || got.Attempts != 1 {
		t.Errorf("got %s after %d attempts, want completed after 1", got.Status, got.Attempts)
	}
	w.wantOutcomes(j.ID, released, answered)
}

// An outage lasts longer than the lease: nothing is begun, nothing that runs is stopped,
// and no answer is thrown away.
func TestWhileTheStoreIsOutOfReachRunningCallsGoOnAndSettleLater(t *testing.T) {
	t.Parallel()
	answer := make(chan struct{})
	var way *link
	w := start(t, setup{
		node: newCluster().joining(&way),
		hold: func(c simulate.Call) <-chan struct{} { return answer },
	})
	id := w.node.ID()
	runs := w.ask("sim/echo", "runs")
	w.called("runs", 1)
	way.down.Store(true)
	w.eventually("unready", func() bool { return !w.node.Readiness().Ready })
	w.eventually("the end of the lease", func() bool { return !w.node.Leased() })
	_, err := w.try(ringback.Request{Prompt: "refused"})
	if e := fault(t, err, ringback.Unavailable); e.RetryAfterSeconds == 0 || e.Message != "the database can't be reached; try again in a moment" {
		t.Errorf("submit: got %+v", e)
	}
	if why := w.node.Readiness().Checks["database"]; why == "ok" || why == "" {
		t.Errorf("readiness: got %q of the database", why)
	}
	close(answer)
	w.call(func(c simulate.Call) bool { return c.Prompt == "runs" && c.End == simulate.Answered })
	way.down.Store(false)

	if got := w.end(runs.ID); got.Status != ringback.Completed || got.Attempts != 1 {
		t.Errorf("got %s after %d attempts, want completed by the first", got.Status, got.Attempts)
	}
	w.wantOutcomes(runs.ID, answered)
	w.settledDelivery(runs.ID)
	w.wantCalls("runs", 1)
	w.eventually("ready", func() bool { return w.node.Readiness().Ready })
	if w.node.ID() != id {
		t.Error("it was not swept, so it must keep its id")
	}
	w.end(w.ask("sim/echo", "afterwards").ID)
}

// The lease is over, but the store takes jobs: they wait.
func TestWithoutALeaseAJobIsAcceptedAndWaits(t *testing.T) {
	t.Parallel()
	var way *link
	w := start(t, setup{node: newCluster().joining(&way)})
	way.deaf.Store(true)
	w.eventually("the end of the lease", func() bool { return !w.node.Leased() })
	j := w.ask("sim/echo", "waits")
	if j.Status != ringback.Queued {
		t.Errorf("got %s, want queued", j.Status)
	}
	way.deaf.Store(false)
	if got := w.end(j.ID); got.Status != ringback.Completed {
		t.Errorf("got %s, want completed", got.Status)
	}
	w.wantOutcomes(j.ID, answered)
}

// The store knows that the lease is over, and the node does not yet.
func TestAJobThatCannotBeClaimedOnInsertWaits(t *testing.T) {
	t.Parallel()
	var way *link
	c := newCluster()
	w := start(t, setup{node: c.joining(&way)})
	former := w.node.ID()
	must(t, w.store.Leave(t.Context(), former))
	j := w.ask("sim/echo", "claimed elsewhere")
	if j.Status != ringback.Queued {
		t.Errorf("got %s, want queued: the store refuses what is claimed on insert by a node without a lease", j.Status)
	}
	if got := w.end(j.ID); got.Status != ringback.Completed || w.node.ID() == former {
		t.Errorf("got %s under the id %s, want completed under a new one", got.Status, w.node.ID())
	}
	w.wantOutcomes(j.ID, answered)
}

// The answer is there when the lease is lost; its webhook can't be claimed on insert.
func TestAnAnswerIsKeptWhoseWebhookCannotBeClaimedOnInsert(t *testing.T) {
	t.Parallel()
	answer := make(chan struct{})
	var way *link
	w := start(t, setup{
		node: newCluster().joining(&way),
		hold: func(simulate.Call) <-chan struct{} { return answer },
	})
	j := w.ask("sim/echo", "paid")
	w.called("paid", 1)
	way.deaf.Store(true) // so that it does not find out before the answer is there
	must(t, w.store.Leave(t.Context(), w.node.ID()))
	close(answer)
	if got := w.end(j.ID); got.Status != ringback.Completed || got.Attempts != 1 {
		t.Errorf("got %s after %d attempts, want completed by the first", got.Status, got.Attempts)
	}
	way.deaf.Store(false)
	w.settledDelivery(j.ID)
	w.wantWebhooks(j.ID, 1)
	w.wantCalls("paid", 1)
}

func TestAStartWaitsForAStoreThatIsOutOfReach(t *testing.T) {
	t.Parallel()
	var way *link
	join := newCluster().joining(&way)
	w := start(t, setup{
		node: func(c *node.Config) {
			join(c)
			way.down.Store(true)
		},
		early: func(w *world) {
			w.eventually("some tries", func() bool { return way.asked.Load() >= 2 })
			if r := w.node.Readiness(); r.Ready || r.Checks["doors"] != "starting" {
				t.Errorf("readiness: got %+v, want starting", r)
			}
			way.down.Store(false)
		},
	})
	w.end(w.ask("sim/echo", "at last").ID)
}

func TestANodeThatStopsWhileTheStoreIsOutOfReachDoesStop(t *testing.T) {
	t.Parallel()
	var way *link
	w := start(t, setup{node: newCluster().joining(&way, impatient)})
	w.ask("sim/mute", "broken off")
	w.called("broken off", 1)
	way.down.Store(true)
	w.stop()
}

func TestANodeThatStopsHandsOverAtOnce(t *testing.T) {
	t.Parallel()
	a, b, _, _ := newCluster().pair(t, setup{}, impatient)
	j := b.ask("sim/mute", "handed over")
	b.called("handed over", 1)
	b.stop()
	a.knows(1)
	a.runsOn(j.ID, a.node.ID())
	a.called("handed over", 2)
	a.cancel(j.ID)
	a.end(j.ID)
	a.wantOutcomes(j.ID, uncertain, cancelled)
}

// In whatever order nodes come, die and lose their renewals: each job that was accepted
// ends once, and each end has its webhook.
func TestNothingIsLostHoweverOftenNodesAreLost(t *testing.T) {
	t.Parallel()
	a, b, toA, toB := newCluster().pair(t, setup{})
	var mu sync.Mutex
	var accepted []string
	ctx, over := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	for i, w := range []*world{a, b, a, b} {
		clients.Go(func() {
			pace := time.NewTicker(5 * time.Millisecond)
			defer pace.Stop()
			for n := 0; ctx.Err() == nil; n++ {
				<-pace.C
				model := []string{"sim/echo", "sim/slow?words=5&pace=20ms", "sim/flaky-1"}[(i+n)%3]
				j, err := w.try(ringback.Request{Model: model, Prompt: "survives", MaxAttempts: new(20)})
				if err != nil {
					fault(t, err, ringback.Unavailable)
					continue
				}
				mu.Lock()
				accepted = append(accepted, j.ID)
				mu.Unlock()
			}
		})
	}
	for round := range 6 {
		lost, w := toA, a
		if round%2 == 1 {
			lost, w = toB, b
		}
		former := w.node.ID()
		if round%3 == 0 {
			lost.down.Store(true)
		} else {
			lost.deaf.Store(true)
		}
		w.eventually("the end of its lease", func() bool { return !w.node.Leased() })
		time.Sleep(leaseLasts / 2) // so that it is swept or not
		lost.down.Store(false)
		lost.deaf.Store(false)
		w.eventually("its return", w.node.Leased)
		t.Logf("round %d: %s is back as %s", round, former, w.node.ID())
	}
	over()
	clients.Wait()
	for _, id := range accepted {
		if j := a.end(id); j.Status != ringback.Completed {
			t.Errorf("job %s: got %s (%s), want completed", id, j.Status, j.Error)
		}
		if d := b.settledDelivery(id); d.Status != ringback.DeliveryDelivered {
			t.Errorf("its webhook: got %s", d.Status)
		}
	}
	t.Logf("%d jobs, %d calls, %d webhooks", len(accepted), len(a.calls.Calls()), len(a.receiver.Deliveries()))
	for _, w := range []*world{a, b} {
		w.eventually("nothing to be remembered", func() bool { return w.node.Remembered() == 0 })
	}
}
