package node

import (
	"context"
	"errors"
	"fmt"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/refusal"
	"github.com/ringback/ringback/internal/store"
)

// Erase deletes the content of a job that has ended, and its webhook if that was
// not delivered yet. A job that is erased already is success.
func (n *Node) Erase(ctx context.Context, project, id string) error {
	job, err := refusal.JobID(id)
	if err != nil {
		return err
	}
	err = n.store.Erase(ctx, project, job, n.clock.Stamped())
	if errors.Is(err, store.ErrLive) {
		return &ringback.Error{Code: ringback.Conflict, Message: fmt.Sprintf("job %s has not ended; cancel it first", id)}
	}
	if err != nil {
		return n.refuser.Write(refusal.OfJob(id, err))
	}
	n.log.Debug("job erased", "job_id", job)
	return nil
}
