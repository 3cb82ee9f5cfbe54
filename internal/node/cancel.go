package node

import (
	"context"
	"errors"
	"fmt"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/outcome"
	"github.com/ringback/ringback/internal/reading"
	"github.com/ringback/ringback/internal/refusal"
	"github.com/ringback/ringback/internal/store"
)

// Cancel ends a waiting job at once. A running one's call is broken off, and
// settles as cancelled unless its whole answer was there first. A job that is
// cancelled already is returned as it is; one that ended otherwise is a conflict.
func (n *Node) Cancel(ctx context.Context, project, id string) (*reading.Opened, error) {
	job, err := refusal.JobID(id)
	if err != nil {
		return nil, err
	}
	now := n.clock.Stamped()
	seen := decisions{}
	j, err := n.store.Cancel(ctx, project, job, seen.of(n.supervisor.Careful(n.outbox.Concluding(func(j store.Job) store.Outcome {
		return outcome.Cancel(j, now)
	}))))
	if errors.Is(err, store.ErrEnded) {
		return nil, &ringback.Error{Code: ringback.Conflict, Message: fmt.Sprintf("job %s has ended already: it is %s", id, j.Status)}
	}
	if err != nil {
		return nil, refusal.OfJob(id, err)
	}
	n.recordMoves(seen, j)
	if j.Status == ringback.Running {
		n.record("job is to be cancelled", &j)
		if j.Node == n.ID() { // the others are told by the store
			n.inflight.cancel(j.Ref())
		}
	} else {
		n.ended(j)
	}
	v, err := n.OpenJob(ctx, project, id, false)
	if err == nil && v.Status.Terminal() {
		n.inflight.leave(j.Ref()) // settled before the cancel reached its call
	}
	return v, err
}
