package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/column"
)

// sources returns conditions for the rows of the table t that are deliveries of a state,
// each matching a partial index; they do not overlap. The first is read in windows; the
// second has few rows.
func sources(status ringback.DeliveryStatus) []string {
	switch status {
	case ringback.DeliveryPending:
		return []string{column.IsWaiting, `t.in_flight AND t.status = 0`}
	case ringback.DeliveryDead:
		return []string{isDeadDelivery}
	case ringback.DeliveryDelivered:
		return []string{`t.status = 1 AND NOT t.gone`}
	default:
		return []string{`NOT t.gone`}
	}
}

// windowsOf returns what the windows of a state are counted in, as bottomOf needs it. Where
// there is no index on the state, these are windows of all rows.
func windowsOf(status ringback.DeliveryStatus) string {
	if status == ringback.DeliveryPending || status == ringback.DeliveryDead {
		return `deliveries t WHERE ` + sources(status)[0] + ` AND`
	}
	return `deliveries t WHERE`
}

// Deliveries implements store.DeliveryReader.
func (s *Store) Deliveries(ctx context.Context, q store.DeliveryQuery) (found []store.Delivery, tries [][]ringback.Try, next *uuid.UUID, err error) {
	next, err = store.Windows(q.Before, q.Limit, func(before uuid.UUID, limit int) (n int, last *uuid.UUID, err error) {
		some, made, last, err := s.deliveriesWindow(ctx, q, before, limit)
		found, tries = append(found, some...), append(tries, made...)
		return len(some), last, err
	})
	if err != nil {
		return nil, nil, nil, fmt.Errorf("list deliveries: %w", err)
	}
	if len(found) == q.Limit {
		next = &found[len(found)-1].ID
	}
	return found, tries, next, nil
}

// deliveriesWindow reads the rows before an id. last is the last row of the window; nil if
// there are no more after it.
func (s *Store) deliveriesWindow(ctx context.Context, q store.DeliveryQuery, before uuid.UUID, limit int) (found []store.Delivery, tries [][]ringback.Try, last *uuid.UUID, err error) {
	bottom, more := store.FirstOf(q.Job), false
	if q.Job != uuid.Nil {
		before = store.Earlier(before, store.PastOf(q.Job))
	} else if bottom, more, err = s.bottomOf(ctx, windowsOf(q.Status), before); err != nil {
		return nil, nil, nil, err
	}
	if more {
		last = &bottom
	}
	var parts []string
	var args []any
	for _, where := range sources(q.Status) {
		c := condition{text: where, args: args}
		c.and(`t.id >= ? AND t.id < ? AND t.project = ?`, bottom, before, q.Project)
		filterDeliveries(&c, q)
		parts, args = append(parts, `SELECT `+deliveryColumns+` FROM ringback.deliveries t WHERE `+c.text), c.args
	}
	query := fmt.Sprintf(`%s ORDER BY id DESC LIMIT %d`, strings.Join(parts, ` UNION ALL `), limit)
	if found, err = s.selectDeliveries(ctx, query, args...); err != nil {
		return nil, nil, nil, err
	}
	tries, err = s.triesOf(ctx, found)
	return found, tries, last, err
}

func filterDeliveries(c *condition, q store.DeliveryQuery) {
	c.among("t.host", q.Hosts)
	if q.Job != uuid.Nil {
		c.and(`t.job = ?`, q.Job)
	}
	if q.LastCode != nil {
		c.and(`t.last_status BETWEEN ? AND ?`, q.LastCode.From, q.LastCode.To)
	}
	if !q.CreatedAfter.IsZero() {
		c.and(`t.made_at > ?`, column.MS(q.CreatedAfter))
	}
	if !q.CreatedBefore.IsZero() {
		c.and(`t.made_at < ?`, column.MS(q.CreatedBefore))
	}
}

// selectDeliveries collects the rows of a query over deliveryColumns.
func (s *Store) selectDeliveries(ctx context.Context, query string, args ...any) (found []store.Delivery, err error) {
	err = s.read(ctx, question{query, args, func(rows pgx.Rows) error {
		d, err := scanDelivery(rows)
		found = append(found, d.Delivery)
		return err
	}})
	return found, err
}

// triesOf reads the tries of each of some deliveries.
func (s *Store) triesOf(ctx context.Context, deliveries []store.Delivery) ([][]ringback.Try, error) {
	made := map[uuid.UUID][]ringback.Try{}
	ids := make([][16]byte, len(deliveries))
	for i := range deliveries {
		ids[i] = deliveries[i].ID
	}
	if err := s.read(ctx, askTries(made, `delivery = ANY ($1)`, ids)); err != nil {
		return nil, err
	}
	return triesFor(deliveries, made), nil
}

// Delivery implements store.DeliveryReader.
func (s *Store) Delivery(ctx context.Context, project string, id uuid.UUID) (store.Delivery, []ringback.Try, error) {
	found, err := s.selectDeliveries(ctx, `SELECT `+deliveryColumns+` FROM ringback.deliveries t WHERE t.id = $1 AND t.project = $2`, id, project)
	if err == nil && len(found) == 0 {
		err = store.ErrNotFound
	}
	var tries [][]ringback.Try
	if err == nil {
		tries, err = s.triesOf(ctx, found)
	}
	if err != nil {
		return store.Delivery{}, nil, fmt.Errorf("delivery %s: %w", id, err)
	}
	return found[0], tries[0], nil
}

// Webhooks implements store.DeliveryReader.
func (s *Store) Webhooks(ctx context.Context, jobs []uuid.UUID) (map[uuid.UUID]store.Delivery, error) {
	ids, from, to := make([][16]byte, len(jobs)), make([][16]byte, len(jobs)), make([][16]byte, len(jobs))
	for i, id := range jobs {
		ids[i] = id
		from[i], to[i] = deliveryRange(id)
	}
	found, err := s.selectDeliveries(ctx, `
		SELECT `+deliveryColumns+` FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) AS j(id, first, last) CROSS JOIN LATERAL (
			SELECT * FROM ringback.deliveries d WHERE d.id BETWEEN j.first AND j.last AND d.job = j.id AND NOT d.gone
			ORDER BY d.made_at DESC, d.id DESC LIMIT 1) t`, ids, from, to)
	if err != nil {
		return nil, fmt.Errorf("webhooks of jobs: %w", err)
	}
	last := make(map[uuid.UUID]store.Delivery, len(found))
	for _, d := range found {
		last[d.JobID] = d
	}
	return last, nil
}

// PendingDeliveries implements store.Backlog.
func (s *Store) PendingDeliveries(ctx context.Context) (p store.PendingDeliveries, err error) {
	var oldest int64
	err = s.read(ctx, question{`
		SELECT greatest(0, (SELECT coalesce(sum(n), 0) FROM ringback.counters WHERE kind = $1))::bigint
				+ (SELECT count(*) FROM ringback.deliveries WHERE in_flight),
			coalesce(least(
				(SELECT min(made_at) FROM ringback.deliveries WHERE ` + column.IsWaiting + `),
				(SELECT min(made_at) FROM ringback.deliveries WHERE in_flight AND status = 0)), 0)`,
		[]any{pendingDeliveries.kind},
		func(rows pgx.Rows) error { return rows.Scan(&p.Count, &oldest) },
	})
	if err != nil {
		return p, fmt.Errorf("pending deliveries: %w", err)
	}
	p.Oldest = column.Time(oldest)
	return p, nil
}
