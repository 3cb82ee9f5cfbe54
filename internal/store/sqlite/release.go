package sqlite

import (
	"context"
	"errors"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/groupcommit"
)

// Release implements store.Jobs.
func (s *Store) Release(ctx context.Context, node string, refs []store.Ref, decide store.Decide) ([]store.Job, error) {
	op := groupcommit.Op{Name: "release jobs", Bytes: len(refs) * rowBytes, First: true}
	return groupcommit.Commit(ctx, s.write, op, func(t *tx) ([]store.Job, error) {
		running, err := s.running(t, node, refs)
		if err != nil {
			return nil, err
		}
		return s.decideAll(t, running, decide)
	})
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
