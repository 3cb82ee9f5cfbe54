package node

import (
	"context"
	"time"

	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/supervise"
)

const (
	expireEvery = time.Second
	checkEvery  = 5 * time.Second
	expireBatch = 100
)

// expire ends what has waited too long, and looks after disk and counters.
func (n *Node) expire(ctx context.Context) error {
	tick := time.NewTicker(expireEvery)
	defer tick.Stop()
	checked := time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			now := n.clock.Stamped()
			n.disk.Check()
			n.refuser.Record(time.Now())
			n.supervisor.RecordShortages(time.Now())
			n.recordHoldsOver()
			n.supervisor.KeepHouse(ctx, supervise.StepExpire, func() error { return n.expireJobs(ctx, now) })
			n.supervisor.KeepHouse(ctx, "expire deliveries", func() error { return n.deliveries.Expire(ctx, now) })
			if time.Since(checked) >= checkEvery {
				checked = time.Now()
				n.jobs.tidy()
				n.deliveries.Tidy()
				n.supervisor.KeepHouse(ctx, "check the counters", func() error { return n.store.Reconcile(ctx) })
			}
		}
	}
}

// expireJobs ends the jobs that have waited too long.
func (n *Node) expireJobs(ctx context.Context, now time.Time) error {
	for {
		seen := decisions{}
		jobs, err := n.store.Expire(ctx, now, expireBatch, seen.of(n.supervisor.Careful(n.outbox.Concluding(func(j store.Job) store.Outcome {
			return n.policy.Expire(j, n.waitReason(&j, now), now)
		}))))
		if err != nil {
			return err
		}
		n.recordMoves(seen, jobs...)
		for _, j := range jobs {
			if j.Status.Terminal() {
				n.ended(j)
			}
		}
		if len(jobs) > 0 {
			supervise.Wake(n.wakeJobs) // some may ask their next model
		}
		if len(jobs) < expireBatch {
			return nil
		}
	}
}
