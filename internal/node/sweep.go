package node

import (
	"context"
	"fmt"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/backoff"
	"github.com/ringback/ringback/internal/store"
)

// releaseBatch is how many jobs one transaction of a sweep frees.
const releaseBatch = 200

// stepSweep is the sweep as a step that may fail.
const stepSweep = "sweep"

// sweep frees what nodes that died have left, as long as this one may judge who has.
func (n *Node) sweep(ctx context.Context) error {
	for backoff.Sleep(ctx, n.untilSweep(n.session.Load())) {
		n.keepHouse(ctx, stepSweep, func() error {
			if l := n.session.Load(); l.hasPeers() && l.mayEvict() {
				return n.sweepAll(ctx)
			}
			return nil
		})
	}
	return nil
}

// untilSweep is the time until the next sweep: about half that between two renewals,
// and less where a lease runs out before. A node that was killed is swept as soon as
// 8 s have passed since its last renewal, for its jobs are to run elsewhere within 10.
func (n *Node) untilSweep(l *session) time.Duration {
	pause, soonest := backoff.Jitter(l.every(idleLook)/2, backoff.Half), l.soonest()
	if soonest.IsZero() {
		return pause
	}
	left := time.Until(n.clock.Local(soonest))
	switch {
	case left > 0:
		return min(pause, left+l.period()/100)
	case left > -l.period(): // over by this clock, but not yet by the database's, or a claim has locked it
		return l.period() / 20
	default:
		return pause
	}
}

// soonest is when the first lease of another node runs out, on the one clock, as
// the last renewal showed it; the zero time where there is no other.
func (l *session) soonest() (at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, other := range l.nodes {
		if other.ID != l.id && (at.IsZero() || other.ExpiresAt.Before(at)) {
			at = other.ExpiresAt
		}
	}
	return at
}

// sweepAll takes away the leases whose time is over and frees all that is claimed
// under an id without a lease. Those attempts ended without an outcome: the provider
// may have answered.
func (n *Node) sweepAll(ctx context.Context) error {
	jobs, deliveries := 0, 0
	defer func() {
		if jobs+deliveries > 0 {
			n.log.Info("jobs taken back", "uncertain_attempts", jobs, "webhooks_in_flight", deliveries)
		}
	}()
	for {
		seen, now := decisions{}, n.clock.Stamped()
		swept, err := n.store.Sweep(ctx, n.session.Load().id, now, releaseBatch, seen.of(n.careful(func(j store.Job) store.Outcome {
			return n.uncertain(j, result{sent: true}, now)
		})))
		if err != nil {
			return fmt.Errorf("sweep: %w", err)
		}
		n.takeOver(swept, seen)
		n.recordSwept(swept)
		n.recordMoves(seen, swept.Jobs...)
		n.notifyFreed(swept.Jobs)
		jobs += len(swept.Jobs)
		deliveries += swept.Deliveries
		if len(swept.Jobs) < releaseBatch && swept.Deliveries < releaseBatch {
			return nil
		}
	}
}

// takeOver makes room for what dead nodes had begun. They make calls no more, so this
// node may make as many beyond its own slots, if it worked beside them: whoever waits for
// these jobs has waited for a lease's time already. (A process that came after them may
// run on the same machine, within the same limits.)
func (n *Node) takeOver(s store.Swept, before decisions) {
	l := n.session.Load()
	var begun []store.Lane
	for _, j := range s.Jobs {
		n.names.used(j.Model)
		if j.Status == ringback.Queued && !j.Suspect() && l.workedBeside(before[j.ID].before.Node) {
			begun = append(begun, j.Lane())
		}
	}
	n.jobs.lend(begun)
	if len(s.Nodes) > 0 {
		l.outlived(s.Nodes)
		n.jobs.takeParts(l)
	}
}

// notifyFreed passes on what the freeing of jobs causes: their next attempts, their ends.
func (n *Node) notifyFreed(freed []store.Job) {
	for _, j := range freed {
		if j.Status.Terminal() {
			n.ended(j)
		} else {
			n.hub.Publish(j.ID) // another node may begin it next
		}
	}
	wake(n.wakeJobs)
	wake(n.wakeDeliveries)
}

// recordSwept logs and counts a sweep that has found something.
func (n *Node) recordSwept(s store.Swept) {
	n.metrics.sweeps.Add(float64(len(s.Nodes)))
	n.metrics.sweptJobs.Add(float64(len(s.Jobs)))
	for _, id := range s.Nodes {
		n.log.Warn("a node did not renew its lease and is swept: what it held is freed", "swept", id)
	}
}
