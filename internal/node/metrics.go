package node

import (
	"context"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/metrics"
)

// readGauges sets the gauges. Those whose values can't be read are left out.
func (n *Node) readGauges(ctx context.Context, set metrics.Set) {
	ready := 0.0
	if n.Readiness().Ready {
		ready = 1
	}
	set(metrics.Ready, ready)
	l := n.members.Session()
	set(metrics.LeaseAge, l.Age().Seconds())
	set(metrics.Nodes, float64(l.Alive()))
	set(metrics.Streams, float64(n.pusher.Count()))
	for name, b := range n.memory.ByName() {
		set(metrics.Memory, float64(b.Used()), name)
		set(metrics.MemoryLimit, float64(b.Size()), name)
	}
	set(metrics.Jobs, float64(n.jobs.Inflight().Count()), string(ringback.Running))
	if queued, err := n.store.Queued(ctx); err == nil {
		set(metrics.Jobs, float64(queued), string(ringback.Queued))
	}
	if oldest, err := n.jobs.Oldest(ctx, n.clock.Now()); err == nil {
		set(metrics.Oldest, oldest.Seconds())
	}
	if p, err := n.store.PendingDeliveries(ctx); err == nil {
		set(metrics.Pending, float64(p.Count))
		set(metrics.PendingAge, age(p.Oldest, n.clock.Now()).Seconds())
	}
	if dead, err := n.store.DeadLetters(ctx); err == nil {
		set(metrics.DeadLetters, float64(dead.Jobs), "job")
		set(metrics.DeadLetters, float64(dead.Deliveries), "delivery")
	}
	n.jobs.HeldBack(func(provider, model string, holds int) {
		set(metrics.HeldBack, float64(holds), provider, model)
	})
	for class, count := range n.deliveries.HeldByClass() {
		set(metrics.BreakerOpen, float64(count), class)
	}
}

// age returns the time since something was made; 0 for the zero time.
func age(made, now time.Time) time.Duration {
	if made.IsZero() {
		return 0
	}
	return max(0, now.Sub(made))
}
