package postgres

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/cell"
)

// window is how many rows one query of a list looks at.
const window = 2000

// List implements store.Reader. A filter that few rows pass would read the whole
// table: so it is read in windows.
func (s *Store) List(ctx context.Context, q store.Query) ([]store.Job, *uuid.UUID, error) {
	jobs, next, err := store.InWindows(q, func(before uuid.UUID, limit int) ([]store.Job, *uuid.UUID, error) {
		return s.listWindow(ctx, q, before, limit)
	})
	if err != nil {
		return nil, nil, fmt.Errorf("list jobs: %w", err)
	}
	return jobs, next, nil
}

// listWindow looks at the rows before an id. last is the last row of the
// window; nil if there are no more behind it.
func (s *Store) listWindow(ctx context.Context, q store.Query, before uuid.UUID, limit int) (found []store.Job, last *uuid.UUID, err error) {
	bottom, more, err := s.bottomOf(ctx, "jobs t WHERE", before)
	if err != nil {
		return nil, nil, err
	}
	if q.CreatedAfter.After(store.IDTime(before)) {
		return nil, nil, nil // all that follow are older
	}
	if more {
		last = &bottom
	}
	c := condition{}
	c.and(`t.id < ? AND t.id >= ? AND t.project = ?`, before, bottom, q.Project)
	if q.Status != "" {
		c.and(`t.status = ?`, cell.Statuses[q.Status])
	}
	if q.Model != "" {
		c.and(`? IN (t.requested_model, t.answer_model)`, q.Model)
	}
	if !q.CreatedAfter.IsZero() {
		c.and(`t.created_at > ?`, cell.MS(q.CreatedAfter))
	}
	if !q.CreatedBefore.IsZero() {
		c.and(`t.created_at < ?`, cell.MS(q.CreatedBefore))
	}
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

// bottomOf is the last id of the next window of a table; more tells whether there
// may be others behind it.
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
