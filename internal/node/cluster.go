package node

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/cluster"
	"github.com/ringback/ringback/internal/outcome"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/supervise"
)

// session is what a claim remembers of the session in which it was made.
type session interface {
	ID() string
	// Leased reports whether what was claimed may still be begun.
	Leased() bool
	// Context governs the calls and sends of what was claimed.
	Context() context.Context
}

// errUnleased keeps a call from being begun if the lease ran out after the claim.
var errUnleased = errors.New("the node's lease has run out")

// initCluster makes the parts of the node that keep it a member of the cluster.
func (n *Node) initCluster() (err error) {
	n.members, err = cluster.NewMembership(cluster.MembershipConfig{
		Leases: n.store, Clock: n.clock, Supervisor: n.supervisor, Logger: n.log, Calls: n.calls,
		Self: store.Node{
			Machine: n.cfg.Machine, Version: n.cfg.Version, URL: n.cfg.URL, API: n.is(API), Worker: n.is(Worker),
		},
		Prepare: n.tokens.Learn, Renewed: n.renewed, Draining: n.draining.Load, InFlight: n.inflight.count,
	})
	if err != nil {
		return err
	}
	n.nodeHandler.name(n.ID())
	n.sweeper = cluster.NewSweeper(cluster.SweeperConfig{
		Store: n.store, Clock: n.clock, Supervisor: n.supervisor, Logger: n.log,
		Session: n.members.Session, Free: n.freeSwept,
	})
	n.reconciler = cluster.NewReconciler(cluster.ReconcilerConfig{
		Store: n.store, Clock: n.clock, Supervisor: n.supervisor, Logger: n.log,
		Session: n.members.Session, Attempts: attempts{&n.inflight}, HasDelivery: n.deliveries.Has,
		ClaimingJobs: requested(&n.claiming), ClaimingDeliveries: n.deliveries.ClaimingSince,
		Free: n.freeUnbegun, FreedDeliveries: n.deliveries.Wake,
	})
	n.holds = cluster.NewHolds(cluster.HoldsConfig{
		Store: n.store, Gates: providerGates{n}, Clock: n.clock, Supervisor: n.supervisor, Logger: n.log,
		Session: n.members.Session, Freed: func() { supervise.Wake(n.wakeJobs) },
	})
	return nil
}

// ID of this node: a new one at each start, and after it was swept.
func (n *Node) ID() string { return n.members.Session().ID() }

// renewed takes over what a renewal shows: the node's id, and its part of the limits.
func (n *Node) renewed(s *cluster.Session, back bool) {
	n.nodeHandler.name(s.ID())
	if more := n.jobs.takeParts(s); more || back {
		supervise.Wake(n.wakeJobs)
		n.deliveries.Wake()
	}
}

// freeSwept decides about the jobs of nodes that died. Their attempts ended without an
// outcome: the provider may have answered. done takes over what was freed.
func (n *Node) freeSwept(now time.Time) (decide store.Decide, done func(store.Swept)) {
	seen := decisions{}
	decide = seen.of(n.supervisor.Careful(n.outbox.Concluding(func(j store.Job) store.Outcome {
		return n.policy.Lost(j, now)
	})))
	return decide, func(swept store.Swept) {
		n.takeOver(swept, seen)
		n.recordSwept(swept)
		n.recordMoves(seen, swept.Jobs...)
		n.notifyFreed(swept.Jobs)
	}
}

// takeOver makes room for what dead nodes had begun. They make calls no more, so this
// node may make as many beyond its own slots, if it worked beside them: whoever waits for
// these jobs has waited for a lease's time already. (A process that came after them may
// run on the same machine, within the same limits.)
func (n *Node) takeOver(s store.Swept, before decisions) {
	l := n.members.Session()
	var begun []store.Lane
	for _, j := range s.Jobs {
		n.names.used(j.Model)
		if j.Status == ringback.Queued && !j.Suspect() && l.WorkedBeside(before[j.ID].before.Node) {
			begun = append(begun, j.Lane())
		}
	}
	n.jobs.lend(begun)
	if len(s.Nodes) > 0 {
		l.Outlived(s.Nodes)
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
	supervise.Wake(n.wakeJobs)
	n.deliveries.Wake()
}

// recordSwept logs and counts a sweep that has found something.
func (n *Node) recordSwept(s store.Swept) {
	n.metrics.Cluster.Sweeps.Add(float64(len(s.Nodes)))
	n.metrics.Cluster.SweptJobs.Add(float64(len(s.Jobs)))
	for _, id := range s.Nodes {
		n.log.Warn("a node did not renew its lease and is swept: what it held is freed", "swept", id)
	}
}

// freeUnbegun decides about jobs that were claimed and not begun. done takes over what was
// freed.
func (n *Node) freeUnbegun(now time.Time) (decide store.Decide, done func(freed []store.Job)) {
	seen := decisions{}
	decide = seen.of(n.supervisor.Careful(n.outbox.Concluding(func(j store.Job) store.Outcome {
		return outcome.Release(j, now)
	})))
	return decide, func(freed []store.Job) {
		n.recordMoves(seen, freed...)
		n.notifyFreed(freed)
	}
}

// requested returns when the claim under way was requested; the zero time if there is none.
func requested(claim *atomic.Pointer[time.Time]) func() time.Time {
	return func() time.Time {
		if at := claim.Load(); at != nil {
			return *at
		}
		return time.Time{}
	}
}

// attempts are those in flight, as package cluster compares and stops them.
type attempts struct{ *inflight }

func (a attempts) Started(s *cluster.Session) []store.Ref { return a.started(s) }

func (a attempts) Has(attempt store.Ref) bool { return a.has(attempt) }

func (a attempts) Stop(attempt store.Ref, cause error) { a.stop(attempt, cause) }

func (a attempts) Cancel(attempt store.Ref) { a.stop(attempt, errCancelled) }

func (a attempts) Forget(held map[store.Ref]bool) { a.forget(held) }
