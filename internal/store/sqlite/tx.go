package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
)

// tx is a transaction of the writer. It never has a caller's context: a cancelled member
// would interrupt its neighbours.
type tx struct {
	w       *writer
	writes  int
	number  int64 // of its commit
	effects []func()
}

// after runs f once the transaction is committed.
func (t *tx) after(f func()) { t.effects = append(t.effects, f) }

// exec writes. It returns how many rows changed.
func (t *tx) exec(query string, args ...any) (int64, error) {
	t.writes++
	res, err := t.run(query, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

func (t *tx) run(query string, args ...any) (sql.Result, error) {
	stmt, err := t.prepare(query)
	if err != nil {
		return nil, err
	}
	return stmt.ExecContext(context.Background(), args...)
}

func (t *tx) query(query string, args ...any) (*sql.Rows, error) {
	stmt, err := t.prepare(query)
	if err != nil {
		return nil, err
	}
	return stmt.QueryContext(context.Background(), args...)
}

// row reads one row; sql.ErrNoRows if there is none.
func (t *tx) row(query string, args ...any) scanner {
	stmt, err := t.prepare(query)
	if err != nil {
		return failed{err}
	}
	return stmt.QueryRowContext(context.Background(), args...)
}

func (t *tx) prepare(query string) (*sql.Stmt, error) {
	if stmt, ok := t.w.statements[query]; ok {
		return stmt, nil
	}
	stmt, err := t.w.conn.PrepareContext(context.Background(), query)
	if err != nil {
		return nil, fmt.Errorf("prepare: %w", err)
	}
	t.w.statements[query] = stmt
	return stmt, nil
}

// Writes counts statements that wrote or tried to.
func (t *tx) Writes() int { return t.writes }

// Commit makes the transaction durable.
func (t *tx) Commit() error {
	t.number = t.w.commits + 1
	if _, err := t.run("UPDATE store SET commits = ?", t.number); err != nil {
		return err
	}
	if _, err := t.run("COMMIT"); err != nil {
		return err
	}
	t.w.commits = t.number
	if err := t.w.files.inPlace(); err != nil {
		return err
	}
	if t.w.afterCommit != nil {
		return t.w.afterCommit()
	}
	return nil
}

// Rollback ends the transaction. After some errors, and after a commit that succeeded,
// SQLite has already ended it.
func (t *tx) Rollback() error {
	_, err := t.run("ROLLBACK")
	if err != nil && strings.Contains(err.Error(), "no transaction is active") {
		return nil
	}
	return err
}

// scanner is a row, or the error instead of one.
type scanner interface{ Scan(...any) error }

type failed struct{ err error }

func (f failed) Scan(...any) error { return f.err }
