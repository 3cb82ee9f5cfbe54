package node

import (
	"context"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/intake"
	"github.com/ringback/ringback/internal/live"
	"github.com/ringback/ringback/internal/reading"
	"github.com/ringback/ringback/internal/store"
)

// initReading makes the part of the node that the API reads.
func (n *Node) initReading() {
	n.Reader = reading.New(reading.Config{
		Store: n.store, Clock: n.clock, Logger: n.log, Memory: n.memory.Reads, PublicURL: n.cfg.PublicURL,
		Rows: n.cfg.Retention.Rows, Guarded: n.supervisor.Guarded,
		WaitReason: n.jobs.WaitReason, HeldBy: n.jobs.HeldBy, HostHold: n.deliveries.HostHold, StreamURL: n.tokens.StreamURL,
		Refused: n.refuser.Write, Live: watching{&n.hub, n.watching}, Stopped: n.calls.Done(),
		NodeID: n.ID, Roles: func(s store.Node) []string { return rolesOf(s).Names() },
	})
}

// watching lets package reading watch jobs.
type watching struct {
	*live.Hub
	*live.Watching
}

// ReplayDead replays the dead jobs that match, or sends the matching dead deliveries once
// more.
func (n *Node) ReplayDead(ctx context.Context, project string, a ringback.DeadAction, p intake.Patch) (ringback.DeadDone, error) {
	if a.Kind == ringback.DeadDelivery && (p.Request != nil || len(p.Given) > 0) {
		return ringback.DeadDone{}, ringback.Invalid("patch", "patch changes the requests of jobs; a webhook is sent with the same bytes")
	}
	if a.Kind == ringback.DeadDelivery {
		defer n.deliveries.RedeliverNow()
		return n.ToAllDead(ctx, project, a, func(ctx context.Context, id uuid.UUID) error {
			return n.store.Redeliver(ctx, project, id, store.Redelivery{Now: n.clock.Stamped()})
		})
	}
	return n.ToAllDead(ctx, project, a, func(ctx context.Context, id uuid.UUID) error {
		_, err := n.intake.ReplayJob(ctx, project, id, p, true)
		return err
	})
}
