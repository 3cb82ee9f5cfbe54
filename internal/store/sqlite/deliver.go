package sqlite

import (
	"context"
	"database/sql"
	"errors"

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
	return d, s.keepContent(t, &d)
}

// tryStored reports whether this very try has already been recorded.
func tryStored(t *tx, ref store.Ref, e store.TryEnd) (bool, error) {
	var at int64
	var class ringback.TryError
	err := t.row(`SELECT at, error FROM tries WHERE delivery = ? AND fence = ?`, ref.ID[:], ref.Fence).Scan(&at, &class)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil && at == column.MS(e.Try.At.Time) && class == e.Try.Error, err
}

// keepContent moves the end of the job's content beyond the end of a delivery.
func (s *Store) keepContent(t *tx, d *store.Delivery) error {
	until := s.retention.DeliveryUntil(d)
	if until.IsZero() {
		return nil
	}
	_, err := t.exec(`UPDATE jobs SET content_until = ? WHERE id = ? AND content_gone = 0 AND content_until < ?`, column.MS(until), d.JobID[:], column.MS(until))
	return err
}
