package postgres

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/column"
	"github.com/ringback/ringback/internal/store/groupcommit"
)

// Release implements store.Jobs.
func (s *Store) Release(ctx context.Context, node string, refs []store.Ref, decide store.Decide) ([]store.Job, error) {
	op := groupcommit.Op{Name: "release jobs", Bytes: len(refs) * rowBytes, First: true}
	return groupcommit.Commit(ctx, s.write, op, func(t *tx) ([]store.Job, error) {
		found, err := t.lockJobs(`t.id = ANY ($1) AND `+column.IsRunning+` AND t.node = $2`, "", idsOf(refs), node)
		if err != nil {
			return nil, err
		}
		var holds []store.Job
		for _, j := range found {
			if j.Status == ringback.Running && slices.Contains(refs, j.Ref()) {
				holds = append(holds, j)
			}
		}
		return t.applyAll(holds, decide)
	})
}

func idsOf(refs []store.Ref) [][16]byte {
	ids := make([][16]byte, len(refs))
	for i, r := range refs {
		ids[i] = r.ID
	}
	return ids
}

// rawIDs returns ids as arguments of a statement.
func rawIDs(ids []uuid.UUID) [][16]byte {
	raw := make([][16]byte, len(ids))
	for i, id := range ids {
		raw[i] = id
	}
	return raw
}

// ReleaseDeliveries implements store.Deliveries.
func (s *Store) ReleaseDeliveries(ctx context.Context, node string, refs []store.Ref, now time.Time) (int, error) {
	op := groupcommit.Op{Name: "release deliveries", Bytes: len(refs) * rowBytes, First: true}
	return groupcommit.Commit(ctx, s.write, op, func(t *tx) (int, error) {
		found, err := t.lockDeliveries(`t.id = ANY ($1) AND t.in_flight AND t.node = $2`, "", idsOf(refs), node)
		if err != nil {
			return 0, err
		}
		n := 0
		for _, row := range found {
			if row.InFlight && slices.Contains(refs, row.Ref()) {
				t.releaseDelivery(row, now)
				n++
			}
		}
		return n, nil
	})
}

func (t *tx) releaseDelivery(row *deliveryRow, now time.Time) {
	d, y := store.LostTry(row.Delivery, now)
	t.insertTry(row.Ref(), y)
	t.updateDelivery(d, now)
}
