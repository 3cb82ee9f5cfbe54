package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/column"
	"github.com/ringback/ringback/internal/store/groupcommit"
)

// ClaimDeliveries implements store.Deliveries.
func (s *Store) ClaimDeliveries(ctx context.Context, c store.ClaimHosts) ([]store.Delivery, error) {
	op := groupcommit.Op{Name: "claim deliveries", Bytes: rowBytes}
	return groupcommit.Commit(ctx, s.write, op, func(t *tx) ([]store.Delivery, error) { return s.claimDeliveries(t, c) })
}

func (s *Store) claimDeliveries(t *tx, c store.ClaimHosts) ([]store.Delivery, error) {
	if err := s.nodes.mayClaim(c.Node); err != nil {
		return nil, err
	}
	claimed, err := s.claimRedeliveries(t, c)
	if err != nil {
		return nil, err
	}
	for _, want := range c.Hosts {
		ids, err := selectIDs(t, `
			SELECT id FROM deliveries
			WHERE `+column.IsDue+` AND project = ? AND host = ? AND due_at <= ?
			ORDER BY due_at, id LIMIT ?`,
			want.Host.Project, want.Host.Host, column.MS(c.Now), want.N)
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			d, err := selectDelivery(t, id)
			if err == nil {
				d, err = s.claimDelivery(t, d, c.Node)
			}
			if err != nil {
				return nil, err
			}
			claimed = append(claimed, d)
		}
		s.deliveriesLeave(t, want.Host, len(ids))
		if err := s.hostDue(t, want.Host); err != nil {
			return nil, err
		}
	}
	return claimed, nil
}

func (s *Store) claimRedeliveries(t *tx, c store.ClaimHosts) (claimed []store.Delivery, err error) {
	for _, id := range c.Redeliveries {
		d, err := selectDelivery(t, id)
		if errors.Is(err, store.ErrNotFound) || err == nil && (!d.Manual || d.InFlight) {
			continue // it has moved on
		}
		if err == nil {
			d, err = s.claimDelivery(t, d, c.Node)
		}
		if err != nil {
			return nil, err
		}
		claimed = append(claimed, d)
		s.deliveriesLeave(t, d.Key(), 1)
		if err := s.hostDue(t, d.Key()); err != nil {
			return nil, err
		}
	}
	return claimed, nil
}

func (s *Store) claimDelivery(t *tx, d store.Delivery, node string) (store.Delivery, error) {
	if _, err := t.exec(`UPDATE deliveries SET in_flight = 1, node = ?, due_at = NULL, fence = fence + 1 WHERE id = ?`, node, d.ID[:]); err != nil {
		return d, err
	}
	d.InFlight, d.Node = true, node
	d.Fence++
	s.cacheInFlight(t, d)
	return d, nil
}

// SettleDelivery implements store.Deliveries.
func (s *Store) SettleDelivery(ctx context.Context, ref store.Ref, e store.TryEnd) (store.Delivery, error) {
	op := groupcommit.Op{Name: "settle delivery", ID: ref.ID, Bytes: 2 * rowBytes, First: true}
	return groupcommit.Commit(ctx, s.write, op, func(t *tx) (store.Delivery, error) { return s.settleDelivery(t, ref, e) })
}

func (s *Store) settleDelivery(t *tx, ref store.Ref, e store.TryEnd) (store.Delivery, error) {
	d, err := s.delivery(t, ref.ID)
	if errors.Is(err, store.ErrNotFound) {
		return d, store.ErrFenced
	}
	if err != nil {
		return d, err
	}
	if !d.InFlight || d.Fence != ref.Fence {
		done, err := tryStored(t, ref, e)
		if err == nil && !done {
			err = store.ErrFenced
		}
		return d, err
	}
	if !e.Try.At.IsZero() {
		d.Sent++
		e.Try.Number, e.Try.Trigger, e.Try.WebhookBody = d.Sent, d.Trigger(e.Try.Trigger), d.Form
		if err := insertTry(t, ref, e.Try); err != nil {
			return d, err
		}
		d.LastStatusCode = e.Try.StatusCode
	}
	before := d.Status
	d, due := store.Conclude(d, e)
	s.countDead(t, 0, store.Deaths(before, d.Status))
	if err := s.updateDelivery(t, &d, due); err != nil {
		return d, err
	}
	return d, keepContent(t, &d)
}

// tryStored reports whether this very try is on record already.
func tryStored(t *tx, ref store.Ref, e store.TryEnd) (bool, error) {
	var at int64
	var class string
	err := t.row(`SELECT at, error FROM tries WHERE delivery = ? AND fence = ?`, ref.ID[:], ref.Fence).Scan(&at, &class)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil && at == column.MS(e.Try.At.Time) && class == e.Try.Error, err
}

