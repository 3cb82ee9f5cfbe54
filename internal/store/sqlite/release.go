package sqlite

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/groupcommit"
)

// Release implements store.Jobs.
func (s *Store) Release(ctx context.Context, keep []store.Ref, limit int, decide store.Decide) (jobs []store.Job, err error) {
	err = s.write(ctx, groupcommit.Write[*tx]{
		First: true,
		Bytes: limit * rowBytes,
		Run: func(t *tx) error {
			ids, err := unkept(t, `SELECT id, fence FROM jobs WHERE status = 1`, keep, limit)
			if err != nil {
				return err
			}
			jobs, err = s.applyAll(t, ids, decide)
			return err
		},
	})
	if err != nil {
		return nil, fmt.Errorf("release jobs: %w", err)
	}
	return jobs, nil
}

// unkept reads (id, fence) rows and gives the ids of at most limit that no claim in keep stands for.
func unkept(t *tx, query string, keep []store.Ref, limit int) ([]uuid.UUID, error) {
	kept := make(map[store.Ref]bool, len(keep))
	for _, ref := range keep {
		kept[ref] = true
	}
	rows, err := t.query(query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var ids []uuid.UUID
	for rows.Next() && len(ids) < limit {
		var id []byte
		var ref store.Ref
		if err := rows.Scan(&id, &ref.Fence); err != nil {
			return nil, err
		}
		if ref.ID = uuid.UUID(id); !kept[ref] {
			ids = append(ids, ref.ID)
		}
	}
	return ids, rows.Err()
}
