package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/column"
	"github.com/ringback/ringback/internal/store/groupcommit"
)

// Redeliver implements store.Deliveries.
func (s *Store) Redeliver(ctx context.Context, project string, id uuid.UUID, r store.Redelivery) error {
	op := groupcommit.Op{Name: "redeliver", ID: id, Bytes: rowBytes}
	return groupcommit.Exec(ctx, s.write, op, func(t *tx) error {
		d, err := selectDelivery(t, id)
		if err == nil {
			err = store.RefuseRedeliver(d, project)
		}
		if err != nil {
			return err
		}
		return s.redeliver(t, &d, r)
	})
}

func (s *Store) redeliver(t *tx, d *store.Delivery, r store.Redelivery) error {
	var due sql.NullInt64
	if err := t.row(`SELECT due_at FROM deliveries WHERE id = ?`, d.ID[:]).Scan(&due); err != nil {
		return err
	}
	if due.Valid {
		s.deliveriesLeave(t, d.Key(), 1)
	}
	if len(r.Body.Bytes) > 0 {
		if err := replaceBody(t, d.ID, webhookPart, r.Body); err != nil {
			return err
		}
	}
	d.Manual, d.Form = true, cmp.Or(r.Form, d.Form)
	return s.updateDelivery(t, d, r.Now)
}

// AddDelivery implements store.Deliveries.
func (s *Store) AddDelivery(ctx context.Context, project string, job uuid.UUID, d store.NewDelivery) error {
	op := groupcommit.Op{Name: "add a delivery to job", ID: job, Bytes: rowBytes + len(d.Body.Bytes)}
	return groupcommit.Exec(ctx, s.write, op, func(t *tx) error {
		j, err := selectJob(t, job)
		if err == nil {
			err = store.RefuseAddDelivery(j, project)
		}
		if err != nil {
			return err
		}
		return s.addDelivery(t, &j, &d)
	})
}

func (s *Store) addDelivery(t *tx, j *store.Job, d *store.NewDelivery) error {
	if _, err := selectDelivery(t, d.ID); !errors.Is(err, store.ErrNotFound) {
		return err // nil: it already exists
	}
	_, err := t.exec(`
		INSERT INTO deliveries (`+deliveryNames+`, due_at)
		VALUES (?,?,?,?,?,?, 0,0,0,1, ?,?,0,0,0,0,0, '',0,'',?, ?)`,
		d.ID[:], j.ID[:], j.Project, d.Host, d.URL, string(d.Event), column.MS(d.MadeAt), column.MS(d.NextAt), string(d.Form), column.MS(d.MadeAt))
	if err != nil {
		return fmt.Errorf("insert delivery: %w", err)
	}
	s.deliveryWaits(t, store.Host{Project: j.Project, Host: d.Host}, d.MadeAt)
	return putBody(t, d.ID, webhookPart, d.Body)
}
