package node

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/ringback/ringback/internal/outcome"
	"github.com/ringback/ringback/internal/store"
)

const (
	// reconcileEvery is the time between two comparisons. Where a lease lasts 8 s it is
	// that of five renewals.
	reconcileEvery    = 10 * time.Second
	renewalsReconcile = 5
)

// errMoved ends the call of a job that is not this node's any more.
var errMoved = errors.New("the job has moved on")

// reconcile compares, every ten seconds, what the store says that this node holds with
// what it holds. In between it only looks whom to cancel, when another node has
// asked for that.
func (n *Node) reconcile(ctx context.Context) error {
	timer := time.NewTimer(n.reconcilePause())
	defer timer.Stop()
	var before comparison
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-n.wakeCancels:
			n.keepHouse(ctx, "cancel", func() error {
				held, err := n.store.Held(ctx, n.ID())
				n.cancelAttempts(held.Cancelled)
				return err
			})
		case <-timer.C:
			n.keepHouse(ctx, "compare what is held", func() error {
				now, err := n.reconcileOnce(ctx, before)
				if err == nil {
					before = now
				}
				return err
			})
			timer.Reset(n.reconcilePause())
		}
	}
}

func (n *Node) reconcilePause() time.Duration {
	if p := n.members.Session().Period(); p > 0 {
		return renewalsReconcile * p
	}
	return reconcileEvery
}

// comparison is what one comparison found that this process knows nothing of.
type comparison struct {
	session          session
	began            time.Time
	jobs, deliveries map[store.Ref]bool
}

// reconcileOnce ends calls of jobs that the store has given to others, and frees
// claims that it has and nobody here knows of, if the comparison before saw them too.
func (n *Node) reconcileOnce(ctx context.Context, before comparison) (comparison, error) {
	now := comparison{session: n.members.Session(), began: time.Now(), jobs: map[store.Ref]bool{}, deliveries: map[store.Ref]bool{}}
	if !now.session.Leased() {
		return before, nil
	}
	started := n.inflight.started(now.session)
	held, err := n.store.Held(ctx, now.session.ID())
	if err != nil {
		return before, err
	}
	n.cancelAttempts(held.Cancelled)
	all := map[store.Ref]bool{}
	for _, ref := range held.Jobs {
		all[ref] = true
		now.jobs[ref] = !n.inflight.has(ref)
	}
	for _, ref := range started {
		if !all[ref] {
			n.inflight.stop(ref, errMoved)
		}
	}
	n.inflight.forget(all)
	for _, ref := range held.Deliveries {
		now.deliveries[ref] = !n.sending.has(ref)
	}
	if before.session != now.session {
		return now, nil
	}
	return now, n.freeUnknown(ctx, now.session, lost(before.jobs, now.jobs, &n.claiming, before.began),
		lost(before.deliveries, now.deliveries, &n.claimingDeliveries, before.began))
}

// cancelAttempts breaks off the calls of jobs that somebody wants cancelled.
func (n *Node) cancelAttempts(cancelled []store.Ref) {
	for _, ref := range cancelled {
		n.inflight.stop(ref, errCancelled)
	}
}

// lost are the claims that two comparisons did not know, unless a claim has been
// under way since before the first: then they may be what it brings.
func lost(before, now map[store.Ref]bool, claim *atomic.Pointer[time.Time], since time.Time) (refs []store.Ref) {
	if began := claim.Load(); began != nil && began.Before(since) {
		return nil
	}
	for ref, unknown := range now {
		if unknown && before[ref] {
			refs = append(refs, ref)
		}
	}
	return refs
}

// freeUnknown frees claims that were committed while their answer was lost. Whatever
// is begun here is in hand from before its claim's commit, or from its answer, until
// its settle has ended. So no byte was sent for these: their attempts are released,
// not uncertain. (A settle that was given up is in no comparison: the drain frees it.)
func (n *Node) freeUnknown(ctx context.Context, l session, jobs, deliveries []store.Ref) error {
	if len(jobs)+len(deliveries) > 0 {
		n.log.Warn("claims of which nobody here has heard are freed", "jobs", len(jobs), "webhooks", len(deliveries))
	}
	now := n.clock.Stamped()
	if len(jobs) > 0 {
		seen := decisions{}
		freed, err := n.store.Release(ctx, l.ID(), jobs, seen.of(n.careful(n.concluding(func(j store.Job) store.Outcome { return outcome.Release(j, now) }))))
		if err != nil {
			return fmt.Errorf("free jobs: %w", err)
		}
		n.recordMoves(seen, freed...)
		n.notifyFreed(freed)
	}
	if len(deliveries) > 0 {
		if _, err := n.store.ReleaseDeliveries(ctx, l.ID(), deliveries, now); err != nil {
			return fmt.Errorf("free webhooks: %w", err)
		}
		wake(n.wakeDeliveries)
	}
	return nil
}
