package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// readers is how many reads run at once.
const readers = 4

// readTimeout bounds a read transaction: a longer one would keep the log from
// being truncated.
const readTimeout = 2 * time.Second

// reads are the connections that only read, each for one read at a time.
type reads struct {
	db   *sql.DB
	idle chan *readConn
}

type readConn struct {
	conn       *sql.Conn
	statements map[string]*sql.Stmt // text → prepared
}

func openReads(ctx context.Context, file string) (*reads, error) {
	db, err := sql.Open("sqlite", dsn(file, "query_only(1)"))
	if err != nil {
		return nil, err
	}
	r := &reads{db: db, idle: make(chan *readConn, readers)}
	for range readers {
		conn, err := db.Conn(ctx)
		if err != nil {
			return nil, errors.Join(err, db.Close())
		}
		r.idle <- &readConn{conn: conn, statements: map[string]*sql.Stmt{}}
	}
	return r, nil
}

// close waits for the reads under way.
func (r *reads) close() error {
	var errs []error
	for range readers {
		c := <-r.idle
		errs = append(errs, c.close())
	}
	return errors.Join(append(errs, r.db.Close())...)
}

func (c *readConn) close() error {
	var errs []error
	for _, stmt := range c.statements {
		errs = append(errs, stmt.Close())
	}
	return errors.Join(append(errs, c.conn.Close())...)
}

// read runs f in one read transaction.
func (s *Store) read(ctx context.Context, f func(q *reader) error) (err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	s.gate.RLock()
	defer s.gate.RUnlock()
	var c *readConn
	select {
	case c = <-s.reads.idle:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { s.reads.idle <- c }()
	q := &reader{ctx: ctx, conn: c}
	if _, err := q.exec("BEGIN"); err != nil {
		return fmt.Errorf("begin read: %w", err)
	}
	defer func() {
		q.ctx = context.WithoutCancel(ctx)
		_, end := q.exec("COMMIT")
		err = errors.Join(err, end)
	}()
	return f(q)
}

// reader is one read transaction.
type reader struct {
	ctx  context.Context //nolint:containedctx // it lives as long as the transaction
	conn *readConn
}

// row reads one row; sql.ErrNoRows if there is none.
func (r *reader) row(query string, args ...any) scanner {
	stmt, err := r.prepare(query)
	if err != nil {
		return failed{err}
	}
	return stmt.QueryRowContext(r.ctx, args...)
}

func (r *reader) rows(query string, args ...any) (*sql.Rows, error) {
	stmt, err := r.prepare(query)
	if err != nil {
		return nil, err
	}
	return stmt.QueryContext(r.ctx, args...)
}

func (r *reader) exec(query string) (sql.Result, error) {
	stmt, err := r.prepare(query)
	if err != nil {
		return nil, err
	}
	return stmt.ExecContext(r.ctx)
}

func (r *reader) prepare(query string) (*sql.Stmt, error) {
	if stmt, ok := r.conn.statements[query]; ok {
		return stmt, nil
	}
	stmt, err := r.conn.conn.PrepareContext(r.ctx, query)
	if err != nil {
		return nil, fmt.Errorf("prepare: %w", err)
	}
	r.conn.statements[query] = stmt
	return stmt, nil
}
