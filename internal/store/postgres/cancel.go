package postgres

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
	return groupcommit.Commit(ctx, s.writeLarge, op, func(t *tx) (store.Job, error) { return t.cancel(project, id, decide) })
}

func (t *tx) cancel(project string, id uuid.UUID, decide store.Decide) (store.Job, error) {
	j, err := t.job(id)
	switch {
	case err != nil:
		return j, err
	case j.Project != project:
		return j, store.ErrNotFound
	case j.Status == ringback.Queued:
		return t.decide(j, decide)
	case j.Status == ringback.Running && !j.CancelRequested:
		j.CancelRequested = true
		t.updateJob(j)
		t.signals(store.SignalCancel)
		return j, nil
	case j.Status == ringback.Running, j.Status == ringback.Cancelled:
		return j, nil
	default:
		return j, store.ErrEnded
	}
}
