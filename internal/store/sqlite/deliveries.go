package sqlite

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/column"
)

// source is where deliveries of a state are found: a table, with the partial index to read,
// and the condition for its rows.
type source struct{ from, where string }

// sources returns those of a state, which do not overlap. The first is read in windows; the
// second has few rows.
func sources(status ringback.DeliveryStatus) []source {
	switch status {
	case ringback.DeliveryPending:
		return []source{
			{"deliveries INDEXED BY deliveries_waiting", column.IsWaiting},
			{"deliveries INDEXED BY deliveries_in_flight", `in_flight = 1 AND status = 0`},
		}
	case ringback.DeliveryDead:
		return []source{{"deliveries INDEXED BY deliveries_dead", isDeadDelivery}}
	case ringback.DeliveryDelivered:
		return []source{{"deliveries", `status = 1 AND gone = 0`}}
	default:
		return []source{{"deliveries", `gone = 0`}}
	}
}

// windowsOf returns what the windows of a state are counted in, as bottomOf needs it. Where
// there is no index on the state, these are windows of all rows.
func windowsOf(status ringback.DeliveryStatus) string {
	if first := sources(status)[0]; first.from != "deliveries" {
		return first.from + ` WHERE ` + first.where + ` AND`
	}
	return `deliveries WHERE`
}

// Deliveries implements store.DeliveryReader.
func (s *Store) Deliveries(ctx context.Context, q store.DeliveryQuery) (found []store.Delivery, tries [][]ringback.Try, next *uuid.UUID, err error) {
	next, err = store.Windows(q.Before, q.Limit, func(before uuid.UUID, limit int) (n int, last *uuid.UUID, err error) {
		err = s.read(ctx, func(r *reader) (err error) {
			var some []store.Delivery
			if some, last, err = deliveriesWindow(r, q, before, limit); err != nil {
				return err
			}
			for _, d := range some {
				made, err := triesOf(r, d.ID)
				if err != nil {
					return err
				}
				found, tries = append(found, d), append(tries, made)
			}
			n = len(some)
			return nil
		})
		return n, last, err
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
func deliveriesWindow(r *reader, q store.DeliveryQuery, before uuid.UUID, limit int) (found []store.Delivery, last *uuid.UUID, err error) {
	bottom, more := store.FirstOf(q.Job), false
	if q.Job != uuid.Nil {
		before = store.Earlier(before, store.PastOf(q.Job))
	} else if bottom, more, err = bottomOf(r, windowsOf(q.Status), before); err != nil {
		return nil, nil, err
	}
	if more {
		last = &bottom
	}
	var parts []string
	var args []any
	for _, src := range sources(q.Status) {
		c := condition{text: src.where}
		c.and(`id >= ? AND id < ? AND project = ?`, bottom[:], before[:], q.Project)
		filterDeliveries(&c, q)
		parts, args = append(parts, `SELECT `+deliveryColumns+` FROM `+src.from+` WHERE `+c.text), append(args, c.args...)
	}
	found, err = selectDeliveries(r, strings.Join(parts, ` UNION ALL `)+` ORDER BY id DESC LIMIT ?`, append(args, limit)...)
	return found, last, err
}

func filterDeliveries(c *condition, q store.DeliveryQuery) {
	c.among("host", q.Hosts)
	if q.Job != uuid.Nil {
		c.and(`job = ?`, q.Job[:])
	}
	if q.LastCode != nil {
		c.and(`last_status BETWEEN ? AND ?`, q.LastCode.From, q.LastCode.To)
	}
	if !q.CreatedAfter.IsZero() {
		c.and(`made_at > ?`, column.MS(q.CreatedAfter))
	}
	if !q.CreatedBefore.IsZero() {
		c.and(`made_at < ?`, column.MS(q.CreatedBefore))
	}
}

// Delivery implements store.DeliveryReader.
func (s *Store) Delivery(ctx context.Context, project string, id uuid.UUID) (d store.Delivery, tries []ringback.Try, err error) {
	err = s.read(ctx, func(r *reader) (err error) {
		d, err = scanDelivery(r.row(`SELECT `+deliveryColumns+` FROM deliveries WHERE id = ?`, id[:]))
		if err == nil && d.Project != project {
			err = store.ErrNotFound
		}
		if err == nil {
			tries, err = triesOf(r, id)
		}
		return err
	})
	if err != nil {
		return store.Delivery{}, nil, fmt.Errorf("delivery %s: %w", id, err)
	}
	return d, tries, nil
}

// Webhooks implements store.DeliveryReader.
func (s *Store) Webhooks(ctx context.Context, jobs []uuid.UUID) (map[uuid.UUID]store.Delivery, error) {
	last := make(map[uuid.UUID]store.Delivery, len(jobs))
	err := s.read(ctx, func(r *reader) error {
		for _, id := range jobs {
			all, err := deliveriesOf(r, id)
			if err != nil {
				return err
			}
			for _, d := range all {
				if !d.Gone {
					last[id] = d
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("webhooks of jobs: %w", err)
	}
	return last, nil
}

// PendingDeliveries implements store.Backlog.
func (s *Store) PendingDeliveries(ctx context.Context) (p store.PendingDeliveries, err error) {
	var oldest int64
	err = s.read(ctx, func(r *reader) error {
		return r.row(`
			SELECT (SELECT count(*) FROM deliveries INDEXED BY deliveries_in_flight WHERE in_flight = 1),
				coalesce(min(made_at), 0)
			FROM (
				SELECT min(made_at) AS made_at FROM deliveries INDEXED BY deliveries_made WHERE `+column.IsWaiting+`
				UNION ALL SELECT min(made_at) FROM deliveries INDEXED BY deliveries_in_flight WHERE in_flight = 1 AND status = 0)`).
			Scan(&p.Count, &oldest)
	})
	if err != nil {
		return p, fmt.Errorf("pending deliveries: %w", err)
	}
	s.waiting.mu.Lock()
	defer s.waiting.mu.Unlock()
	p.Count += s.waiting.pending
	p.Oldest = column.Time(oldest)
	return p, nil
}
