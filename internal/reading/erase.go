package reading

import (
	"context"
	"errors"
	"fmt"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/refusal"
	"github.com/ringback/ringback/internal/store"
)

// Erase deletes the content of a job that has ended, and its webhook if that was
// not delivered yet. It succeeds if the job is erased already.
func (r *Reader) Erase(ctx context.Context, project, id string) error {
	job, err := refusal.JobID(id)
	if err != nil {
		return err
	}
	err = r.store.Erase(ctx, project, job, r.clock.Stamped())
	if errors.Is(err, store.ErrLive) {
		return &ringback.Error{Code: ringback.Conflict, Message: fmt.Sprintf("job %s has not ended; cancel it first", id)}
	}
	if err != nil {
		return r.cfg.Refused(refusal.OfJob(id, err))
	}
	r.cfg.Logger.Debug("job erased", "job_id", job)
	return nil
}
