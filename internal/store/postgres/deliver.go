package postgres

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

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

// tryStored reports whether this very try is on record already.
func (t *tx) tryStored(ref store.Ref, e store.TryEnd) (bool, error) {
	var at int64
	var class string
	err := t.row([]any{&at, &class}, `SELECT at, error FROM ringback.tries WHERE delivery = $1 AND fence = $2`, ref.ID, ref.Fence)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	return err == nil && at == column.MS(e.Try.At.Time) && class == e.Try.Error, err
}

// keepContent moves the end of the job's content behind the end of a delivery.
func (t *tx) keepContent(d *store.Delivery) {
	until := d.KeepsContentUntil()
	if until.IsZero() {
		return
	}
	t.exec(`UPDATE ringback.jobs SET content_until = $2 WHERE id = $1 AND NOT content_gone AND content_until < $2`, d.JobID, column.MS(until))
	delete(t.jobs, d.JobID)
}

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
			return err // nil: it is there already
		}
		if err := t.wants(d.Body); err != nil {
			return err
		}
		t.addDelivery(&j, &d)
		return nil
	})
}

// ExpireDeliveries implements store.Maintenance.
func (s *Store) ExpireDeliveries(ctx context.Context, before, now time.Time, limit int) ([]store.Delivery, error) {
	op := groupcommit.Op{Name: "expire deliveries", Bytes: limit * rowBytes}
	return groupcommit.Commit(ctx, s.write, op, func(t *tx) ([]store.Delivery, error) {
		rows, err := t.lockDeliveries(column.IsWaiting+` AND t.made_at < $1 AND NOT t.manual`,
			"ORDER BY t.made_at LIMIT $2 FOR UPDATE SKIP LOCKED", column.MS(before), limit)
		if err != nil {
			return nil, err
		}
		asked, err := t.lockDeliveries(`t.manual AND `+column.IsDue+` AND t.due_at < $1`,
			"ORDER BY t.due_at LIMIT $2 FOR UPDATE SKIP LOCKED", column.MS(before), limit-len(rows))
		if err != nil {
			return nil, err
		}
		return t.expireDeliveries(append(rows, asked...), now), nil
	})
}

func (t *tx) expireDeliveries(rows []*deliveryRow, now time.Time) []store.Delivery {
	expired := make([]store.Delivery, 0, len(rows))
	for _, row := range rows {
		t.deliveriesLeave(row.Key(), 1)
		d := store.Expired(row.Delivery, now)
		t.count(deadDeliveries, store.Deaths(row.Status, d.Status))
		t.updateDelivery(d, time.Time{})
		t.keepContent(&d)
		expired = append(expired, d)
	}
	return expired
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
