package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/cell"
	"github.com/ringback/ringback/internal/store/groupcommit"
)

// Expire implements store.Jobs. Those that another process ends at this moment
// are left to it.
func (s *Store) Expire(ctx context.Context, now time.Time, limit int, decide store.Decide) (jobs []store.Job, err error) {
	err = s.write(ctx, groupcommit.Write[*tx]{
		Bytes: limit * rowBytes,
		Run: func(t *tx) error {
			due, err := t.lockJobs(`t.status = 0 AND t.end_by <= $1`, "ORDER BY t.end_by LIMIT $2 FOR UPDATE SKIP LOCKED", cell.MS(now), limit)
			if err != nil {
				return err
			}
			jobs, err = t.applyAll(due, decide)
			return err
		},
	})
	if err != nil {
		return nil, fmt.Errorf("expire jobs: %w", err)
	}
	return jobs, nil
}
