package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// store is where Ringback keeps its jobs.
type store interface {
	// multiply copies the one job that is not running n times, with all that belongs to it,
	// within seconds: a million submissions would take minutes. No other process may have
	// the store open.
	multiply(ctx context.Context, u *up, n int) error
	// size is the bytes that it takes on disk.
	size(ctx context.Context, u *up) (int64, error)
}

// copied are the tables that multiply fills, and the columns that hold the job's id. The
// jobs come last: they determine which one is copied.
var copied = []struct{ table, id string }{
	{"bodies", "owner"}, {"attempts", "job"}, {"deliveries", "id"}, {"tries", "delivery"}, {"jobs", "id"},
}

// sqliteStore is the embedded one.
type sqliteStore struct{}

func (sqliteStore) file(u *up) string { return filepath.Join(u.dir, "data", "ringback.db") }

func (s sqliteStore) size(_ context.Context, u *up) (int64, error) {
	info, err := os.Stat(s.file(u))
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// multiply writes without a journal; Ringback creates one again.
func (s sqliteStore) multiply(ctx context.Context, u *up, n int) (err error) {
	db, err := sql.Open("sqlite", "file:"+s.file(u)+"?_pragma=journal_mode(OFF)&_pragma=synchronous(OFF)&_pragma=cache_size(-262144)")
	if err != nil {
		return err
	}
	defer func() {
		if e := db.Close(); err == nil {
			err = e
		}
	}()
	db.SetMaxOpenConns(1)
	for _, c := range copied {
		if err := multiplyTable(ctx, db, c.table, c.id, n); err != nil {
			return fmt.Errorf("multiply %s: %w", c.table, err)
		}
	}
	return nil
}

// multiplyTable copies the rows of the one job. Its ids and those of its deliveries begin
// with the same 8 bytes, a time and a random part (UUIDv7): each copy gets a time of its
// own there.
func multiplyTable(ctx context.Context, db *sql.DB, table, id string, n int) error {
	columns, err := columnsOf(ctx, db, table)
	if err != nil {
		return err
	}
	first := time.Now().Add(-time.Hour).UnixMilli()
	values := make([]string, len(columns))
	for i, c := range columns {
		values[i] = c
		if c == id || c == "job" {
			values[i] = fmt.Sprintf("CAST(unhex(printf('%%012x7000', %d + k)) || substr(%s, 9) AS BLOB)", first, c)
		}
	}
	_, err = db.ExecContext(ctx, fmt.Sprintf(`
		WITH RECURSIVE copies(k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM copies WHERE k < %d)
		INSERT INTO %s (%s) SELECT %s FROM copies CROSS JOIN (SELECT * FROM %s
			WHERE substr(%s, 1, 8) = (SELECT substr(id, 1, 8) FROM jobs WHERE status <> 1))`,
		n, table, strings.Join(columns, ", "), strings.Join(values, ", "), table, id))
	return err
}

func columnsOf(ctx context.Context, db *sql.DB, table string) ([]string, error) {
	rows, err := db.QueryContext(ctx, "SELECT * FROM "+table+" LIMIT 0")
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	return slices.Clone(columns), rows.Err()
}
