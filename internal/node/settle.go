package node

import (
	"context"
	"errors"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/backoff"
	"github.com/ringback/ringback/internal/store"
)

// settle stores what became of an attempt. An answer that was paid for is not
// thrown away because the disk is full or the store is out of reach: it is tried
// again until it is stored, the job has moved on, or the node is told to stop.
func (n *Node) settle(j *store.Job, res result, f *logWriter) {
	if res.endedAt.IsZero() {
		res.endedAt = n.clock.Now()
	}
	decide, inserted := n.decideAbout(*j, res)
	for tries := 1; ; tries++ {
		seen := decisions{}
		after, err := n.store.Settle(context.Background(), j.Ref(), seen.of(n.careful(decide)))
		unreached := n.outOfReach(stepSettle, err)
		switch {
		case err == nil:
			n.recordMoves(seen, after)
			f.settled(&after, res.endedAt)
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
			n.inflight.drained(j.Ref(), result{stopped: errDrain, sent: res.sent, failed: res.failed, partial: res.partial, events: res.events})
			return
		}
		if tries == settleTries && !isTransient(err) {
			n.giveUp(inserted)
			decide, inserted = n.unstorable(n.clock.Now()), nil
		}
	}
}

// decideAbout is decide. An outcome that makes us panic is none: the attempt has failed.
func (n *Node) decideAbout(j store.Job, res result) (decide store.Decide, inserted *send) {
	err := n.guarded("decide about a job", func() error {
		decide, inserted = n.decide(j, res, res.endedAt)
		return nil
	}, "job_id", j.ID, "attempt", j.Fence)
	if err != nil {
		decide, inserted = n.decide(j, result{failed: internalError(err), sent: res.sent}, res.endedAt)
	}
	return decide, inserted
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
