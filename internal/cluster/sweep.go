package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/ringback/ringback/internal/backoff"
	"github.com/ringback/ringback/internal/clock"
	"github.com/ringback/ringback/internal/metrics"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/supervise"
)

const (
	// sweepBatch is how many jobs, and how many deliveries, one transaction of a sweep
	// frees.
	sweepBatch = 200
	// StepSweep is the name of the sweep as a step that may fail.
	StepSweep = "sweep"
)

// Sweeps is the part of the store that a sweeper needs.
type Sweeps interface {
	Sweep(ctx context.Context, by string, now time.Time, limit int, decide store.Decide) (store.Swept, error)
}

// SweeperConfig configures a sweeper. All fields are required.
type SweeperConfig struct {
	Store      Sweeps
	Clock      *clock.Clock
	Supervisor *supervise.Supervisor
	Logger     *slog.Logger
	Metrics    metrics.Cluster
	// Session returns the node's present session.
	Session func() *Session
	// Free returns how a transaction decides about the jobs of dead nodes, and a function
	// to call once it has committed.
	Free func(now time.Time) (decide store.Decide, done func(store.Swept))
}

// Sweeper frees what dead nodes have left behind.
type Sweeper struct{ cfg SweeperConfig }

// NewSweeper returns a sweeper.
func NewSweeper(cfg SweeperConfig) *Sweeper { return &Sweeper{cfg} }

// Run sweeps until ctx is done, whenever this node may evict others.
func (w *Sweeper) Run(ctx context.Context) error {
	for backoff.Sleep(ctx, w.untilNext(w.cfg.Session())) {
		w.cfg.Supervisor.KeepHouse(ctx, StepSweep, func() error {
			if s := w.cfg.Session(); s.HasPeers() && s.MayEvict() {
				return w.Sweep(ctx)
			}
			return nil
		})
	}
	return nil
}

// untilNext returns the time until the next sweep: about half a renewal period, or less if
// a lease runs out before. A killed node is swept as soon as 8 s have passed since its last
// renewal, because its jobs must run elsewhere within 10 s.
func (w *Sweeper) untilNext(s *Session) time.Duration {
	pause, soonest := backoff.Jitter(s.Every(idleLook)/2, backoff.Half), s.soonest()
	if soonest.IsZero() {
		return pause
	}
	left := time.Until(w.cfg.Clock.Local(soonest))
	switch {
	case left > 0:
		return min(pause, left+s.Period()/100)
	case left > -s.Period(): // over by this clock, but not yet by the database's, or a claim has locked it
		return s.Period() / 20
	default:
		return pause
	}
}

// Sweep takes away the leases that have run out and frees everything that is claimed under
// an id without a lease.
func (w *Sweeper) Sweep(ctx context.Context) error {
	jobs, deliveries := 0, 0
	defer func() {
		if jobs+deliveries > 0 {
			w.cfg.Logger.Info("jobs taken back", "uncertain_attempts", jobs, "webhooks_in_flight", deliveries)
		}
	}()
	for {
		now := w.cfg.Clock.Stamped()
		decide, done := w.cfg.Free(now)
		swept, err := w.cfg.Store.Sweep(ctx, w.cfg.Session().ID(), now, sweepBatch, decide)
		if err != nil {
			return fmt.Errorf("sweep: %w", err)
		}
		w.record(swept)
		done(swept)
		jobs += len(swept.Jobs)
		deliveries += swept.Deliveries
		if len(swept.Jobs) < sweepBatch && swept.Deliveries < sweepBatch {
			return nil
		}
	}
}

// record logs and counts what a transaction of a sweep has found.
func (w *Sweeper) record(s store.Swept) {
	w.cfg.Metrics.Sweeps.Add(float64(len(s.Nodes)))
	w.cfg.Metrics.SweptJobs.Add(float64(len(s.Jobs)))
	for _, id := range s.Nodes {
		w.cfg.Logger.Warn("a node did not renew its lease and is swept: what it held is freed", "swept", id)
	}
}
