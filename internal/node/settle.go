package node

import (
	"context"
	"errors"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/backoff"
	"github.com/ringback/ringback/internal/outcome"
	"github.com/ringback/ringback/internal/store"
)

// settle stores what became of an attempt. An answer that was paid for is not
// thrown away because the disk is full or the store is out of reach: it is tried
// again until it is stored, the job has moved on, or the node is told to stop.
func (n *Node) settle(j *store.Job, res outcome.Result, endedAt time.Time, f *logWriter) {
	decide, inserted := n.decideAbout(*j, res, endedAt)
	for tries := 1; ; tries++ {
		seen := decisions{}
		after, err := n.store.Settle(context.Background(), j.Ref(), seen.of(n.careful(decide)))
		unreached := n.outOfReach(stepSettle, err)
		switch {
		case err == nil:
			n.recordMoves(seen, after)
			f.settled(&after, endedAt)
			f.end()
			n.settled(after, inserted)
			return
		case errors.Is(err, store.ErrNoLease) && inserted != nil:
			n.giveUp(inserted)
			decide, inserted = withoutClaim(decide), nil
			continue
		case errors.Is(err, store.ErrFenced):
			n.metrics.fenced.WithLabelValues(kindJob).Inc()
			n.log.Warn("attempt settled too late: the job has moved on", "job_id", j.ID, "attempt", j.Fence)
		}
		if !n.tryAgain(err) {
			n.giveUp(inserted)
			return
		}
		if !unreached && n.worthLogging(tries, err) { // else one line is enough, however many wait
			n.log.Error("attempt not stored, trying again", "job_id", j.ID, "attempt", j.Fence, "err", err)
		}
		if !n.pause(pauseAfter(tries, err)) {
			n.giveUp(inserted)
			n.inflight.drained(j.Ref(), res.Drain())
			return
		}
		if tries == settleTries && !isTransient(err) {
			n.giveUp(inserted)
			now := n.clock.Stamped()
			decide, inserted = n.concluding(func(row store.Job) store.Outcome { return outcome.Unstorable(row, now) }), nil
		}
	}
}

// decideAbout is decide. An outcome that makes us panic is none: the attempt has failed.
func (n *Node) decideAbout(j store.Job, res outcome.Result, at time.Time) (decide store.Decide, inserted *send) {
	err := n.guarded("decide about a job", func() error {
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
func (n *Node) decide(j store.Job, res outcome.Result, now time.Time) (store.Decide, *send) {
	now = now.Truncate(time.Millisecond)
	if a := res.Answer(); a != nil {
		o := n.policy.Decide(j, res, now)
		body := n.webhook(j, &o, content{answer: a.Message, text: a.Text})
		inserted := n.sendNow(j, o.Delivery, body)
		return func(store.Job) store.Outcome { return o }, inserted
	}
	decide := n.concluding(func(row store.Job) store.Outcome { return n.policy.Decide(row, res, now) })
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

// stepSettle is a settle as a step that may fail.
const stepSettle = "settle"

const (
	// settlePause is the time between two tries of a settle that failed.
	settlePause = time.Second
	// settleTries is after how many tries an outcome counts as one that can't be
	// stored, unless it is the store that can't take anything now.
	settleTries = 5
)

// settlePatience bounds the pause of a settle that waits for a lock of another program: to
// ask for it keeps others waiting.
const settlePatience = 4 * time.Second

// pauseAfter is the pause after so many tries of a settle that failed.
func pauseAfter(tries int, err error) time.Duration {
	if !errors.Is(err, store.ErrBusy) {
		return backoff.Jitter(settlePause, backoff.Half)
	}
	return backoff.Jitter(min(settlePause<<min(tries-1, 8), settlePatience), backoff.Half)
}

// worthLogging reports whether a settle that failed is worth a line in the log.
func (n *Node) worthLogging(tries int, err error) bool {
	return !errors.Is(err, store.ErrBusy) || tries%10 == 1 && n.held.since.Load() == 0
}

// isTransient reports whether an error has nothing to do with what was to be stored.
func isTransient(err error) bool {
	for _, passing := range []error{store.ErrFull, store.ErrBusy, store.ErrUnknown, store.ErrUnavailable} {
		if errors.Is(err, passing) {
			return true
		}
	}
	return false
}

// tryAgain tells whether a settle that failed may succeed later. Whatever the
// error: nobody else would ever settle what this process holds.
func (n *Node) tryAgain(err error) bool {
	n.noteFull(err)
	return !errors.Is(err, store.ErrFenced) && !errors.Is(err, store.ErrClosed)
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
func (n *Node) settled(after store.Job, inserted *send) {
	if after.Status == ringback.Queued {
		n.hub.Publish(after.ID) // another node may begin it next
		wake(n.wakeJobs)
		return
	}
	if inserted != nil {
		n.send(inserted)
	}
	n.ended(after)
}

// ended tells those who wait that a job is terminal.
func (n *Node) ended(j store.Job) {
	n.hub.Publish(j.ID)
	wake(n.wakeDeliveries)
}
