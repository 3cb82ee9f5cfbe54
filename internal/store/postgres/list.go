package postgres

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/column"
)

// window is how many rows one query of a list reads.
const window = 2000

// List implements store.JobReader. It reads in windows, since a filter that few rows pass
// would read the whole table.
func (s *Store) List(ctx context.Context, q store.Query) ([]store.Job, *uuid.UUID, error) {
	jobs, next, err := store.InWindows(q, func(before uuid.UUID, limit int) ([]store.Job, *uuid.UUID, error) {
		return s.listWindow(ctx, q, before, limit)
	})
	if err != nil {
		return nil, nil, fmt.Errorf("list jobs: %w", err)
	}
	return jobs, next, nil
}

// listWindow reads the rows before an id. last is the last row of the window; nil if there
// are no more after it.
func (s *Store) listWindow(ctx context.Context, q store.Query, before uuid.UUID, limit int) (found []store.Job, last *uuid.UUID, err error) {
	if q.CreatedAfter.After(store.IDTime(before)) {
		return nil, nil, nil // all that follow are older
	}
	look := s.jobsWindow
	if q.Webhook == ringback.DeliveryPending || q.Webhook == ringback.DeliveryDead {
		look = s.undeliveredWindow
	}
	c, last, err := look(ctx, q, before)
	if err != nil {
		return nil, nil, err
	}
	wants(&c, q)
	tail := ` ORDER BY t.id DESC`
	if len(q.Metadata) == 0 {
		tail += fmt.Sprintf(" LIMIT %d", limit)
	}
	err = s.read(ctx, question{`SELECT ` + jobColumns + ` FROM ringback.jobs t WHERE ` + c.text + tail, c.args, func(rows pgx.Rows) error {
		j, err := scanJob(rows)
		if err == nil && len(found) < limit && store.HasMetadata(j.Metadata, q.Metadata) {
			found = append(found, j)
		}
		return err
	}})
	return found, last, err
}

// webhookOf is the state of a job's last delivery whose bytes are kept; -1 if there is
// none.
const webhookOf = `coalesce((
	SELECT d.status FROM ringback.deliveries d
	WHERE d.id >= (left(t.id::text, 18) || '-0000-000000000000')::uuid AND d.id < (left(t.id::text, 18) || '-ffff-ffffffffffff')::uuid
		AND d.job = t.id AND NOT d.gone
	ORDER BY d.made_at DESC, d.id DESC LIMIT 1), -1)`

// wants adds a query's conditions on a job, except for its metadata.
func wants(c *condition, q store.Query) {
	c.and(`t.project = ?`, q.Project)
	if q.Status != "" {
		c.and(`t.status = ?`, column.Statuses[q.Status])
	}
	if q.Model != "" {
		c.and(`? IN (t.requested_model, t.answer_model)`, q.Model)
	}
	if !q.CreatedAfter.IsZero() {
		c.and(`t.created_at > ?`, column.MS(q.CreatedAfter))
	}
	if !q.CreatedBefore.IsZero() {
		c.and(`t.created_at < ?`, column.MS(q.CreatedBefore))
	}
	switch q.Webhook {
	case "":
	case ringback.NoDelivery:
		c.and(webhookOf + ` = -1`)
	default:
		c.and(webhookOf+` = ?`, column.DeliveryStatuses[q.Webhook])
	}
}

// jobsWindow selects the jobs of a window.
func (s *Store) jobsWindow(ctx context.Context, _ store.Query, before uuid.UUID) (c condition, last *uuid.UUID, err error) {
	bottom, more, err := s.bottomOf(ctx, "jobs t WHERE", before)
	if more {
		last = &bottom
	}
	c.and(`t.id < ? AND t.id >= ?`, before, bottom)
	return c, last, err
}

// undeliveredWindow selects the jobs of a window of deliveries that have not arrived,
// which are few among many jobs.
func (s *Store) undeliveredWindow(ctx context.Context, q store.Query, before uuid.UUID) (c condition, last *uuid.UUID, err error) {
	top := store.PastOf(before)
	if before == store.FirstOf(before) { // where the previous window ended
		top = before
	}
	bottom, more, err := s.bottomOf(ctx, windowsOf(q.Webhook), top)
	if err != nil {
		return c, nil, err
	}
	if more {
		bottom = store.FirstOf(bottom)
		last = &bottom
	}
	var jobs [][16]byte
	var asked []question
	for _, where := range sources(q.Webhook) {
		asked = append(asked, question{
			`SELECT t.job FROM ringback.deliveries t WHERE ` + where + ` AND t.id >= $1 AND t.id < $2`, []any{bottom, top},
			func(rows pgx.Rows) error {
				var id [16]byte
				err := rows.Scan(&id)
				jobs = append(jobs, id)
				return err
			},
		})
	}
	err = s.read(ctx, asked...)
	c.and(`t.id = ANY (?) AND t.id < ?`, jobs, before)
	return c, last, err
}

// bottomOf returns the last id of the next window of a table; more reports whether there
// may be others after it.
func (s *Store) bottomOf(ctx context.Context, from string, before uuid.UUID) (bottom uuid.UUID, more bool, err error) {
	err = s.read(ctx, question{
		`SELECT t.id FROM ringback.` + from + ` t.id < $1 ORDER BY t.id DESC LIMIT 1 OFFSET $2`, []any{before, window - 1},
		func(rows pgx.Rows) error {
			var id [16]byte
			err := rows.Scan(&id)
			bottom, more = id, true
			return err
		},
	})
	return bottom, more, err
}
