package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"
)

// readers is how many reads run at once.
const readers = 4

const (
	// readTimeout bounds a read transaction: a longer one would keep the log from being
	// truncated. It is far more than any read needs, since it includes waiting for a
	// processor: on a machine with ten times more work than it can do, milliseconds become
	// a second.
	readTimeout = 5 * time.Second
	// takeTimeout bounds the wait for a connection: there may be many concurrent reads.
	takeTimeout = 10 * time.Second
)

// reads are the connections that only read, each for one read at a time.
type reads struct {
	db      *sql.DB
	idle    chan *readConn
	workers sync.WaitGroup
}

// readConn has its own goroutine: SQLite's stack is deep, and the many callers that read
// often wait for something else for the rest of their life. Each of them would keep such a
// stack.
type readConn struct {
	conn       *sql.Conn
	work       chan func()
	statements map[string]*sql.Stmt // text → prepared
}

func openReads(ctx context.Context, file string) (*reads, error) {
	db, err := sql.Open("sqlite", dsn(file, "query_only(1)"))
	if err != nil {
		return nil, err
	}
	r := &reads{db: db, idle: make(chan *readConn, readers)}
	for range readers {
		c, err := r.open(ctx)
		if err != nil {
			return nil, errors.Join(err, db.Close())
		}
		r.idle <- c
	}
	return r, nil
}

func (r *reads) open(ctx context.Context) (*readConn, error) {
	conn, err := r.db.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("open a connection for reads: %w", err)
	}
	// The first read opens the log. Later there may be no descriptor left for it.
	var pages int
	if err := conn.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&pages); err != nil {
		return nil, errors.Join(fmt.Errorf("open a connection for reads: %w", err), conn.Close())
	}
	c := &readConn{conn: conn, work: make(chan func()), statements: map[string]*sql.Stmt{}}
	r.workers.Go(func() {
		for do := range c.work {
			do()
		}
	})
	return c, nil
}

// close waits for the running reads.
func (r *reads) close() error {
	var errs []error
	for range readers {
		c := <-r.idle
		errs = append(errs, c.close())
		close(c.work)
	}
	r.workers.Wait()
	return errors.Join(append(errs, r.db.Close())...)
}

func (c *readConn) close() error {
	var errs []error
	for _, stmt := range c.statements {
		errs = append(errs, stmt.Close())
	}
	return errors.Join(append(errs, c.conn.Close())...)
}

// take takes a connection; an error means that the caller has left meanwhile.
func (r *reads) take(ctx context.Context) (*readConn, error) {
	select {
	case c := <-r.idle:
		return c, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// give returns a connection. One that did not get out of its transaction is replaced: the
// next read on it would fail, and all after that.
func (r *reads) give(c *readConn, ended error) error {
	if ended != nil {
		ctx := context.Background()
		_ = c.conn.Raw(func(any) error { return driver.ErrBadConn }) // database/sql closes it for good
		_ = c.close()
		fresh, err := r.open(ctx)
		if err != nil {
			r.idle <- c // there is nothing better; it is replaced after the next read
			return errors.Join(ended, err)
		}
		close(c.work)
		c = fresh
	}
	r.idle <- c
	return ended
}

// read runs f in one read transaction. A caller that leaves interrupts its queries, but
// neither the beginning nor the end of the transaction.
func (s *Store) read(ctx context.Context, f func(q *reader) error) error {
	return s.readFor(ctx, readTimeout, f)
}

func (s *Store) readFor(ctx context.Context, most time.Duration, f func(q *reader) error) (err error) {
	c, err := s.take(ctx)
	if err != nil {
		return err
	}
	s.gate.RLock()
	defer s.gate.RUnlock()
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	done := make(chan struct{})
	c.work <- func() {
		defer close(done)
		defer func() {
			if v := recover(); v != nil { // the caller's, who answers for it
				err = fmt.Errorf("panic in a read: %v\n%s", v, debug.Stack())
			}
		}()
		err = fault(s.transact(ctx, c, f))
	}
	<-done
	return err
}

func (s *Store) take(ctx context.Context) (*readConn, error) {
	ctx, cancel := context.WithTimeout(ctx, takeTimeout)
	defer cancel()
	return s.reads.take(ctx)
}

// transact runs f in a transaction, and returns the connection.
func (s *Store) transact(ctx context.Context, c *readConn, f func(q *reader) error) (err error) {
	always := &reader{ctx: context.WithoutCancel(ctx), conn: c}
	if _, err := always.exec("BEGIN"); err != nil {
		return fmt.Errorf("begin read: %w", s.reads.give(c, err))
	}
	defer func() {
		_, ended := always.exec("COMMIT")
		err = errors.Join(err, s.reads.give(c, ended))
	}()
	return f(&reader{ctx: ctx, conn: c})
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
