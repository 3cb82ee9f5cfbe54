package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/column"
)

// window is how many rows one query of a list reads.
const window = 2000

// List implements store.JobReader. It reads in windows, each in its own transaction, since
// a filter that few rows pass would hold a read transaction open over the whole table.
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
	look := jobsWindow
	if q.Webhook == ringback.DeliveryPending || q.Webhook == ringback.DeliveryDead {
		look = undeliveredWindow
	}
	err = s.read(ctx, func(r *reader) error {
		var rows *sql.Rows
		var err error
		if rows, last, err = look(r, q, before); err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() && len(found) < limit {
			j, err := scanJob(rows)
			if err != nil {
				return err
			}
			if store.HasMetadata(j.Metadata, q.Metadata) {
				found = append(found, j)
			}
		}
		return rows.Err()
	})
	return found, last, err
}

// webhookOf is the state of a job's last delivery whose bytes are kept; -1 if there is
// none.
const webhookOf = `coalesce((
	SELECT d.status FROM deliveries d
	WHERE d.id >= substr(jobs.id, 1, 8) AND d.id < CAST(substr(jobs.id, 1, 8) || x'ffffffffffffffff' AS BLOB) AND d.job = jobs.id AND d.gone = 0
	ORDER BY d.made_at DESC, d.id DESC LIMIT 1), -1)`

// wanted are a query's conditions on a job, except for its metadata; ?1 is the id that it
// must precede.
const wanted = `
	id < ?1 AND project = ?3
	AND (?4 < 0 OR status = ?4)
	AND (?5 = '' OR requested_model = ?5 OR answer_model = ?5)
	AND created_at > ?6 AND (?7 = 0 OR created_at < ?7)
	AND (?8 < -1 OR ` + webhookOf + ` = ?8)`

// jobsWindow reads the jobs of a window.
func jobsWindow(r *reader, q store.Query, before uuid.UUID) (rows *sql.Rows, last *uuid.UUID, err error) {
	bottom, more, err := bottomOf(r, "jobs WHERE", before)
	if err != nil {
		return nil, nil, err
	}
	if more {
		last = &bottom
	}
	rows, err = r.rows(`SELECT `+jobColumns+` FROM jobs WHERE `+wanted+` AND id >= ?2 ORDER BY id DESC`, wantedArgs(q, before, bottom)...)
	return rows, last, err
}

// undeliveredWindow reads the jobs of a window of deliveries that have not arrived,
// which are few among many jobs.
func undeliveredWindow(r *reader, q store.Query, before uuid.UUID) (rows *sql.Rows, last *uuid.UUID, err error) {
	top := store.PastOf(before)
	if before == store.FirstOf(before) { // where the previous window ended
		top = before
	}
	bottom, more, err := bottomOf(r, windowsOf(q.Webhook), top)
	if err != nil {
		return nil, nil, err
	}
	if more {
		bottom = store.FirstOf(bottom)
		last = &bottom
	}
	var parts []string
	for _, src := range sources(q.Webhook) {
		parts = append(parts, `SELECT job FROM `+src.from+` WHERE `+src.where+` AND id >= ?2 AND id < ?9`)
	}
	rows, err = r.rows(`SELECT `+jobColumns+` FROM (`+strings.Join(parts, ` UNION `)+`) CROSS JOIN jobs ON jobs.id = job WHERE `+wanted+` ORDER BY id DESC`,
		append(wantedArgs(q, before, bottom), top[:])...)
	return rows, last, err
}

func wantedArgs(q store.Query, before, bottom uuid.UUID) []any {
	return []any{before[:], bottom[:], q.Project, statusFilter(q), q.Model, createdAfter(q), column.MS(q.CreatedBefore), webhookFilter(q)}
}

// webhookFilter returns a value of webhookOf; -2 for any.
func webhookFilter(q store.Query) int {
	switch q.Webhook {
	case "":
		return -2
	case ringback.NoDelivery:
		return -1
	default:
		return column.DeliveryStatuses[q.Webhook]
	}
}

func statusFilter(q store.Query) int {
	if q.Status == "" {
		return -1
	}
	return column.Statuses[q.Status]
}

func createdAfter(q store.Query) int64 {
	if q.CreatedAfter.IsZero() {
		return -1
	}
	return column.MS(q.CreatedAfter)
}
