package sqlite

import (
	"context"
	"errors"
	"fmt"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/groupcommit"
)

// Release implements store.Jobs.
func (s *Store) Release(ctx context.Context, node string, refs []store.Ref, decide store.Decide) (jobs []store.Job, err error) {
	err = s.write(ctx, groupcommit.Write[*tx]{
		First: true,
		Bytes: len(refs) * rowBytes,
		Run: func(t *tx) error {
			running, err := s.running(t, node, refs)
			if err != nil {
				return err
			}
			jobs, err = s.decideAll(t, running, decide)
			return err
		},
	})
	if err != nil {
		return nil, fmt.Errorf("release jobs: %w", err)
	}
	return jobs, nil
}

// running gives the jobs of those refs that the node holds.
func (s *Store) running(t *tx, node string, refs []store.Ref) ([]store.Job, error) {
	var jobs []store.Job
	for _, ref := range refs {
		j, err := s.job(t, ref.ID)
		switch {
		case errors.Is(err, store.ErrNotFound):
		case err != nil:
			return nil, err
		case j.Status == ringback.Running && j.Node == node && j.Ref() == ref:
			jobs = append(jobs, j)
		}
	}
	return jobs, nil
}
