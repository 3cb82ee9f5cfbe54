package postgres

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/column"
	"github.com/ringback/ringback/internal/store/groupcommit"
)

// ClaimDeliveries implements store.Deliveries.
func (s *Store) ClaimDeliveries(ctx context.Context, c store.ClaimHosts) ([]store.Delivery, error) {
	op := groupcommit.Op{Name: "claim deliveries", Bytes: rowBytes}
	return groupcommit.Commit(ctx, s.write, op, func(t *tx) ([]store.Delivery, error) { return t.claimDeliveries(c) })
}

func (t *tx) claimDeliveries(c store.ClaimHosts) ([]store.Delivery, error) {
	if len(c.Hosts) == 0 && len(c.Redeliveries) == 0 {
		return nil, nil
	}
	t.claims(c.Node)
	left := make(map[store.Host]int, len(c.Hosts))
	var projects, hosts []string
	var n []int32
	for _, want := range c.Hosts {
		left[want.Host] += want.N
		projects, hosts = append(projects, want.Host.Project), append(hosts, want.Host.Host)
		n = append(n, int32(want.N))
	}
	//nolint:unqueryvet // its columns are named inside
	found, err := t.knowDeliveries(`
		SELECT t.* FROM unnest($1::text[], $2::text[], $3::integer[]) AS w(project, host, n)
		CROSS JOIN LATERAL (
			SELECT `+deliveryColumns+` FROM ringback.deliveries t
			WHERE `+column.IsDue+` AND t.project = w.project AND t.host = w.host AND t.due_at <= $4
			ORDER BY t.due_at, t.id LIMIT w.n FOR UPDATE SKIP LOCKED) t`, projects, hosts, n, column.MS(c.Now))
	if err != nil {
		return nil, err
	}
	asked := slices.DeleteFunc(slices.Clone(c.Redeliveries), func(id uuid.UUID) bool {
		return slices.ContainsFunc(found, func(f *deliveryRow) bool { return f.ID == id })
	})
	if len(asked) > 0 {
		rows, err := t.lockDeliveries(`t.id = ANY ($1) AND t.manual AND `+column.IsDue, "ORDER BY t.id FOR UPDATE SKIP LOCKED", rawIDs(asked))
		if err != nil {
			return nil, err
		}
		found = append(rows, found...)
	}
	if len(found) == 0 {
		err = t.leased(c.Node)
	}
	claimed := make([]store.Delivery, 0, len(found))
	for _, row := range found {
		d := row.Delivery
		d.InFlight, d.Node = true, c.Node
		d.Fence++
		t.deliveriesLeave(d.Key(), 1)
		t.updateDelivery(d, time.Time{})
		claimed = append(claimed, d)
		left[d.Key()]--
	}
	for host, n := range left {
		if n > 0 {
			t.after(func() { t.store.waiting.shortOfDeliveries(host) })
		}
	}
	return claimed, err
}

// SettleDelivery implements store.Deliveries.
func (s *Store) SettleDelivery(ctx context.Context, ref store.Ref, e store.TryEnd) (store.Delivery, error) {
	op := groupcommit.Op{Name: "settle delivery", ID: ref.ID, Bytes: 2 * rowBytes, First: true}
	return groupcommit.Commit(ctx, s.write, op, func(t *tx) (store.Delivery, error) { return t.settleDelivery(ref, e) })
}

func (t *tx) settleDelivery(ref store.Ref, e store.TryEnd) (store.Delivery, error) {
	row, err := t.flyingDelivery(ref.ID)
	d := row.Delivery
	if errors.Is(err, store.ErrNotFound) {
		return d, store.ErrFenced
	}
	if err != nil {
		return d, err
	}
	if !d.InFlight || d.Fence != ref.Fence {
		done, err := t.tryStored(ref, e)
		if err == nil && !done {
			err = store.ErrFenced
		}
		return d, err
	}
	if !e.Try.At.IsZero() {
		d.Sent++
		e.Try.Number, e.Try.Trigger, e.Try.WebhookBody = d.Sent, d.Trigger(e.Try.Trigger), d.Form
		t.insertTry(ref, e.Try)
		d.LastStatusCode = e.Try.StatusCode
	}
	after, due := store.Conclude(d, e)
	t.count(deadDeliveries, store.Deaths(d.Status, after.Status))
	t.updateDelivery(after, due)
	t.keepContent(&after)
	return after, nil
}

// tryStored reports whether this very try has already been recorded.
func (t *tx) tryStored(ref store.Ref, e store.TryEnd) (bool, error) {
	var at int64
	var class ringback.TryError
	err := t.row([]any{&at, &class}, `SELECT at, error FROM ringback.tries WHERE delivery = $1 AND fence = $2`, ref.ID, ref.Fence)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	return err == nil && at == column.MS(e.Try.At.Time) && class == e.Try.Error, err
}

// keepContent moves the end of the job's content beyond the end of a delivery.
func (t *tx) keepContent(d *store.Delivery) {
	until := t.store.retention.DeliveryUntil(d)
	if until.IsZero() {
		return
	}
	t.exec(`UPDATE ringback.jobs SET content_until = $2 WHERE id = $1 AND NOT content_gone AND content_until < $2`, d.JobID, column.MS(until))
	delete(t.jobs, d.JobID)
}
