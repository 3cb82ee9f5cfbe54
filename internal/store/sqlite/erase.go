package sqlite

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/column"
	"github.com/ringback/ringback/internal/store/groupcommit"
)

// Erase implements store.Erasure.
func (s *Store) Erase(ctx context.Context, project string, id uuid.UUID, now time.Time) error {
	op := groupcommit.Op{Name: "erase job", ID: id, Bytes: 4 * rowBytes}
	return groupcommit.Exec(ctx, s.write, op, func(t *tx) error { return s.erase(t, project, id, now) })
}

func (s *Store) erase(t *tx, project string, id uuid.UUID, now time.Time) error {
	j, err := selectJob(t, id)
	if err == nil {
		err = store.RefuseErase(j, project)
	}
	if err != nil {
		return err
	}
	if !j.ContentGone {
		if err := s.eraseUnsent(t, id, now); err != nil {
			return err
		}
		if err := s.dropContentOf(t, id, now); err != nil {
			return err
		}
	}
	// The provider's name for the error may be about the content, too.
	_, err = t.exec(`UPDATE jobs SET error_detail = CASE WHEN json_valid(error_detail) THEN json_remove(error_detail, '$.type') ELSE '' END WHERE id = ?`, id[:])
	return err
}

// eraseUnsent ends the deliveries of a job that are waiting to be sent or in flight.
func (s *Store) eraseUnsent(t *tx, job uuid.UUID, now time.Time) error {
	from, to := deliveryRange(job)
	ids, err := selectIDs(t, `
		SELECT id FROM deliveries
		WHERE id BETWEEN ? AND ? AND job = ? AND (`+column.IsDue+` OR in_flight = 1)`, from, to, job[:])
	if err != nil {
		return err
	}
	for _, id := range ids {
		d, err := selectDelivery(t, id)
		if err != nil {
			return err
		}
		if !d.InFlight {
			s.deliveriesLeave(t, d.Key(), 1)
		}
		before := d.Status
		d = store.Erased(d, now)
		s.countDead(t, 0, store.Deaths(before, d.Status)) // dropping the content subtracts it again
		if err := s.updateDelivery(t, &d, time.Time{}); err != nil {
			return err
		}
	}
	return nil
}

// EraseDelivery implements store.Erasure.
func (s *Store) EraseDelivery(ctx context.Context, project string, id uuid.UUID) error {
	op := groupcommit.Op{Name: "erase delivery", ID: id, Bytes: rowBytes}
	return groupcommit.Exec(ctx, s.write, op, func(t *tx) error { return s.eraseDelivery(t, project, id) })
}

func (s *Store) eraseDelivery(t *tx, project string, id uuid.UUID) error {
	d, err := selectDelivery(t, id)
	if err == nil {
		err = store.RefuseEraseDelivery(d, project)
	}
	if err != nil || d.Gone {
		return err
	}
	if d.Manual {
		s.deliveriesLeave(t, d.Key(), 1)
		d.Manual = false
		if err := s.updateDelivery(t, &d, time.Time{}); err != nil {
			return err
		}
	}
	s.countDead(t, 0, -1)
	return execAll(t, []statement{
		{`DELETE FROM bodies WHERE owner = ?`, []any{id[:]}},
		{`UPDATE deliveries SET gone = 1 WHERE id = ?`, []any{id[:]}},
	})
}
