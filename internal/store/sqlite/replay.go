package sqlite

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
func (s *Store) Replay(ctx context.Context, n store.NewJob) (store.Job, error) {
	staged, err := s.stage(ctx, &n)
	if err != nil {
		return store.Job{}, err
	}
	op := groupcommit.Op{Name: "replay job", ID: n.Job.ReplayOf, Bytes: rowBytes + newJobBytes(&n), Answers: store.ReplayRefusals}
	job, err := groupcommit.Commit(ctx, s.write, op, func(t *tx) (store.Job, error) { return s.replay(t, n) })
	if staged && err != nil {
		s.unstage(n.Job.ID)
	}
	return job, err
}

func (s *Store) replay(t *tx, n store.NewJob) (store.Job, error) {
	dead, err := selectJob(t, n.Job.ReplayOf)
	if err == nil {
		err = store.RefuseReplay(dead, n.Job.Project)
	}
	if err != nil {
		return dead, err
	}
	first := dead.ReplayedBy == uuid.Nil
	if !first {
		last, err := selectJob(t, dead.ReplayedBy)
		switch {
		case err == nil && last.ID == n.Job.ID:
			return last, nil // a repeated commit
		case err == nil && !last.Status.Terminal(), n.Once:
			return last, store.ErrReplayed
		case err != nil && !errors.Is(err, store.ErrNotFound):
			return dead, err
		}
	}
	if err := s.mayStart(&n.Job); err != nil {
		return dead, err
	}
	if first && dead.Status == ringback.Failed {
		s.countDead(t, -1, 0)
	}
	if _, err := t.exec(`UPDATE jobs SET replayed_by = ? WHERE id = ?`, n.Job.ID[:], dead.ID[:]); err != nil {
		return dead, fmt.Errorf("link a replay: %w", err)
	}
	job, _, err := s.submit(t, n)
	return job, err
}
