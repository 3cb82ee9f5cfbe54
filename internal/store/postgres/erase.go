package postgres

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
	return groupcommit.Exec(ctx, s.write, op, func(t *tx) error { return t.erase(project, id, now) })
}

func (t *tx) erase(project string, id uuid.UUID, now time.Time) error {
	j, err := t.job(id)
	if err == nil {
		err = store.RefuseErase(j, project)
	}
	if err != nil {
		return err
	}
	if j.ErrorDetail != nil && j.ErrorDetail.Type != "" {
		// The provider's name for the error may be about the content, too.
		detail := *j.ErrorDetail
		detail.Type = ""
		j.ErrorDetail = &detail
		t.updateJob(j)
	}
	if j.ContentGone {
		return nil
	}
	if err := t.eraseUnsent(id, now); err != nil {
		return err
	}
	return t.dropContent([]uuid.UUID{id}, now)
}

// eraseUnsent ends the deliveries of a job that are waiting to be sent or in flight.
func (t *tx) eraseUnsent(job uuid.UUID, now time.Time) error {
	from, to := deliveryRange(job)
	rows, err := t.lockDeliveries(`t.id BETWEEN $1 AND $2 AND t.job = $3 AND (`+column.IsDue+` OR t.in_flight)`, "", from, to, job)
	if err != nil {
		return err
	}
	for _, row := range rows {
		if !row.InFlight {
			t.deliveriesLeave(row.Key(), 1)
		}
		d := store.Erased(row.Delivery, now)
		t.count(deadDeliveries, store.Deaths(row.Status, d.Status)) // dropping the content subtracts it again
		t.updateDelivery(d, time.Time{})
	}
	return nil
}

// EraseDelivery implements store.Erasure.
func (s *Store) EraseDelivery(ctx context.Context, project string, id uuid.UUID) error {
	op := groupcommit.Op{Name: "erase delivery", ID: id, Bytes: rowBytes}
	return groupcommit.Exec(ctx, s.write, op, func(t *tx) error { return t.eraseDelivery(project, id) })
}

func (t *tx) eraseDelivery(project string, id uuid.UUID) error {
	row, err := t.delivery(id)
	if err == nil {
		err = store.RefuseEraseDelivery(row.Delivery, project)
	}
	if err != nil || row.Gone {
		return err
	}
	d := row.Delivery
	if d.Manual {
		t.deliveriesLeave(d.Key(), 1)
		d.Manual = false
	}
	d.Gone = true
	t.count(deadDeliveries, -1)
	t.updateDelivery(d, time.Time{})
	t.exec(`DELETE FROM ringback.bodies WHERE owner = $1`, id)
	return nil
}
