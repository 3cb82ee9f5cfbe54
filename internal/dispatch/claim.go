package dispatch

import (
	"context"
	"time"

	"github.com/ringback/ringback/internal/outcome"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/supervise"
)

// memoryPause is the time between two looks at memory that is full.
const memoryPause = 10 * time.Millisecond

// claimWaiting starts as many waiting jobs as there is room for. It returns when time alone
// may make more room.
func (d *Dispatcher) claimWaiting(ctx context.Context, now time.Time) (next time.Time, err error) {
	s := d.cfg.Session()
	if d.cfg.Draining() || d.cfg.Disk.Full() || d.cfg.Supervisor.Short() || !s.Leased() {
		return now.Add(supervise.Idle), nil
	}
	if d.cfg.Memory.Answers.Full() {
		return now.Add(memoryPause), nil
	}
	w, err := d.cfg.Store.DueJobs(ctx, now)
	if err != nil {
		return next, err
	}
	d.names.wait(w.Lanes)
	d.scheduler.wait(w.Lanes)
	p, next := d.plan(w, s, now)
	if len(p.permits) == 0 {
		return next, nil
	}
	defer p.giveBack()
	d.claiming.Store(new(time.Now()))
	defer d.claiming.Store(nil)
	jobs, err := d.cfg.Store.Claim(ctx, p.claim)
	if err != nil {
		return next, err
	}
	d.cfg.Metrics.Claims.Add(float64(len(jobs)))
	for _, j := range jobs {
		d.names.used(j.Model)
		d.scheduler.claimed(j.Lane())
		d.start(j, p.permitFor(j))
	}
	// Jobs that were left in the lanes are seen at once, not only when a slot is freed.
	d.Wake()
	return next, nil
}

// start runs an attempt that is committed. Its goroutine owns the permit.
func (d *Dispatcher) start(j store.Job, p *permit) {
	d.inflight.start(j.Ref(), p.session)
	d.cfg.Go(func() error {
		defer func() {
			d.inflight.leave(j.Ref())
			p.give()
			d.Wake()
		}()
		if p.suspect && !p.enterLate(j.Lane()) {
			held := outcome.Stopped(outcome.OnHold, nil)
			held.Refusal.Until = d.cfg.Clock.Shared(d.scheduler.next(j.Lane()))
			d.settle(&j, held, d.cfg.Clock.Now(), Unwatched{})
			return nil
		}
		if err := d.cfg.Supervisor.Guarded("make an attempt", func() error { d.attempt(&j, p); return nil }, "job_id", j.ID, "attempt", j.Fence); err != nil {
			d.settleBroken(&j, err)
		}
		return nil
	})
}

// settleBroken settles an attempt that a mistake of ours has interrupted.
func (d *Dispatcher) settleBroken(j *store.Job, err error) {
	_ = d.cfg.Supervisor.Guarded(supervise.StepSettle, func() error {
		d.settle(j, outcome.Failed(internalError(err, true)), d.cfg.Clock.Now(), Unwatched{})
		return nil
	}, "job_id", j.ID)
}
