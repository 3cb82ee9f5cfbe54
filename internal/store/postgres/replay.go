package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/groupcommit"
)

// Replay implements store.Jobs.
func (s *Store) Replay(ctx context.Context, n store.NewJob) (job store.Job, err error) {
	err = s.writeLarge(ctx, groupcommit.Write[*tx]{
		Bytes: 2*rowBytes + len(n.Request.Bytes),
		Run: func(t *tx) error {
			var err error
			job, err = t.replay(n)
			return err
		},
	})
	if err != nil && !errors.Is(err, store.ErrReplayed) {
		return store.Job{}, fmt.Errorf("replay job %s: %w", n.Job.ReplayOf, err)
	}
	return job, err
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
			return last, nil // the commit that is repeated
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
