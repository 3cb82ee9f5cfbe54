package node

import (
	"context"
	"fmt"
	"time"

	"github.com/ringback/ringback/internal/store"
)

// releaseBatch is how many jobs one transaction of a recovery frees.
const releaseBatch = 200

// recover takes back what a process that died left behind. Its attempts ended
// without an outcome: the provider may have answered.
func (n *Node) recover(ctx context.Context) error {
	now := time.Now().Truncate(time.Millisecond)
	var jobs, deliveries int
	for {
		seen := witness{}
		freed, err := n.store.Release(ctx, nil, releaseBatch, seen.of(func(j store.Job) store.Outcome {
			return n.uncertain(j, result{sent: true}, now)
		}))
		if err != nil {
			return fmt.Errorf("take back jobs: %w", err)
		}
		n.tellMoves(seen, freed...)
		for _, j := range freed {
			if j.Status.Terminal() {
				n.hub.Publish(j.ID)
			}
		}
		if jobs += len(freed); len(freed) < releaseBatch {
			break
		}
	}
	for {
		freed, err := n.store.ReleaseDeliveries(ctx, nil, now, releaseBatch)
		if err != nil {
			return fmt.Errorf("take back webhooks: %w", err)
		}
		if deliveries += freed; freed < releaseBatch {
			break
		}
	}
	if err := n.restoreHolds(ctx); err != nil {
		return err
	}
	w, err := n.store.Waiting(ctx)
	if err != nil {
		return err
	}
	n.log.Info("jobs taken back", "uncertain_attempts", jobs, "webhooks_in_flight", deliveries, "jobs_waiting", w.Jobs, "webhooks_waiting", w.Deliveries)
	return nil
}

// drain stops: nothing new is admitted, running calls and sends get their time,
// then the rest is broken off and freed in one transaction.
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
	n.endCalls(errDrain)
	<-ended
	n.cfg.Sender.Close()
	return n.free()
}

// Stop makes the node unready and closes its doors, without waiting: nothing
// new is admitted, claimed or born claimed. Run's context should be ended next.
func (n *Node) Stop() {
	n.admission.Lock()
	defer n.admission.Unlock()
	n.draining.Store(true)
}

// free gives back, in one transaction, the attempts that the drain broke off.
func (n *Node) free() error {
	now := time.Now().Truncate(time.Millisecond)
	const all = 1 << 30
	seen := witness{}
	freed, err := n.store.Release(context.Background(), nil, all, seen.of(func(j store.Job) store.Outcome {
		res, ok := n.running.stopped[j.Ref()]
		if !ok { // its settle failed
			res = result{stopped: errDrain, sent: true}
		}
		return n.without(j, res, now)
	}))
	if err != nil {
		return fmt.Errorf("free jobs: %w", err)
	}
	n.tellMoves(seen, freed...)
	for _, j := range freed {
		if j.Status.Terminal() {
			n.hub.Publish(j.ID)
		}
	}
	webhooks, err := n.store.ReleaseDeliveries(context.Background(), nil, now, all)
	if err != nil {
		return fmt.Errorf("free webhooks: %w", err)
	}
	n.log.Info("drained", "jobs_freed", len(freed), "webhooks_freed", webhooks)
	return nil
}

// Readiness says whether this node takes jobs, and if not, why.
type Readiness struct {
	Ready  bool              `json:"ready"`
	Checks map[string]string `json:"checks"`
	// Holds stand against providers. They make nobody unready: jobs are accepted,
	// and wait.
	Holds []Hold `json:"holds"`
}

// Readiness of the node; it reads nothing but memory.
func (n *Node) Readiness() Readiness {
	r := Readiness{Ready: true, Checks: map[string]string{"doors": "ok", "disk": "ok", "queue": "ok", "memory": "ok"}, Holds: n.Holds()}
	note := func(check string, bad bool, why string) {
		if bad {
			r.Ready, r.Checks[check] = false, why
		}
	}
	note("doors", !n.recovered.Load(), "starting")
	note("doors", n.draining.Load(), "stopping")
	note("disk", n.diskFull(), "free space is below the reserve")
	note("memory", n.budget.full(), "as much is being read as memory allows")
	queued, err := n.store.Queued(context.Background())
	note("queue", err != nil || queued >= n.cfg.MaxQueued, "full")
	return r
}
