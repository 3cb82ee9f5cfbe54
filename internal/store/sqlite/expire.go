package sqlite

import (
	"context"
	"time"

	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/column"
	"github.com/ringback/ringback/internal/store/groupcommit"
)

// Expire implements store.Maintenance.
func (s *Store) Expire(ctx context.Context, now time.Time, limit int, decide store.Decide) ([]store.Job, error) {
	return s.moveWaiting(ctx, "expire jobs", decide, limit, `WHERE `+column.IsQueued+` AND end_by <= ? ORDER BY end_by LIMIT ?`, column.MS(now), limit)
}

// Hasten implements store.Jobs.
func (s *Store) Hasten(ctx context.Context, now time.Time, limit int, decide store.Decide) ([]store.Job, error) {
	return s.moveWaiting(ctx, "hasten jobs", decide, limit, `
		WHERE `+column.IsReady+` AND run_at > ? AND first_started_at > 0 AND failures = 0 AND first_refused_at = 0
		ORDER BY run_at LIMIT ?`, column.MS(now), limit)
}

// moveWaiting moves the waiting jobs that a condition finds.
func (s *Store) moveWaiting(ctx context.Context, name string, decide store.Decide, limit int, where string, args ...any) ([]store.Job, error) {
	op := groupcommit.Op{Name: name, Bytes: limit * rowBytes}
	return groupcommit.Commit(ctx, s.write, op, func(t *tx) ([]store.Job, error) {
		found, err := selectJobs(t, `SELECT `+jobColumns+` FROM jobs `+where, args...)
		if err != nil {
			return nil, err
		}
		return s.decideAll(t, found, decide)
	})
}
