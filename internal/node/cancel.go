package node

import (
	"context"
	"errors"
	"fmt"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/reading"
	"github.com/ringback/ringback/internal/refusal"
	"github.com/ringback/ringback/internal/store"
)

// Cancel ends a waiting job at once. The call of a running one is stopped, and the job
// settles as cancelled unless its whole answer was there first. A job that is cancelled
// already is returned as it is; one that ended otherwise is a conflict.
func (n *Node) Cancel(ctx context.Context, project, id string) (*reading.Opened, error) {
	job, err := refusal.JobID(id)
	if err != nil {
		return nil, err
	}
	j, err := n.jobs.Cancel(ctx, project, job)
	if errors.Is(err, store.ErrEnded) {
		return nil, &ringback.Error{Code: ringback.Conflict, Message: fmt.Sprintf("job %s has ended already: it is %s", id, j.Status)}
	}
	if err != nil {
		return nil, refusal.OfJob(id, err)
	}
	v, err := n.OpenJob(ctx, project, id, false)
	if err == nil && v.Status.Terminal() {
		n.jobs.Inflight().ForgetCancel(j.Ref())
	}
	return v, err
}
