package sqlite

import (
	"context"
	"errors"
	"time"

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

// running returns the jobs of those refs that the node holds.
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

// ReleaseDeliveries implements store.Deliveries.
func (s *Store) ReleaseDeliveries(ctx context.Context, node string, refs []store.Ref, now time.Time) (int, error) {
	op := groupcommit.Op{Name: "release deliveries", Bytes: len(refs) * rowBytes, First: true}
	return groupcommit.Commit(ctx, s.write, op, func(t *tx) (int, error) {
		lost, err := s.inFlight(t, node, refs)
		return len(lost), errors.Join(err, s.releaseAll(t, lost, now))
	})
}

// inFlight returns those of refs that the node has in flight.
func (s *Store) inFlight(t *tx, node string, refs []store.Ref) ([]store.Delivery, error) {
	var lost []store.Delivery
	for _, ref := range refs {
		d, err := s.delivery(t, ref.ID)
		switch {
		case errors.Is(err, store.ErrNotFound):
		case err != nil:
			return nil, err
		case d.InFlight && d.Node == node && d.Ref() == ref:
			lost = append(lost, d)
		}
	}
	return lost, nil
}

// releaseAll makes deliveries that are in flight due again.
func (s *Store) releaseAll(t *tx, lost []store.Delivery, now time.Time) error {
	for _, d := range lost {
		if err := s.releaseDelivery(t, d, now); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) releaseDelivery(t *tx, d store.Delivery, now time.Time) error {
	after, lost := store.LostTry(d, now)
	if err := insertTry(t, d.Ref(), lost); err != nil {
		return err
	}
	return s.updateDelivery(t, &after, now)
}
