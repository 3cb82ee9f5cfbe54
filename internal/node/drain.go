package node

import (
	"context"
	"fmt"
	"time"

	"github.com/ringback/ringback/internal/cluster"
	"github.com/ringback/ringback/internal/dispatch"
)

// recover takes back what a process that died left behind. Where the store belongs to one
// process, that is done before anything new is claimed. Where there may be other nodes, the
// loop that sweeps does it, once this node may evict others.
func (n *Node) recover(ctx context.Context) error {
	if !n.members.Session().HasPeers() {
		if err := n.supervisor.RetryUntil(ctx, cluster.StepSweep, func() error { return n.sweeper.Sweep(ctx) }); err != nil {
			return fmt.Errorf("take back jobs: %w", err)
		}
	}
	return n.supervisor.RetryUntil(ctx, "start", func() error {
		if err := n.holds.Restore(ctx); err != nil {
			return err
		}
		if err := n.jobs.Hasten(ctx); err != nil {
			return err
		}
		w, err := n.store.Waiting(ctx)
		if err != nil {
			return err
		}
		n.log.Info("node is up", "nodes", n.members.Session().Alive(), "jobs_waiting", w.Jobs, "webhooks_waiting", w.Deliveries)
		return nil
	})
}

// drain stops the node: nothing new is admitted, running calls and sends get their time,
// then the rest is stopped and freed in one transaction.
func (n *Node) drain() error {
	n.Stop()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		n.group.Wait() //nolint:errcheck // its functions return nil
	}()
	timer := time.NewTimer(n.cfg.DrainTimeout)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
		n.log.Warn("drain timeout: running calls are broken off", "drain_timeout", n.cfg.DrainTimeout)
	}
	n.endCalls(dispatch.ErrDrain)
	<-ended
	n.watching.Close()
	n.cfg.Sender.Close()
	return n.free()
}

// Stop makes the node unready, without waiting: nothing new is admitted, claimed or claimed
// on insert. Run's context should be ended next.
func (n *Node) Stop() {
	n.admission.Lock()
	defer n.admission.Unlock()
	n.draining.Store(true)
	n.watching.Stop()
	n.pusher.Stop()
}

// partingFor bounds how long a stopping node waits for a store that may be gone.
const partingFor = 10 * time.Second

// free gives back, in one transaction, the attempts that the drain stopped. If the store
// can't be reached, another node or the next start frees them.
func (n *Node) free() error {
	l := n.members.Session()
	if !l.IsMember() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), partingFor)
	defer cancel()
	jobs, webhooks, err := n.freeHeld(ctx, l)
	switch {
	case err == nil:
		n.log.Info("drained", "jobs_freed", jobs, "webhooks_freed", webhooks)
		return nil
	case l.HasPeers():
		n.log.Warn("not freed what was broken off: another node will", "err", err)
		return nil
	default:
		return err
	}
}

func (n *Node) freeHeld(ctx context.Context, l *cluster.Session) (jobs, webhooks int, err error) {
	held, err := n.store.Held(ctx, l.ID())
	if err != nil {
		return 0, 0, fmt.Errorf("list what is held: %w", err)
	}
	if jobs, err = n.jobs.FreeDrained(ctx, l.ID(), held.Jobs); err != nil {
		return 0, 0, err
	}
	webhooks, err = n.store.ReleaseDeliveries(ctx, l.ID(), held.Deliveries, n.clock.Stamped())
	if err != nil {
		return 0, 0, fmt.Errorf("free webhooks: %w", err)
	}
	return jobs, webhooks, nil
}
