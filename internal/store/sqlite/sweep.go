package sqlite

import (
	"context"
	"time"

	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/column"
	"github.com/ringback/ringback/internal/store/groupcommit"
)

// Sweep implements store.Nodes.
func (s *Store) Sweep(ctx context.Context, by string, now time.Time, limit int, decide store.Decide) (store.Swept, error) {
	op := groupcommit.Op{Name: "sweep", Bytes: 2 * limit * rowBytes, First: true}
	return groupcommit.Commit(ctx, s.write, op, func(t *tx) (store.Swept, error) { return s.sweep(t, by, now, limit, decide) })
}

func (s *Store) sweep(t *tx, by string, now time.Time, limit int, decide store.Decide) (swept store.Swept, err error) {
	if err := s.nodes.mayClaim(by); err != nil {
		return swept, err
	}
	living, dead := s.nodes.sorted()
	t.after(func() { s.nodes.remove(dead...) })
	ids := make([]string, len(living))
	for i, n := range living {
		ids[i] = n.ID
	}
	jobs, deliveries, err := s.orphans(t, column.JSON(ids), limit)
	if err != nil {
		return swept, err
	}
	freed, err := s.decideAll(t, jobs, decide)
	if err != nil {
		return swept, err
	}
	return store.Swept{Nodes: dead, Jobs: freed, Deliveries: len(deliveries)}, s.releaseAll(t, deliveries, now)
}

// orphans returns what is claimed in the name of nodes that are not among the living, a
// JSON array: at most limit of each kind.
func (s *Store) orphans(t *tx, living string, limit int) ([]store.Job, []store.Delivery, error) {
	jobs, err := selectJobs(t, `
		SELECT `+jobColumns+` FROM jobs
		WHERE `+column.IsRunning+` AND node NOT IN (SELECT value FROM json_each(?)) ORDER BY id LIMIT ?`, living, limit)
	if err != nil {
		return nil, nil, err
	}
	ids, err := selectIDs(t, `
		SELECT id FROM deliveries
		WHERE in_flight = 1 AND node NOT IN (SELECT value FROM json_each(?)) ORDER BY id LIMIT ?`, living, limit)
	if err != nil {
		return nil, nil, err
	}
	deliveries := make([]store.Delivery, len(ids))
	for i, id := range ids {
		if deliveries[i], err = s.delivery(t, id); err != nil {
			return nil, nil, err
		}
	}
	return jobs, deliveries, nil
}
