package node

import (
	"context"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/intake"
)

// initIntake makes the part of the node that takes requests.
func (n *Node) initIntake() {
	protocols := map[string]string{}
	for name, p := range n.cfg.Providers {
		protocols[name] = p.Client.Protocol()
	}
	n.routes = intake.NewRoutes(n.cfg.Routes, protocols)
	n.intake = intake.New(intake.Config{
		Store: n.store, Clock: n.clock, Refuser: n.refuser, Disk: n.disk, Bodies: n.memory.Bodies, Guard: n.cfg.Guard,
		Routes: n.routes, DefaultModel: n.cfg.DefaultModel, ProviderHeaders: n.cfg.ProviderHeaders, MaxQueued: n.cfg.MaxQueued,
		RowsKept: n.cfg.Retention.Rows, Closed: !n.cfg.Roles.Has(API), Admission: n.admission.RLocker(), Draining: n.draining.Load, Insert: n.jobs.Insert, Tracer: n.cfg.Tracer,
	})
}

// Submit checks a request and stores it as a job: the job is on stable storage
// when Submit returns. replayed reports whether the idempotency key named a job that
// was there already. An error is the user's, or internal.
func (n *Node) Submit(ctx context.Context, s intake.Submission) (job ringback.Job, replayed bool, err error) {
	stored, replayed, err := n.intake.Submit(ctx, s)
	if err != nil {
		return job, false, err
	}
	return n.View(&stored), replayed, nil
}

// Replay makes a new job of one that ended without an answer. The old one never
// changes, except for its link to the new one.
func (n *Node) Replay(ctx context.Context, project, id string, p intake.Patch) (ringback.Job, error) {
	stored, err := n.intake.Replay(ctx, project, id, p)
	if err != nil {
		return ringback.Job{}, err
	}
	return n.View(&stored), nil
}

// ProviderHeaders returns the names of the headers that a request may pass on to its
// provider, in lower case.
func (n *Node) ProviderHeaders() []string { return n.cfg.ProviderHeaders }
