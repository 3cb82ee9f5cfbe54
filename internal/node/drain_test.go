package node_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/node"
	"github.com/ringback/ringback/internal/simulate"
)

// again starts another node on the directory of one that was stopped.
func (w *world) again() *world {
	w.t.Helper()
	return start(w.t, setup{dir: w.dir, from: w})
}

func TestAnAttemptThatAKillCutIsRepeatedAtNoCost(t *testing.T) {
	t.Parallel()
	cut := make(chan struct{})
	w := start(t, setup{node: impatient, hold: func(c simulate.Call) <-chan struct{} {
		if c.Number == 1 {
			return cut
		}
		return nil
	}})
	j := w.submit(ringback.Request{Prompt: "killed", MaxAttempts: new(1)})
	w.called("killed", 1)
	w = start(t, setup{dir: w.kill(), from: w})
	close(cut)

	got := w.end(j.ID)
	if got.Status != ringback.Completed || got.Attempts != 2 {
		t.Errorf("got %s after %d attempts, want completed after 2: the cut one costs none of the 1", got.Status, got.Attempts)
	}
	w.wantOutcomes(j.ID, uncertain, answered)
	ledger := w.ledger(j.ID)
	if ledger[0].Number >= ledger[1].Number || ledger[0].Node == ledger[1].Node || ledger[0].Error == "" {
		t.Errorf("ledger: got %+v, want two numbers and two nodes", ledger)
	}
	w.webhook(j.ID)
	w.wantWebhooks(j.ID, 1)
	w.wantCalls("killed", 2)
}

func TestAnUncertainAttemptIsNotRepeatedIfTheCallerDoesNotWantIt(t *testing.T) {
	t.Parallel()
	w := start(t, setup{node: impatient})
	j := w.submit(ringback.Request{Model: "sim/mute", Prompt: "never twice", RetryUncertain: ringback.RetryNever})
	w.called("never twice", 1)
	w = start(t, setup{dir: w.kill(), from: w})
	got := w.end(j.ID)
	want := ringback.ErrorDetail{Code: ringback.CodeUncertain, Attempts: 1}
	if got.Status != ringback.Failed || *got.ErrorDetail != want {
		t.Errorf("got %s %+v, want failed with %+v", got.Status, got.ErrorDetail, want)
	}
	if e := event(t, w.webhook(j.ID)); e.Type != ringback.EventFailed || e.ErrorDetail.Code != ringback.CodeUncertain {
		t.Errorf("webhook: got %s %+v", e.Type, e.ErrorDetail)
	}
	w.wantCalls("never twice", 1)
}

func TestAJobThatOutlivesTenProcessesFails(t *testing.T) {
	t.Parallel()
	w := start(t, setup{node: impatient})
	j := w.ask("sim/mute", "poison")
	for session := 1; session <= 10; session++ {
		w.called("poison", session)
		w = start(t, setup{dir: w.kill(), from: w, node: impatient})
	}
	got := w.end(j.ID)
	if got.Status != ringback.Failed || got.ErrorDetail.Code != ringback.CodeUncertain || got.Attempts != 10 {
		t.Errorf("got %s %+v after %d attempts, want failed as uncertain after 10", got.Status, got.ErrorDetail, got.Attempts)
	}
	w.webhook(j.ID)
	w.wantCalls("poison", 10)
}

func TestACancelThatAKillOvertookIsKept(t *testing.T) {
	t.Parallel()
	ignoring := func(c *node.Config) { // a node that is told to cancel and dies before it could
		impatient(c)
		c.Store = cancelOnly{c.Store}
	}
	w := start(t, setup{node: ignoring})
	j := w.ask("sim/mute", "cancelled")
	w.called("cancelled", 1)
	_, err := w.node.Cancel(t.Context(), "default", j.ID)
	if err == nil {
		t.Fatal("the cancel was to fail after it was stored")
	}
	w = start(t, setup{dir: w.kill(), from: w})
	got := w.end(j.ID)
	if got.Status != ringback.Cancelled {
		t.Errorf("got %s, want cancelled", got.Status)
	}
	w.webhook(j.ID)
	w.wantCalls("cancelled", 1)
}

// P5: the process dies in the middle of a try, and nobody knows what the receiver saw.
func TestAWebhookThatAKillCutIsSentAgainWithTheSameIDAndBytes(t *testing.T) {
	t.Parallel()
	w := start(t, setup{
		node: impatient,
		receiver: simulate.ReceiverConfig{Answer: func(d simulate.Delivery) simulate.Answer {
			if d.Try == 1 {
				return simulate.Answer{Fault: simulate.Hang}
			}
			return simulate.Answer{}
		}},
	})
	j := w.ask("sim/echo", "paid once")
	w.webhook(j.ID)
	w = start(t, setup{dir: w.kill(), from: w})
	d := w.settledDelivery(j.ID)
	if d.Status != ringback.DeliveryDelivered || len(d.Tries) != 2 || d.Tries[0].Error != "unknown" || d.Tries[1].StatusCode != http.StatusOK {
		t.Errorf("got %s after %+v, want delivered by the second, the first unknown", d.Status, d.Tries)
	}
	w.wantWebhooks(j.ID, 2) // the receiver rejects another id or other bytes
	w.wantCalls("paid once", 1)
}

func TestADrainLetsRunningCallsEndAndTheirWebhooksGo(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	j := w.ask("sim/slow?words=20&pace=20ms", "ends in time")
	w.called("ends in time", 1)
	w.stop()
	c := w.called("ends in time", 1)
	if c.End != simulate.Answered {
		t.Errorf("the call: got %q, want answered", c.End)
	}
	w = w.again()
	got := w.end(j.ID)
	if got.Status != ringback.Completed || got.Attempts != 1 {
		t.Errorf("got %s after %d attempts, want completed by the first", got.Status, got.Attempts)
	}
	w.webhook(j.ID)
	w.settledDelivery(j.ID)
	w.wantWebhooks(j.ID, 1)
}

