package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ringback/ringback/internal/clock"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/supervise"
)

const (
	// reconcileEvery is the time between two comparisons. Where leases run out it is
	// renewalsReconcile renewal periods: with a lease of 8 s, the same.
	reconcileEvery    = 10 * time.Second
	renewalsReconcile = 5
)

// ErrMoved ends the call of a job that no longer belongs to this node.
var ErrMoved = errors.New("the job has moved on")

// Claims is the part of the store that a reconciler needs.
type Claims interface {
	Held(ctx context.Context, id string) (store.Held, error)
	Release(ctx context.Context, node string, refs []store.Ref, decide store.Decide) ([]store.Job, error)
	ReleaseDeliveries(ctx context.Context, node string, refs []store.Ref, now time.Time) (int, error)
}

// Attempts are those in flight in this process.
type Attempts interface {
	// Started lists the attempts of a session that are stored.
	Started(s *Session) []store.Ref
	Has(attempt store.Ref) bool
	// Stop ends the call of an attempt, or the one that is about to begin.
	Stop(attempt store.Ref, cause error)
	// Cancel stops an attempt because its job was cancelled.
	Cancel(attempt store.Ref)
	// Forget forgets the cancels of attempts that are not held, and so will not begin.
	Forget(held map[store.Ref]bool)
}

// ReconcilerConfig configures a reconciler. All fields are required.
type ReconcilerConfig struct {
	Store      Claims
	Clock      *clock.Clock
	Supervisor *supervise.Supervisor
	Logger     *slog.Logger
	// Session returns the node's present session.
	Session  func() *Session
	Attempts Attempts
	// HasDelivery reports whether a claim on a delivery is known here.
	HasDelivery func(store.Ref) bool
	// ClaimingJobs and ClaimingDeliveries return when the claim in progress was requested;
	// the zero time if there is none.
	ClaimingJobs, ClaimingDeliveries func() time.Time
	// Free returns how a transaction decides about jobs that were claimed and not begun,
	// and a function to call once it has committed.
	Free func(now time.Time) (decide store.Decide, done func(freed []store.Job))
	// FreedDeliveries is called when deliveries were freed.
	FreedDeliveries func()
}

// Reconciler compares this node's claims in the store with those it knows.
type Reconciler struct {
	cfg  ReconcilerConfig
	wake chan struct{} // has capacity 1: another node has requested a cancel
}

// NewReconciler returns a reconciler.
func NewReconciler(cfg ReconcilerConfig) *Reconciler {
	return &Reconciler{cfg, make(chan struct{}, 1)}
}

// Wake looks for cancelled jobs now. It does not block.
func (r *Reconciler) Wake() { supervise.Wake(r.wake) }

// Run compares every ten seconds until ctx is done. In between it only looks for cancelled
// jobs, when woken.
func (r *Reconciler) Run(ctx context.Context) error {
	timer := time.NewTimer(r.pause())
	defer timer.Stop()
	var before comparison
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.wake:
			r.cfg.Supervisor.KeepHouse(ctx, "cancel", func() error {
				held, err := r.cfg.Store.Held(ctx, r.cfg.Session().ID())
				r.cancel(held.Cancelled)
				return err
			})
		case <-timer.C:
			r.cfg.Supervisor.KeepHouse(ctx, "compare what is held", func() error {
				now, err := r.reconcile(ctx, before)
				if err == nil {
					before = now
				}
				return err
			})
			timer.Reset(r.pause())
		}
	}
}

func (r *Reconciler) pause() time.Duration {
	if p := r.cfg.Session().Period(); p > 0 {
		return renewalsReconcile * p
	}
	return reconcileEvery
}

// comparison is the result of one comparison: true for a claim that this process does not
// know.
type comparison struct {
	session          *Session
	began            time.Time
	jobs, deliveries map[store.Ref]bool
}

// reconcile ends calls of jobs that now belong to others, and frees claims in the store
// that this process does not know, if the previous comparison saw them too.
func (r *Reconciler) reconcile(ctx context.Context, before comparison) (comparison, error) {
	now := comparison{session: r.cfg.Session(), began: time.Now(), jobs: map[store.Ref]bool{}, deliveries: map[store.Ref]bool{}}
	if !now.session.Leased() {
		return before, nil
	}
	started := r.cfg.Attempts.Started(now.session)
	held, err := r.cfg.Store.Held(ctx, now.session.id)
	if err != nil {
		return before, err
	}
	r.cancel(held.Cancelled)
	all := map[store.Ref]bool{}
	for _, ref := range held.Jobs {
		all[ref] = true
		now.jobs[ref] = !r.cfg.Attempts.Has(ref)
	}
	for _, ref := range started {
		if !all[ref] {
			r.cfg.Attempts.Stop(ref, ErrMoved)
		}
	}
	r.cfg.Attempts.Forget(all)
	for _, ref := range held.Deliveries {
		now.deliveries[ref] = !r.cfg.HasDelivery(ref)
	}
	if before.session != now.session {
		return now, nil
	}
	return now, r.freeUnknown(ctx, now.session, orphaned(before.jobs, now.jobs, r.cfg.ClaimingJobs(), before.began),
		orphaned(before.deliveries, now.deliveries, r.cfg.ClaimingDeliveries(), before.began))
}

// cancel stops the attempts of jobs that were cancelled.
func (r *Reconciler) cancel(cancelled []store.Ref) {
	for _, ref := range cancelled {
		r.cfg.Attempts.Cancel(ref)
	}
}

// orphaned returns the claims that were unknown in two comparisons, unless a claim has been
// in progress since before the first: then they may be its result.
func orphaned(before, now map[store.Ref]bool, claiming, since time.Time) (refs []store.Ref) {
	if !claiming.IsZero() && claiming.Before(since) {
		return nil
	}
	for ref, unknown := range now {
		if unknown && before[ref] {
			refs = append(refs, ref)
		}
	}
	return refs
}

// freeUnknown frees claims that were committed while the response was lost. Whatever begins
// here is known from before its claim's commit, or from its response, until its settle has
// ended. So no byte was sent for these: their attempts are released, not uncertain. (A
// settle that was given up is in no comparison: the drain frees it.)
func (r *Reconciler) freeUnknown(ctx context.Context, s *Session, jobs, deliveries []store.Ref) error {
	if len(jobs)+len(deliveries) > 0 {
		r.cfg.Logger.Warn("releasing orphaned claims", "jobs", len(jobs), "webhooks", len(deliveries))
	}
	now := r.cfg.Clock.Stamped()
	if len(jobs) > 0 {
		decide, done := r.cfg.Free(now)
		freed, err := r.cfg.Store.Release(ctx, s.id, jobs, decide)
		if err != nil {
			return fmt.Errorf("free jobs: %w", err)
		}
		done(freed)
	}
	if len(deliveries) > 0 {
		if _, err := r.cfg.Store.ReleaseDeliveries(ctx, s.id, deliveries, now); err != nil {
			return fmt.Errorf("free webhooks: %w", err)
		}
		r.cfg.FreedDeliveries()
	}
	return nil
}
