package postgres

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"
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
			found, err := t.lockJobs(`t.id = ANY ($1) AND t.status = 1 AND t.node = $2`, "", idsOf(refs), node)
			if err != nil {
				return err
			}
			var holds []store.Job
			for _, j := range found {
				if j.Status == ringback.Running && slices.Contains(refs, j.Ref()) {
					holds = append(holds, j)
				}
			}
			jobs, err = t.applyAll(holds, decide)
			return err
		},
	})
	if err != nil {
		return nil, fmt.Errorf("release jobs: %w", err)
	}
	return jobs, nil
}

func idsOf(refs []store.Ref) [][16]byte {
	ids := make([][16]byte, len(refs))
	for i, r := range refs {
		ids[i] = r.ID
	}
	return ids
}

// rawIDs are ids as arguments of a statement.
func rawIDs(ids []uuid.UUID) [][16]byte {
	raw := make([][16]byte, len(ids))
	for i, id := range ids {
		raw[i] = id
	}
	return raw
}
