package dispatch

import (
	"context"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/joblog"
	"github.com/ringback/ringback/internal/outcome"
	"github.com/ringback/ringback/internal/store"
)

// Cancel ends a waiting job at once. The call of a running one is stopped, and the job
// settles as cancelled unless its whole answer was there first. The errors are those of
// [store.Jobs].
func (d *Dispatcher) Cancel(ctx context.Context, project string, id uuid.UUID) (store.Job, error) {
	now := d.cfg.Clock.Stamped()
	seen := decisions{}
	j, err := d.cfg.Store.Cancel(ctx, project, id, d.careful(seen, func(j store.Job) store.Outcome { return outcome.Cancel(j, now) }))
	if err != nil {
		return j, err
	}
	d.recorder.moves(seen, j)
	if j.Status != ringback.Running {
		d.ended(j)
		return j, nil
	}
	joblog.Record(d.cfg.Logger, "job is to be cancelled", &j)
	if j.Node == d.cfg.Session().ID() { // the store notifies the other nodes
		d.inflight.cancelNowOrLater(j.Ref())
	}
	return j, nil
}
