package sqlite

import (
	"context"
	"fmt"
	"time"

	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/column"
	"github.com/ringback/ringback/internal/store/groupcommit"
)

// Expire implements store.Jobs.
func (s *Store) Expire(ctx context.Context, now time.Time, limit int, decide store.Decide) ([]store.Job, error) {
	jobs, err := s.moveWaiting(ctx, decide, limit, `WHERE status = 0 AND end_by <= ? ORDER BY end_by LIMIT ?`, column.MS(now), limit)
	if err != nil {
		return nil, fmt.Errorf("expire jobs: %w", err)
	}
	return jobs, nil
}

// Hasten implements store.Jobs.
func (s *Store) Hasten(ctx context.Context, now time.Time, limit int, decide store.Decide) ([]store.Job, error) {
	jobs, err := s.moveWaiting(ctx, decide, limit, `
		WHERE status = 0 AND uncertain < 3 AND run_at > ? AND first_started_at > 0 AND failures = 0 AND first_refused_at = 0
		ORDER BY run_at LIMIT ?`, column.MS(now), limit)
	if err != nil {
		return nil, fmt.Errorf("hasten jobs: %w", err)
	}
	return jobs, nil
}

// moveWaiting moves the waiting jobs that a condition finds.
func (s *Store) moveWaiting(ctx context.Context, decide store.Decide, limit int, where string, args ...any) (jobs []store.Job, err error) {
	err = s.write(ctx, groupcommit.Write[*tx]{
		Bytes: limit * rowBytes,
		Run: func(t *tx) error {
			found, err := selectJobs(t, `SELECT `+jobColumns+` FROM jobs `+where, args...)
			if err != nil {
				return err
			}
			jobs, err = s.decideAll(t, found, decide)
			return err
		},
	})
	return jobs, err
}