func insertTry(t *tx, claim store.Ref, y ringback.Try) error {
	_, err := t.exec(`
		INSERT INTO tries (delivery, fence, number, at, trigger, status_code, duration_ms, error, response, form)
		VALUES (?,?,?,?,?,?,?,?,?,?)`,
		claim.ID[:], claim.Fence, y.Number, column.MS(y.At.Time), y.Trigger, y.StatusCode, y.DurationMS, y.Error, y.Response, string(y.WebhookBody))
	if err != nil {
		return fmt.Errorf("write a try: %w", err)
	}
	return nil
}

// updateDelivery writes a delivery that is in flight no more. A pending one is
// due again at the time given.
func (s *Store) updateDelivery(t *tx, d *store.Delivery, due time.Time) error {
	s.forgetDelivery(t, d.ID)
	var dueAt any
	if d.Status == ringback.DeliveryPending || d.Manual {
		dueAt = column.MS(due)
		s.deliveryWaits(t, d.Key(), due)
	}
	_, err := t.exec(`
		UPDATE deliveries SET status = ?, fence = ?, in_flight = ?, node = ?, manual = ?, due_at = ?, next_at = ?, ended_at = ?,
			tries = ?, sent = ?, blocked = ?, last_status = ?, reason = ?, form = ?
		WHERE id = ?`,
		column.DeliveryStatuses[d.Status], d.Fence, d.InFlight, d.Node, d.Manual, dueAt, column.MS(d.NextAt), column.MS(d.EndedAt),
		d.Tries, d.Sent, d.Blocked, d.LastStatusCode, string(d.Reason), string(d.Form), d.ID[:])
	if err != nil {
		return fmt.Errorf("update delivery: %w", err)
	}
	return nil
}

// keepContent moves the end of the job's content behind the end of a delivery.
func keepContent(t *tx, d *store.Delivery) error {
	until := d.KeepsContentUntil()
	if until.IsZero() {
		return nil
	}
	_, err := t.exec(`UPDATE jobs SET content_until = ? WHERE id = ? AND content_gone = 0 AND content_until < ?`, column.MS(until), d.JobID[:], column.MS(until))
	return err
}

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
		return err // nil: it is there already
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

// ExpireDeliveries implements store.Maintenance.
func (s *Store) ExpireDeliveries(ctx context.Context, before, now time.Time, limit int) ([]store.Delivery, error) {
	op := groupcommit.Op{Name: "expire deliveries", Bytes: limit * rowBytes}
	return groupcommit.Commit(ctx, s.write, op, func(t *tx) ([]store.Delivery, error) {
		ids, err := selectIDs(t, `
			SELECT id FROM deliveries WHERE `+column.IsWaiting+` AND made_at < ? AND manual = 0
			ORDER BY made_at LIMIT ?`, column.MS(before), limit)
		if err != nil {
			return nil, err
		}
		asked, err := selectIDs(t, `
			SELECT id FROM deliveries WHERE manual = 1 AND `+column.IsDue+` AND due_at < ?
			ORDER BY due_at LIMIT ?`, column.MS(before), limit-len(ids))
		if err != nil {
			return nil, err
		}
		return s.expireAll(t, append(ids, asked...), now)
	})
}

func (s *Store) expireAll(t *tx, ids []uuid.UUID, now time.Time) ([]store.Delivery, error) {
	expired := make([]store.Delivery, 0, len(ids))
	for _, id := range ids {
		d, err := selectDelivery(t, id)
		if err != nil {
			return nil, err
		}
		s.deliveriesLeave(t, d.Key(), 1)
		before := d.Status
		d = store.Expired(d, now)
		s.countDead(t, 0, store.Deaths(before, d.Status))
		if err := s.updateDelivery(t, &d, time.Time{}); err != nil {
			return nil, err
		}
		if err := keepContent(t, &d); err != nil {
			return nil, err
		}
		expired = append(expired, d)
	}
	return expired, nil
}

// ReleaseDeliveries implements store.Deliveries.
func (s *Store) ReleaseDeliveries(ctx context.Context, node string, refs []store.Ref, now time.Time) (int, error) {
	op := groupcommit.Op{Name: "release deliveries", Bytes: len(refs) * rowBytes, First: true}
	return groupcommit.Commit(ctx, s.write, op, func(t *tx) (int, error) {
		lost, err := s.inFlight(t, node, refs)
		return len(lost), errors.Join(err, s.releaseAll(t, lost, now))
	})
}

// inFlight gives those of refs that the node has in flight.
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

func selectDelivery(t *tx, id uuid.UUID) (store.Delivery, error) {
	return scanDelivery(t.row(`SELECT `+deliveryColumns+` FROM deliveries WHERE id = ?`, id[:]))
}
