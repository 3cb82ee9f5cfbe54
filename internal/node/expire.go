package node

import (
	"context"
	"time"

	"github.com/ringback/ringback/internal/supervise"
)

const (
	expireEvery = time.Second
	checkEvery  = 5 * time.Second
)

// expire ends what has waited too long, and checks the disk and the counters.
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
			n.jobs.RecordHoldsOver()
			n.deliveries.RecordHoldsOver()
			n.supervisor.KeepHouse(ctx, supervise.StepExpire, func() error { return n.jobs.Expire(ctx, now) })
			n.supervisor.KeepHouse(ctx, "expire deliveries", func() error { return n.deliveries.Expire(ctx, now) })
			if time.Since(checked) >= checkEvery {
				checked = time.Now()
				n.jobs.Tidy()
				n.deliveries.Tidy()
				n.supervisor.KeepHouse(ctx, "check the counters", func() error { return n.store.Reconcile(ctx) })
			}
		}
	}
}
