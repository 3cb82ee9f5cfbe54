package node

import (
	"context"
	"errors"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/delivery"
	"github.com/ringback/ringback/internal/live"
	"github.com/ringback/ringback/internal/outcome"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/supervise"
)

// settle stores what became of an attempt. An answer that was paid for is not
// thrown away because the disk is full or the store is out of reach: it is tried
// again until it is stored, the job has moved on, or the node is told to stop.
func (n *Node) settle(j *store.Job, res outcome.Result, endedAt time.Time, w *live.Writer) {
	decide, inserted := n.decideAbout(*j, res, endedAt)
	for tries := 1; ; tries++ {
		seen := decisions{}
		after, err := n.store.Settle(context.Background(), j.Ref(), seen.of(n.supervisor.Careful(decide)))
		unreached := n.supervisor.OutOfReach(supervise.StepSettle, err)
		switch {
		case err == nil:
			n.recordMoves(seen, after)
			w.Settled(&after, endedAt)
			w.End()
			n.settled(after, inserted)
			return
		case errors.Is(err, store.ErrNoLease) && inserted != nil:
			inserted.GiveUp()
			decide, inserted = withoutClaim(decide), nil
			continue
		case errors.Is(err, store.ErrFenced):
			n.metrics.Dispatch.Fenced.Inc()
			n.log.Warn("attempt settled too late: the job has moved on", "job_id", j.ID, "attempt", j.Fence)
		}
		if !n.supervisor.TryAgain(err) {
			inserted.GiveUp()
			return
		}
		if !unreached && n.supervisor.WorthLogging(tries, err) { // else one line is enough, however many wait
			n.log.Error("attempt not stored, trying again", "job_id", j.ID, "attempt", j.Fence, "err", err)
		}
		if !n.pause(supervise.SettlePause(tries, err)) {
			inserted.GiveUp()
			n.inflight.drained(j.Ref(), res.Drain())
			return
		}
		if tries == supervise.SettleTries && !supervise.IsTransient(err) {
			inserted.GiveUp()
			now := n.clock.Stamped()
			decide, inserted = n.outbox.Concluding(func(row store.Job) store.Outcome { return outcome.Unstorable(row, now) }), nil
		}
	}
}

// decideAbout is decide. An outcome that makes us panic is none: the attempt has failed.
func (n *Node) decideAbout(j store.Job, res outcome.Result, at time.Time) (decide store.Decide, inserted *delivery.Claim) {
	err := n.supervisor.Guarded("decide about a job", func() error {
		decide, inserted = n.decide(j, res, at)
		return nil
	}, "job_id", j.ID, "attempt", j.Fence)
	if err != nil {
		decide, inserted = n.decide(j, outcome.Failed(internalError(err, res.Sent())), at)
	}
	return decide, inserted
}

// decide says what becomes of a job whose attempt ended with res. An answer's webhook is
// made here, outside the transaction, and may be in flight from its insert on; the rest
// depends on the row as it stands, and is made there.
func (n *Node) decide(j store.Job, res outcome.Result, now time.Time) (store.Decide, *delivery.Claim) {
	now = now.Truncate(time.Millisecond)
	if a := res.Answer(); a != nil {
		o := n.policy.Decide(j, res, now)
		body := n.outbox.Add(j, &o, delivery.Content{Answer: a.Message, Text: a.Text})
		inserted := n.deliveries.ClaimNow(j, o.Delivery, body)
		return func(store.Job) store.Outcome { return o }, inserted
	}
	decide := n.outbox.Concluding(func(row store.Job) store.Outcome { return n.policy.Decide(row, res, now) })
	// Nearly always the row stands as it did when it was claimed. So the outcome
	// too, which may hold megabytes of a partial answer, is made outside.
	expected := decide(j)
	return func(row store.Job) store.Outcome {
		same := row.CancelRequested == j.CancelRequested && (len(res.Kept.Partial.Bytes) > 0 || len(row.Partial.Bytes) == 0)
		if same {
			return expected
		}
		return decide(row)
	}, nil
}

// withoutClaim is a decision without the delivery's being in flight: the lease that this
// takes is lost.
func withoutClaim(decide store.Decide) store.Decide {
	return func(j store.Job) store.Outcome {
		o := decide(j)
		if o.Delivery != nil {
			due := *o.Delivery
			due.Node = ""
			o.Delivery = &due
		}
		return o
	}
}

// pause waits, unless the drain's time is over.
func (n *Node) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-n.calls.Done():
		return false
	}
}

// settled passes on what a settled job causes: its watchers, its webhook, its
// next attempt.
func (n *Node) settled(after store.Job, inserted *delivery.Claim) {
	if after.Status == ringback.Queued {
		n.hub.Publish(after.ID) // another node may begin it next
		supervise.Wake(n.wakeJobs)
		return
	}
	if inserted != nil {
		inserted.Send()
	}
	n.ended(after)
}

// ended tells those who wait that a job is terminal.
func (n *Node) ended(j store.Job) {
	n.hub.Publish(j.ID)
	n.deliveries.Wake()
}
