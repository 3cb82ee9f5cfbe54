package postgres

import (
	"cmp"
	"context"
	"errors"

	"github.com/google/uuid"

	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/groupcommit"
)

// Redeliver implements store.Deliveries.
func (s *Store) Redeliver(ctx context.Context, project string, id uuid.UUID, r store.Redelivery) error {
	op := groupcommit.Op{Name: "redeliver", ID: id, Bytes: rowBytes}
	return groupcommit.Exec(ctx, s.writeLarge, op, func(t *tx) error {
		row, err := t.delivery(id)
		if err == nil {
			err = store.RefuseRedeliver(row.Delivery, project)
		}
		if err != nil {
			return err
		}
		if err := t.wants(r.Body); err != nil {
			return err
		}
		if row.due >= 0 {
			t.deliveriesLeave(row.Key(), 1)
		}
		if len(r.Body.Bytes) > 0 {
			t.putBody(id, webhookPart, r.Body)
		}
		d := row.Delivery
		d.Manual, d.Form = true, cmp.Or(r.Form, d.Form)
		t.updateDelivery(d, r.Now)
		t.signals(store.SignalDeliveries)
		return nil
	})
}

// AddDelivery implements store.Deliveries.
func (s *Store) AddDelivery(ctx context.Context, project string, job uuid.UUID, d store.NewDelivery) error {
	op := groupcommit.Op{Name: "add a delivery to job", ID: job, Bytes: rowBytes + len(d.Body.Bytes)}
	return groupcommit.Exec(ctx, s.writeLarge, op, func(t *tx) error {
		j, err := t.job(job)
		if err == nil {
			err = store.RefuseAddDelivery(j, project)
		}
		if err != nil {
			return err
		}
		if _, err := t.delivery(d.ID); !errors.Is(err, store.ErrNotFound) {
			return err // nil: it already exists
		}
		if err := t.wants(d.Body); err != nil {
			return err
		}
		t.addDelivery(&j, &d)
		return nil
	})
}
