package node_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/node"
	"github.com/ringback/ringback/internal/simulate"
)

func (w *world) cancel(id string) ringback.Job {
	w.t.Helper()
	j, err := w.node.Cancel(w.t.Context(), "default", id)
	must(w.t, err)
	defer j.Close()
	return j.Job
}

func TestAWaitingJobIsCancelledAtOnce(t *testing.T) {
	t.Parallel()
	w := start(t, setup{node: func(c *node.Config) {
		impatient(c)
		c.Concurrency = 1
	}})
	w.ask("sim/mute", "takes the slot")
	w.called("takes the slot", 1)
	j := w.ask("sim/echo", "waits")
	if got := w.cancel(j.ID); got.Status != ringback.Cancelled || got.EndedAt.IsZero() || got.Attempts != 0 || got.Error == "" {
		t.Errorf("got %+v, want cancelled without an attempt", got)
	}
	if e := event(t, w.webhook(j.ID)); e.Type != ringback.EventCancelled {
		t.Errorf("webhook: got %s", e.Type)
	}
	if got := w.cancel(j.ID); got.Status != ringback.Cancelled {
		t.Errorf("again: got %s, want cancelled", got.Status)
	}
	w.wantWebhooks(j.ID, 1)
	w.wantCalls("waits", 0)
}

func TestARunningJobsCallIsBrokenOffAtTheProvider(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	j := w.ask("sim/silent-3", "half")
	w.call(func(c simulate.Call) bool { return c.Words >= 3 })
	if got := w.cancel(j.ID); got.Status == ringback.Running && got.StatusReason != "cancel_requested" {
		t.Errorf("at once: got %s %q", got.Status, got.StatusReason)
	}
	w.call(func(c simulate.Call) bool { return c.Prompt == "half" && c.End == simulate.ClientLeft })
	got := w.end(j.ID)
	if got.Status != ringback.Cancelled || got.ErrorDetail != nil || got.Attempts != 1 {
		t.Errorf("got %+v, want cancelled", got)
	}
	w.wantOutcomes(j.ID, cancelled)
	if e := event(t, w.webhook(j.ID)); e.Type != ringback.EventCancelled || e.PartialResult != got.PartialResult {
		t.Errorf("webhook: got %s with %q, want cancelled with %q", e.Type, e.PartialResult, got.PartialResult)
	}
	w.cancel(j.ID)
	w.wantWebhooks(j.ID, 1)
}

func TestAJobThatHasEndedOtherwiseCannotBeCancelled(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	for _, model := range []string{"sim/echo", "sim/status-400"} {
		j := w.end(w.ask(model, "over").ID)
		_, err := w.node.Cancel(t.Context(), "default", j.ID)
		fault(t, err, ringback.Conflict)
		if got := w.end(j.ID); got.Status != j.Status {
			t.Errorf("after it: got %s, want %s as before", got.Status, j.Status)
		}
	}
}

func TestNobodyCancelsAJobThatIsNotTheirs(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	j := w.ask("sim/silent-3", "mine")
	for project, id := range map[string]string{
		"another": j.ID,
		"default": "01890a5d-ac96-774b-bcce-b302099a8057",
		"any":     "no id",
	} {
		_, err := w.node.Cancel(t.Context(), project, id)
		fault(t, err, ringback.NotFound)
	}
	w.cancel(j.ID)
	w.end(j.ID)
}

// Between two attempts a job waits, too.
func TestAJobIsCancelledBetweenTwoAttempts(t *testing.T) {
	t.Parallel()
	w := start(t, setup{node: func(c *node.Config) { c.RetryDelay = time.Hour }})
	j := w.ask("sim/break-off-3", "once")
	w.eventually("the wait", func() bool { return w.job(j.ID).StatusReason == "retrying" })
	got := w.cancel(j.ID)
	if got.Status != ringback.Cancelled || got.PartialResult == "" || got.Attempts != 1 {
		t.Errorf("got %s with %q after %d attempts, want cancelled with the part that came", got.Status, got.PartialResult, got.Attempts)
	}
	w.wantCalls("once", 1)
}

// The first one decides; there is one end and one webhook.
func TestACancelThatRacesWithTheAnswerHasOneOutcome(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	ends := map[ringback.Status]int{}
	for round := range 60 {
		var cancels sync.WaitGroup
		prompt := fmt.Sprint("race ", round)
		j := w.ask("sim/echo", prompt)
		if round%3 == 0 { // let the call begin
			w.called(prompt, 1)
		}
		for range 2 {
			cancels.Go(func() {
				_, err := w.node.Cancel(t.Context(), "default", j.ID)
				if e, ok := errors.AsType[*ringback.Error](err); err != nil && (!ok || e.Code != ringback.Conflict) {
					t.Errorf("cancel: %v", err)
				}
			})
		}
		got := w.end(j.ID)
		cancels.Wait()
		ends[got.Status]++
		e := event(t, w.webhook(j.ID))
		if again := w.end(j.ID); e.Status != got.Status || again.Status != got.Status {
			t.Fatalf("the job was %s, its webhook says %s, now it is %s", got.Status, e.Status, again.Status)
		}
		for i, a := range w.ledger(j.ID) {
			if i > 0 || (got.Status == ringback.Completed) != (a.Outcome == answered) {
				t.Errorf("%s: attempt %d is %s", got.Status, i+1, a.Outcome)
			}
		}
		w.settledDelivery(j.ID)
		w.wantWebhooks(j.ID, 1)
	}
	if ends[ringback.Completed]+ends[ringback.Cancelled] != 60 {
		t.Errorf("ends: got %v", ends)
	}
	w.eventually("nothing to be remembered", func() bool { return w.node.Remembered() == 0 })
}

// The cancel is stored while the job runs, and finds no call to stop.
func TestACancelThatComesTooLateLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	held := make(chan struct{})
	late := &lateCancel{stored: make(chan struct{}), ended: make(chan struct{})}
	w := start(t, setup{
		node: func(c *node.Config) { late.Store, c.Store = c.Store, late },
		hold: func(simulate.Call) <-chan struct{} { return held },
	})
	j := w.ask("sim/echo", "whole")
	w.called("whole", 1)
	got := make(chan ringback.Job, 1)
	go func() {
		j, err := w.node.Cancel(context.Background(), "default", j.ID)
		if err != nil {
			t.Errorf("cancel: %v", err)
			return
		}
		got <- j.Job
	}()
	<-late.stored
	close(held)
	w.end(j.ID)
	w.eventually("the end of the attempt", func() bool { return w.node.Remembered() == 0 })
	close(late.ended)
	if j := <-got; j.Status != ringback.Completed {
		t.Errorf("got %s, want completed: the whole answer was there first", j.Status)
	}
	w.wantOutcomes(j.ID, answered)
	if left := w.node.Remembered(); left != 0 {
		t.Errorf("%d attempts are remembered for ever", left)
	}
}
