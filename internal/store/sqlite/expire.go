package sqlite

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/groupcommit"
)

// Expire implements store.Jobs.
func (s *Store) Expire(ctx context.Context, now time.Time, limit int, decide store.Decide) (jobs []store.Job, err error) {
	err = s.write(ctx, groupcommit.Write[*tx]{
		Bytes: limit * rowBytes,
		Run: func(t *tx) error {
			ids, err := selectIDs(t, `SELECT id FROM jobs WHERE status = 0 AND end_by <= ? ORDER BY end_by LIMIT ?`, ms(now), limit)
			if err != nil {
				return err
			}
			jobs, err = s.applyAll(t, ids, decide)
			return err
		},
	})
	if err != nil {
		return nil, fmt.Errorf("expire jobs: %w", err)
	}
	return jobs, nil
}

func (s *Store) applyAll(t *tx, ids []uuid.UUID, decide store.Decide) ([]store.Job, error) {
	jobs := make([]store.Job, 0, len(ids))
	for _, id := range ids {
		j, err := selectJob(t, id)
		if err != nil {
			return nil, err
		}
		if j, err = s.decide(t, j, decide); err != nil {
			return nil, err
		}
		jobs = append(jobs, j)
	}
	return jobs, nil
}
