package dispatch

import (
	"github.com/ringback/ringback/internal/outcome"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/supervise"
)

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
