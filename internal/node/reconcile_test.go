package node_test

import (
	"testing"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/node"
	"github.com/ringback/ringback/internal/simulate"
	"github.com/ringback/ringback/internal/store"
)

// A claim was committed and its answer lost: nobody runs the job, until the node compares
// what it holds. No byte of it was sent.
func TestAClaimOfWhichTheNodeNeverHeardIsFreed(t *testing.T) {
	t.Parallel()
	var way *link
	w := start(t, setup{node: newCluster().joining(&way)})
	release := w.node.FillAnswers() // so that it is not claimed on insert
	j := w.ask("sim/echo", "claimed unheard")
	way.lose.Store(1)
	release()
	if got := w.end(j.ID); got.Status != ringback.Completed || got.Attempts != 1 {
		t.Errorf("got %s after %d attempts, want completed after 1", got.Status, got.Attempts)
	}
	w.wantOutcomes(j.ID, released, answered)
	w.wantCalls("claimed unheard", 1)
}

// A reader of such a job takes it for one that runs here. Freed, it may begin on any node.
func TestAReaderHearsThatAClaimWasFreed(t *testing.T) {
	t.Parallel()
	var way *link
	w := start(t, setup{node: newCluster().joining(&way)})
	release := w.node.FillAnswers() // so that it is not claimed on insert
	id := w.submit(streamed("sim/echo")).ID
	way.lose.Store(1)
	release()
	w.eventually("the claim", func() bool { return w.job(id).Status == ringback.Running })
	release = w.node.FillAnswers() // so that it waits when it is freed
	s := w.watch(id, ringback.EventID{})
	defer s.Close()
	w.eventually("somebody to wait for its begin", func() bool { return w.node.AwaitsBegin() == 1 })
	release()
	w.end(id)
}

func TestAClaimOnInsertWhoseAnswerIsLostIsFreed(t *testing.T) {
	t.Parallel()
	var way *link
	w := start(t, setup{node: newCluster().joining(&way)})
	way.lose.Store(1)
	_, err := w.try(ringback.Request{Prompt: "claimed unheard"})
	fault(t, err, ringback.Unavailable)
	jobs, _, err := w.store.List(t.Context(), store.Query{Project: "default", Limit: 10})
	must(t, err)
	if len(jobs) != 1 {
		t.Fatalf("jobs: got %d, want the one whose answer was lost", len(jobs))
	}
	id := jobs[0].ID.String()
	if got := w.end(id); got.Status != ringback.Completed {
		t.Errorf("got %s, want completed: it was accepted, whatever its caller heard", got.Status)
	}
	w.wantOutcomes(id, released, answered)
	w.wantCalls("claimed unheard", 1)
}

func TestADeliveryOfWhichTheNodeNeverHeardIsFreed(t *testing.T) {
	t.Parallel()
	var way *link
	w := start(t, setup{
		node:     newCluster().joining(&way),
		receiver: simulate.ReceiverConfig{Respond: []int{500, 200}},
	})
	way.loseDeliveries.Store(1)
	j := w.ask("sim/echo", "claimed unheard")
	d := w.settledDelivery(j.ID)
	if d.Status != ringback.DeliveryDelivered || len(d.Tries) != 3 || d.Tries[1].Error != "unknown" {
		t.Errorf("got %s after %+v, want delivered, the second try unknown", d.Status, d.Tries)
	}
	w.wantWebhooks(j.ID, 2)
}

// The job belongs to another node, and this one does not know: its call is for nothing.
func TestACallForAJobThatHasMovedOnIsBrokenOff(t *testing.T) {
	t.Parallel()
	s, metrics := measured(setup{})
	var way *link
	change := s.node
	join := newCluster().joining(&way)
	s.node = func(c *node.Config) { change(c); join(c) }
	w := start(t, s)
	j := w.ask("sim/mute", "moved")
	w.called("moved", 1)
	held, err := w.store.Held(t.Context(), w.node.ID())
	must(t, err)
	_, err = w.store.Release(t.Context(), w.node.ID(), held.Jobs, func(j store.Job) store.Outcome {
		return store.Outcome{
			At: j.StartedAt, Status: ringback.Queued, RunAt: j.StartedAt.AddDate(0, 0, 1),
			Attempt: &ringback.Attempt{Outcome: uncertain},
		}
	})
	must(t, err)
	w.call(func(c simulate.Call) bool { return c.Prompt == "moved" && c.End == simulate.ClientLeft })
	w.wantValues(metrics, map[string]float64{`ringback_fenced_writes_total{kind="job"}`: 1, `ringback_jobs{state="running"}`: 0})
	w.wantOutcomes(j.ID, uncertain)
}

func TestAJobIsCancelledOnTheNodeThatRunsIt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]*cluster{"by a signal": bySignals(), "when the signal is lost": withoutSignals()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b, _, _ := c.pair(t, setup{})
			j := a.ask("sim/silent-3", "elsewhere")
			a.call(func(c simulate.Call) bool { return c.Words >= 3 })
			if got := b.cancel(j.ID); got.Status != ringback.Running && got.Status != ringback.Cancelled {
				t.Errorf("at once: got %s", got.Status)
			}
			a.call(func(c simulate.Call) bool { return c.Prompt == "elsewhere" && c.End == simulate.ClientLeft })
			if got := b.end(j.ID); got.Status != ringback.Cancelled {
				t.Errorf("got %s, want cancelled", got.Status)
			}
			a.wantOutcomes(j.ID, cancelled)
			for _, w := range []*world{a, b} {
				w.eventually("nothing to be remembered", func() bool { return w.node.Remembered() == 0 })
			}
		})
	}
}

func TestWhoWaitsHearsOfAnEndOnAnotherNode(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]*cluster{"by a signal": bySignals(), "when the signal is lost": withoutSignals()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer := make(chan struct{})
			a, b, _, _ := c.pair(t, setup{hold: func(simulate.Call) <-chan struct{} { return answer }})
			j := a.ask("sim/echo", "elsewhere")
			a.called("elsewhere", 1)
			ended := make(chan ringback.Job, 1)
			go func() { ended <- b.end(j.ID) }()
			b.eventually("somebody to wait", func() bool { return b.node.Watched() == 1 })
			close(answer)
			if got := <-ended; got.Status != ringback.Completed {
				t.Errorf("got %s, want completed", got.Status)
			}
		})
	}
}

// One node accepts a job and the other runs it: the first has no room.
func TestAJobIsRunByTheNodeThatHasRoom(t *testing.T) {
	t.Parallel()
	var toA, toB *link
	c := bySignals()
	a := start(t, setup{node: c.joining(&toA, impatient, func(c *node.Config) { c.Concurrency = 1 })})
	full := a.ask("sim/mute", "full")
	a.called("full", 1)
	b := start(t, setup{beside: a, node: c.joining(&toB)})
	a.knows(2)
	b.knows(2)
	j := a.ask("sim/echo", "finds room")
	if got := a.end(j.ID); got.Status != ringback.Completed {
		t.Errorf("got %s, want completed", got.Status)
	}
	if at := a.ledger(j.ID)[0].Node; at != b.node.ID() {
		t.Errorf("it ran on %s, want %s", at, b.node.ID())
	}
	a.cancel(full.ID)
	a.end(full.ID)
}
