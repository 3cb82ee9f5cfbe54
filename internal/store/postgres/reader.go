package postgres

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ringback/ringback/internal/store"
)

// readTimeout bounds a read, including the wait for a connection.
const readTimeout = 5 * time.Second

// question is one query of a read. scan is called for each row; without rows it is not called.
type question struct {
	sql  string
	args []any
	scan func(rows pgx.Rows) error
}

// read asks one or more questions about one state of the database, in one round trip.
func (s *Store) read(ctx context.Context, questions ...question) error {
	bounded, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	scanned, err := s.ask(bounded, questions)
	if !scanned && broken(err) && bounded.Err() == nil {
		// Connections from before a restart are all as dead as this one.
		s.reads.Reset()
		_, err = s.ask(bounded, questions)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return fault(err)
}

// readContent is read for questions that return the content of a job or delivery. If the
// server answers and only the link is slow, it asks them again with the time that the size
// needs.
func (s *Store) readContent(ctx context.Context, owner uuid.UUID, questions ...question) error {
	err := s.read(ctx, questions...)
	if !errors.Is(err, store.ErrUnavailable) || ctx.Err() != nil {
		return err
	}
	var size int
	asked := s.read(ctx, question{`SELECT coalesce(sum(octet_length(bytes)), 0)::bigint FROM ringback.bodies WHERE owner = $1`, []any{owner},
		func(rows pgx.Rows) error { return rows.Scan(&size) }})
	if asked != nil || size < large {
		return err
	}
	return s.readPatiently(ctx, size, questions)
}

// readPatiently reads over a separate connection.
func (s *Store) readPatiently(ctx context.Context, size int, questions []question) error {
	select {
	case s.patient <- struct{}{}:
		defer func() { <-s.patient }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	bounded, cancel := context.WithTimeout(ctx, tripTimeout+time.Duration(size)*time.Second/slowestLink)
	defer cancel()
	conn, err := s.dial.patient(bounded)
	if err != nil {
		return fault(err)
	}
	defer closeConn(conn)
	if _, err = askOn(bounded, conn, nil, questions); ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return fault(err)
}

// broken reports whether an error is that of a connection that had existed before.
func broken(err error) bool {
	return err != nil && (isNet(err) || strings.HasPrefix(code(err), "57P")) && !errors.As(err, new(*pgconn.ConnectError)) && !errors.Is(err, errResting)
}

// ask makes the round trip; scanned reports whether a scan function was called.
func (s *Store) ask(ctx context.Context, questions []question) (scanned bool, err error) {
	conn, err := s.reads.Acquire(ctx)
	if err != nil {
		s.dial.noteRead(err)
		return false, err
	}
	defer conn.Release()
	return askOn(ctx, conn.Conn(), s.dial.settings(), questions)
}

func askOn(ctx context.Context, conn *pgx.Conn, settings []string, questions []question) (scanned bool, err error) {
	begin := append([]string{"BEGIN READ ONLY, ISOLATION LEVEL REPEATABLE READ"}, settings...)
	b := &pgx.Batch{}
	for _, sql := range begin {
		b.Queue(sql)
	}
	for _, q := range questions {
		b.Queue(q.sql, q.args...)
	}
	b.Queue("COMMIT")
	results := conn.SendBatch(ctx, b)
	defer func() { err = errors.Join(err, results.Close()) }()
	for range begin {
		if _, err := results.Exec(); err != nil {
			return false, err
		}
	}
	for _, q := range questions {
		err := eachRow(results, func(rows pgx.Rows) error {
			scanned = true
			return q.scan(rows)
		})
		if err != nil {
			return scanned, err
		}
	}
	_, err = results.Exec()
	return scanned, err
}
