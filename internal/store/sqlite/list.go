package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/cell"
)

// window is how many rows one query of a list looks at.
const window = 2000

// List implements store.Reader. A filter that few rows pass would hold a read
// transaction open over the whole table: so it is read in windows, each in a
// transaction of its own.
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
	err = s.read(ctx, func(tx *reader) error {
		bottom := uuid.Nil
		var id []byte
		switch err := tx.row(`SELECT id FROM jobs WHERE id < ? ORDER BY id DESC LIMIT 1 OFFSET ?`, before[:], window-1).Scan(&id); {
		case err == nil:
			bottom = uuid.UUID(id)
			last = &bottom
		case !errors.Is(err, sql.ErrNoRows):
			return err
		}
		if q.CreatedAfter.After(store.IDTime(before)) {
			last = nil // all that follow are older
			return nil
		}
		rows, err := tx.rows(`
			SELECT `+jobColumns+` FROM jobs
			WHERE id < ?1 AND id >= ?2 AND project = ?3
				AND (?4 < 0 OR status = ?4)
				AND (?5 = '' OR requested_model = ?5 OR answer_model = ?5)
				AND created_at > ?6 AND (?7 = 0 OR created_at < ?7)
			ORDER BY id DESC`,
			before[:], bottom[:], q.Project, statusFilter(q), q.Model, createdAfter(q), cell.MS(q.CreatedBefore))
		if err != nil {
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

func statusFilter(q store.Query) int {
	if q.Status == "" {
		return -1
	}
	return cell.Statuses[q.Status]
}

func createdAfter(q store.Query) int64 {
	if q.CreatedAfter.IsZero() {
		return -1
	}
	return cell.MS(q.CreatedAfter)
}
