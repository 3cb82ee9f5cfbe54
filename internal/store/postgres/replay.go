package postgres

import (
	"context"
	"errors"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/groupcommit"
)

// Replay implements store.Jobs.
func (s *Store) Replay(ctx context.Context, n store.NewJob) (store.Job, error) {
	op := groupcommit.Op{Name: "replay job", ID: n.Job.ReplayOf, Bytes: 2*rowBytes + len(n.Request.Bytes), Answers: store.ReplayRefusals}
	return groupcommit.Commit(ctx, s.writeLarge, op, func(t *tx) (store.Job, error) { return t.replay(n) })
}

func (t *tx) replay(n store.NewJob) (store.Job, error) {
	dead, err := t.job(n.Job.ReplayOf)
	if err == nil {
		err = store.RefuseReplay(dead, n.Job.Project)
	}
	if err != nil {
		return dead, err
	}
	if err := t.wants(n.Request); err != nil {
		return dead, err
	}
	if dead.ReplayedBy != uuid.Nil {
		last, err := t.job(dead.ReplayedBy)
		switch {
		case err == nil && last.ID == n.Job.ID:
			return last, nil // a repeated commit
		case err == nil && !last.Status.Terminal(), n.Once:
			return last, store.ErrReplayed
		case err != nil && !errors.Is(err, store.ErrNotFound):
			return dead, err
		}
	} else if dead.Status == ringback.Failed {
		t.count(deadJobs, -1)
	}
	dead.ReplayedBy = n.Job.ID
	t.updateJob(dead)
	job, _, err := t.submit(n)
	return job, err
}
