package node

import (
	"errors"
	"time"

	"github.com/ringback/ringback/internal/cluster"
	"github.com/ringback/ringback/internal/delivery"
	"github.com/ringback/ringback/internal/dispatch"
	"github.com/ringback/ringback/internal/live"
	"github.com/ringback/ringback/internal/provider"
	"github.com/ringback/ringback/internal/store"
)

// Provider is a provider that is configured.
type Provider = dispatch.Provider

// initDispatch makes the part of the node that runs jobs.
func (n *Node) initDispatch() {
	n.jobs = dispatch.New(dispatch.Config{
		Store: n.store, Clock: n.clock, Supervisor: n.supervisor, Disk: n.disk, Logger: n.log,
		Metrics: &n.metrics.Dispatch, Submitted: n.metrics.Intake.Submitted, Tracer: n.cfg.Tracer,
		Policy: n.newPolicy(), Memory: &n.memory,
		Providers: n.cfg.Providers, Models: namedModels(n.cfg), Concurrency: n.cfg.Concurrency, Gate: n.cfg.Gate,
		Session:  func() dispatch.Session { return n.members.Session() },
		Calls:    n.calls,
		Go:       n.group.Go,
		Ready:    func() bool { return n.cfg.Roles.Has(Worker) && n.recovered.Load() },
		Draining: n.draining.Load,
		NoLease:  func(err error) bool { return n.members.NoLease(err) },
		Interrupted: func(cause error) bool {
			return errors.Is(cause, cluster.ErrSwept) || errors.Is(cause, cluster.ErrMoved)
		},
		Webhooks: webhooks{n}, Watch: n.watch,
		Moved:  n.hub.Publish,
		Caused: n.deliveries.Wake,
		Held:   func() { n.holds.Wake() },
	})
}

// webhooks makes and sends those that ends of jobs cause, for package dispatch.
type webhooks struct{ *Node }

func (w webhooks) Conclude(row store.Job, o store.Outcome) store.Outcome {
	return w.outbox.Conclude(row, o)
}

func (w webhooks) Answered(row store.Job, o *store.Outcome, a *provider.Answer) dispatch.Claim {
	body := w.outbox.Add(row, o, delivery.Content{Answer: a.Message, Text: a.Text})
	if c := w.deliveries.ClaimNow(row, o.Delivery, body); c != nil {
		return c
	}
	return nil
}

// watched shows an attempt to those who watch its job: by the job's log, by webhooks while
// it runs, and by a stream that is pushed.
type watched struct {
	*live.Writer

	quiet, leave func()
}

// watch begins to show an attempt.
func (n *Node) watch(j *store.Job, s dispatch.Session) dispatch.Progress {
	w := n.watching.OpenWriter(j)
	if w == nil && j.Options.StreamTo == "" {
		return dispatch.Unwatched{}
	}
	shown := &watched{Writer: w, quiet: func() {}}
	if w != nil {
		shown.quiet = n.deliveries.Notify(j, w, s)
	}
	shown.leave = n.pusher.Push(j)
	return shown
}

func (w *watched) Quiet() { w.quiet() }

func (w *watched) Settled(after *store.Job, at time.Time) {
	w.Writer.Settled(after, at)
	w.Writer.End()
}

func (w *watched) End() {
	w.leave()
	w.Writer.End()
}
