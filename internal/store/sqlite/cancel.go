package sqlite

import (
	"context"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/groupcommit"
)

// Cancel implements store.Jobs.
func (s *Store) Cancel(ctx context.Context, project string, id uuid.UUID, decide store.Decide) (store.Job, error) {
	op := groupcommit.Op{Name: "cancel job", ID: id, Bytes: 4 * rowBytes, Answers: []error{store.ErrEnded}}
	return groupcommit.Commit(ctx, s.write, op, func(t *tx) (store.Job, error) { return s.cancel(t, project, id, decide) })
}

func (s *Store) cancel(t *tx, project string, id uuid.UUID, decide store.Decide) (store.Job, error) {
	j, err := selectJob(t, id)
	switch {
	case err != nil:
		return j, err
	case j.Project != project:
		return j, store.ErrNotFound
	case j.Status == ringback.Queued:
		return s.decide(t, j, decide)
	case j.Status == ringback.Running && !j.CancelRequested:
		j.CancelRequested = true
		return j, s.updateJob(t, &j)
	case j.Status == ringback.Running, j.Status == ringback.Cancelled:
		return j, nil
	default:
		return j, store.ErrEnded
	}
}
