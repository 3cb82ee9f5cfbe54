package node

import (
	"time"

	"github.com/ringback/ringback/internal/cluster"
	"github.com/ringback/ringback/internal/dispatch"
	"github.com/ringback/ringback/internal/store"
)

// initCluster makes the parts of the node that keep it a member of the cluster.
func (n *Node) initCluster() (err error) {
	n.members, err = cluster.NewMembership(cluster.MembershipConfig{
		Leases: n.store, Clock: n.clock, Supervisor: n.supervisor, Logger: n.log, Calls: n.calls,
		Self: store.Node{
			Machine: n.cfg.Machine, Version: n.cfg.Version, URL: n.cfg.URL, API: n.cfg.Roles.Has(API), Worker: n.cfg.Roles.Has(Worker),
		},
		Prepare: n.tokens.Learn, Renewed: n.renewed, Draining: n.draining.Load, InFlight: n.jobs.Inflight().Count,
	})
	if err != nil {
		return err
	}
	n.nodeHandler.name(n.ID())
	n.sweeper = cluster.NewSweeper(cluster.SweeperConfig{
		Store: n.store, Clock: n.clock, Supervisor: n.supervisor, Logger: n.log,
		Metrics: n.metrics.Cluster, Session: n.members.Session, Free: n.freeSwept,
	})
	n.reconciler = cluster.NewReconciler(cluster.ReconcilerConfig{
		Store: n.store, Clock: n.clock, Supervisor: n.supervisor, Logger: n.log,
		Session: n.members.Session, Attempts: attempts{n.jobs.Inflight()}, HasDelivery: n.deliveries.Has,
		ClaimingJobs: n.jobs.ClaimingSince, ClaimingDeliveries: n.deliveries.ClaimingSince,
		Free: n.jobs.FreeUnbegun, FreedDeliveries: n.deliveries.Wake,
	})
	n.holds = cluster.NewHolds(cluster.HoldsConfig{
		Store: n.store, Gates: n.jobs.Gates(), Clock: n.clock, Supervisor: n.supervisor, Logger: n.log,
		Session: n.members.Session, Freed: n.jobs.Wake,
	})
	return nil
}

// ID of this node: a new one at each start, and after it was swept.
func (n *Node) ID() string { return n.members.Session().ID() }

// renewed takes over what a renewal returns: the node's id, and its part of the limits.
func (n *Node) renewed(s *cluster.Session, back bool) {
	n.nodeHandler.name(s.ID())
	if more := n.jobs.TakeParts(s); more || back {
		n.jobs.Wake()
		n.deliveries.Wake()
	}
}

// freeSwept decides about the jobs of nodes that died. done takes over what was freed, and
// the parts of the limits that those nodes had.
func (n *Node) freeSwept(now time.Time) (decide store.Decide, done func(store.Swept)) {
	decide, freed := n.jobs.FreeSwept(now)
	return decide, func(swept store.Swept) {
		s := n.members.Session()
		if len(swept.Nodes) > 0 {
			s.Outlived(swept.Nodes)
			n.jobs.TakeParts(s)
		}
		freed(swept.Jobs, s.WorkedBeside)
	}
}

// attempts are the attempts in flight, as package cluster compares and stops them.
type attempts struct{ *dispatch.Inflight }

func (a attempts) Started(s *cluster.Session) []store.Ref { return a.Inflight.Started(s) }
