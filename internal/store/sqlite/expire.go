package sqlite

import (
	"context"
	"fmt"
	"time"

	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/cell"
	"github.com/ringback/ringback/internal/store/groupcommit"
)

// Expire implements store.Jobs.
func (s *Store) Expire(ctx context.Context, now time.Time, limit int, decide store.Decide) (jobs []store.Job, err error) {
	err = s.write(ctx, groupcommit.Write[*tx]{
		Bytes: limit * rowBytes,
		Run: func(t *tx) error {
			over, err := selectJobs(t, `
				SELECT `+jobColumns+` FROM jobs
				WHERE status = 0 AND end_by <= ? ORDER BY end_by LIMIT ?`, cell.MS(now), limit)
			if err != nil {
				return err
			}
			jobs, err = s.decideAll(t, over, decide)
			return err
		},
	})
	if err != nil {
		return nil, fmt.Errorf("expire jobs: %w", err)
	}
	return jobs, nil
}
