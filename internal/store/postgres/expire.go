package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/column"
	"github.com/ringback/ringback/internal/store/groupcommit"
)

// Expire implements store.Jobs. Those that another process ends at this moment
// are left to it.
func (s *Store) Expire(ctx context.Context, now time.Time, limit int, decide store.Decide) ([]store.Job, error) {
	jobs, err := s.moveWaiting(ctx, now, limit, decide, `t.status = 0 AND t.end_by <= $1`, "ORDER BY t.end_by LIMIT $2 FOR UPDATE SKIP LOCKED")
	if err != nil {
		return nil, fmt.Errorf("expire jobs: %w", err)
	}
	return jobs, nil
}

// Hasten implements store.Jobs.
func (s *Store) Hasten(ctx context.Context, now time.Time, limit int, decide store.Decide) ([]store.Job, error) {
	jobs, err := s.moveWaiting(ctx, now, limit, decide,
		`t.status = 0 AND t.uncertain < 3 AND t.run_at > $1 AND t.first_started_at > 0 AND t.failures = 0 AND t.first_refused_at = 0`,
		"ORDER BY t.run_at LIMIT $2 FOR UPDATE SKIP LOCKED")
	if err != nil {
		return nil, fmt.Errorf("hasten jobs: %w", err)
	}
	return jobs, nil
}

// moveWaiting moves the waiting jobs that a condition finds.
func (s *Store) moveWaiting(ctx context.Context, now time.Time, limit int, decide store.Decide, where, tail string) (jobs []store.Job, err error) {
	err = s.write(ctx, groupcommit.Write[*tx]{
		Bytes: limit * rowBytes,
		Run: func(t *tx) error {
			found, err := t.lockJobs(where, tail, column.MS(now), limit)
			if err != nil {
				return err
			}
			jobs, err = t.applyAll(found, decide)
			return err
		},
	})
	return jobs, err
}
