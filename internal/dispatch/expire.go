package dispatch

import (
	"context"
	"time"

	"github.com/ringback/ringback/internal/store"
)

// expireBatch is how many jobs one transaction ends.
const expireBatch = 100

// Expire ends the jobs that have waited too long.
func (d *Dispatcher) Expire(ctx context.Context, now time.Time) error {
	for {
		seen := decisions{}
		jobs, err := d.cfg.Store.Expire(ctx, now, expireBatch, d.careful(seen, func(j store.Job) store.Outcome {
			return d.cfg.Policy.Expire(j, d.WaitReason(&j, now), now)
		}))
		if err != nil {
			return err
		}
		d.recorder.moves(seen, jobs...)
		for _, j := range jobs {
			if j.Status.Terminal() {
				d.ended(j)
			}
		}
		if len(jobs) > 0 {
			d.Wake() // some may ask their next model
		}
		if len(jobs) < expireBatch {
			return nil
		}
	}
}
