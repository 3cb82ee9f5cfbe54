package node

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/ringback/ringback/internal/store"
)

const (
	// compareEvery is the time between two comparisons. Where a lease lasts 8 s it is
	// that of five renewals.
	compareEvery    = 10 * time.Second
	renewalsCompare = 5
)

// errMoved ends the call of a job that is not this node's any more.
var errMoved = errors.New("the job has moved on")

// compare compares, every ten seconds, what the store says that this node holds with
// what it holds. In between it only looks whom to cancel, when another node has
// asked for that.
func (n *Node) compare(ctx context.Context) error {
	timer := time.NewTimer(n.comparePause())
	defer timer.Stop()
	var before comparison
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-n.wakeCancels:
			n.keepHouse(ctx, "cancel", func() error {
				held, err := n.store.Held(ctx, n.ID())
				n.obey(held.Cancelled)
				return err
			})
		case <-timer.C:
			n.keepHouse(ctx, "compare what is held", func() error {
				now, err := n.compareOnce(ctx, before)
				if err == nil {
					before = now
				}
				return err
			})
			timer.Reset(n.comparePause())
		}
	}
}

func (n *Node) comparePause() time.Duration {
	if p := n.life.Load().period(); p > 0 {
		return renewalsCompare * p
	}
	return compareEvery
}

// comparison is what one comparison found that this process knows nothing of.
type comparison struct {
	life             *life
	began            time.Time
	jobs, deliveries map[store.Ref]bool
}

// compareOnce ends calls of jobs that the store has given to others, and frees
// claims that it has and nobody here knows of, if the comparison before saw them too.
func (n *Node) compareOnce(ctx context.Context, before comparison) (comparison, error) {
	now := comparison{life: n.life.Load(), began: time.Now(), jobs: map[store.Ref]bool{}, deliveries: map[store.Ref]bool{}}
	if !now.life.leased() {
		return before, nil
	}
	started := n.running.started(now.life)
	held, err := n.store.Held(ctx, now.life.id)
	if err != nil {
		return before, err
	}
	n.obey(held.Cancelled)
	all := map[store.Ref]bool{}
	for _, ref := range held.Jobs {
		all[ref] = true
		now.jobs[ref] = !n.running.has(ref)
	}
	for _, ref := range started {
		if !all[ref] {
			n.running.stop(ref, errMoved)
		}
	}
	n.running.forget(all)
	for _, ref := range held.Deliveries {
		now.deliveries[ref] = !n.sending.has(ref)
	}
	if before.life != now.life {
		return now, nil
	}
	return now, n.freeUnknown(ctx, now.life, lost(before.jobs, now.jobs, &n.claiming, before.began),
		lost(before.deliveries, now.deliveries, &n.claimingDeliveries, before.began))
}

// obey breaks off the calls of jobs that somebody wants cancelled.
func (n *Node) obey(cancelled []store.Ref) {
	for _, ref := range cancelled {
		n.running.stop(ref, errCancelled)
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
func (n *Node) freeUnknown(ctx context.Context, l *life, jobs, deliveries []store.Ref) error {
	if len(jobs)+len(deliveries) > 0 {
		n.log.Warn("claims of which nobody here has heard are freed", "jobs", len(jobs), "webhooks", len(deliveries))
	}
	now := n.stamped()
	if len(jobs) > 0 {
		seen := witness{}
		freed, err := n.store.Release(ctx, l.id, jobs, seen.of(n.careful(func(j store.Job) store.Outcome { return n.released(j, now, turn(j, now)) })))
		if err != nil {
			return fmt.Errorf("free jobs: %w", err)
		}
		n.tellMoves(seen, freed...)
		n.passOn(freed)
	}
	if len(deliveries) > 0 {
		if _, err := n.store.ReleaseDeliveries(ctx, l.id, deliveries, now); err != nil {
			return fmt.Errorf("free webhooks: %w", err)
		}
		poke(n.wakeDeliveries)
	}
	return nil
}
