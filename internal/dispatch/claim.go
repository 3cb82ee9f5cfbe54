package dispatch

import (
	"context"
	"time"

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