// Attempts that do not end in the drain's time are freed: those that were sent may have
// been answered, the others were not.
func TestADrainFreesWhatDoesNotEnd(t *testing.T) {
	t.Parallel()
	blocked := &blockedStore{reached: make(chan struct{})}
	w := start(t, setup{
		node: func(c *node.Config) {
			c.DrainTimeout = 50 * time.Millisecond
			blocked.Store, c.Store = c.Store, blocked
		},
	})
	sent := w.ask("sim/silent-3", "sent")
	w.call(func(c simulate.Call) bool { return c.Words >= 3 })
	release := w.node.FillAnswers() // so that the next one is not claimed on insert
	unsent := w.ask("sim/echo", "unsent")
	release()
	<-blocked.reached // it is claimed, and its request is not read yet
	waited := make(chan struct{})
	go func() {
		defer close(waited)
		_, _ = w.node.Wait(context.Background(), "default", sent.ID, time.Hour, false) // that it returns is all that counts
	}()
	w.stop()
	<-waited

	w = w.again()
	if got := w.end(unsent.ID); got.Status != ringback.Completed || got.Attempts != 1 {
		t.Errorf("unsent: got %s after %d attempts, want completed after 1", got.Status, got.Attempts)
	}
	w.wantOutcomes(unsent.ID, released, answered)
	w.wantCalls("unsent", 1)
	w.called("sent", 2)
	if first := w.ledger(sent.ID)[0]; first.Outcome != uncertain || first.FirstTokenAt.IsZero() || w.job(sent.ID).PartialResult == "" {
		t.Errorf("sent: got %+v with %q, want uncertain with the part that came", first, w.job(sent.ID).PartialResult)
	}
	w.cancel(sent.ID)
	w.end(sent.ID)
}

func TestWhileANodeDrainsSubmitsHearThatItStops(t *testing.T) {
	t.Parallel()
	held := make(chan struct{})
	w := start(t, setup{hold: func(simulate.Call) <-chan struct{} { return held }})
	j := w.ask("sim/echo", "runs")
	w.called("runs", 1)
	waited := make(chan ringback.Job, 1)
	go func() {
		j, err := w.node.Wait(context.Background(), "default", j.ID, time.Hour, false)
		if err != nil {
			t.Errorf("wait: %v", err)
		}
		waited <- j
	}()
	w.node.Stop()
	w.wantUnavailable(1)
	if r := w.node.Readiness(); r.Ready {
		t.Errorf("readiness: got %+v, want not ready", r)
	}
	close(held)
	if got := <-waited; got.Status != ringback.Completed {
		t.Errorf("who waited: got %s, want completed: the drain is there so that such an answer arrives", got.Status)
	}
	w.stop()
}

func TestADrainFreesWebhooksThatAreNotAnswered(t *testing.T) {
	t.Parallel()
	w := start(t, setup{
		node: func(c *node.Config) { c.DrainTimeout = 50 * time.Millisecond },
		receiver: simulate.ReceiverConfig{Answer: func(d simulate.Delivery) simulate.Answer {
			if d.Try == 1 {
				return simulate.Answer{Fault: simulate.Hang}
			}
			return simulate.Answer{}
		}},
	})
	j := w.ask("sim/echo", "hangs")
	w.webhook(j.ID)
	w.stop()
	w = w.again()
	d := w.settledDelivery(j.ID)
	if d.Status != ringback.DeliveryDelivered || len(d.Tries) != 2 || d.Tries[0].Error != "unknown" {
		t.Errorf("got %s after %+v, want delivered by the second, the first unknown", d.Status, d.Tries)
	}
	w.wantCalls("hangs", 1)
}

// Submits, cancels and ends meet a drain, again and again: every job that was accepted ends
// exactly once.
func TestNothingIsLostHoweverOftenANodeIsStopped(t *testing.T) {
	t.Parallel()
	w := start(t, setup{node: impatient})
	var accepted []string
	for round := range 6 {
		var mu sync.Mutex
		var clients sync.WaitGroup
		for c := range 4 {
			clients.Go(func() {
				for i := range 10 {
					model := []string{"sim/echo", "sim/slow?words=5&pace=1ms", "sim/flaky-1"}[(c+i)%3]
					j, err := w.try(ringback.Request{Model: model, Prompt: fmt.Sprint(round, " ", c, " ", i), MaxAttempts: new(20)})
					if err != nil {
						fault(t, err, ringback.Unavailable)
						return
					}
					mu.Lock()
					accepted = append(accepted, j.ID)
					mu.Unlock()
				}
			})
		}
		_, err := w.receiver.Wait(w.within(), 10*round)
		must(t, err)
		w.node.Stop()
		clients.Wait()
		w.stop()
		w = start(t, setup{dir: w.dir, from: w, node: impatient})
	}
	for _, id := range accepted {
		if j := w.end(id); j.Status != ringback.Completed {
			t.Errorf("job %s: got %s (%s), want completed", id, j.Status, j.Error)
		}
		if d := w.settledDelivery(id); d.Status != ringback.DeliveryDelivered {
			t.Errorf("its webhook: got %s", d.Status)
		}
		for _, a := range w.ledger(id) {
			if a.Outcome == "" {
				t.Errorf("job %s: attempt %d has no end", id, a.Number)
			}
		}
	}
}
