package postgres

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// readTimeout bounds a read, with the wait for a connection.
const readTimeout = 5 * time.Second

// question is one query of a read. scan is called for each row; without rows it is not called.
type question struct {
	sql  string
	args []any
	scan func(rows pgx.Rows) error
}

// read asks one or more questions of one state of the database, in one round trip.
func (s *Store) read(ctx context.Context, questions ...question) error {
	bounded, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	heard, err := s.ask(bounded, questions)
	if !heard && broken(err) && bounded.Err() == nil {
		// The connections of before a restart are all as dead as this one.
		s.reads.Reset()
		_, err = s.ask(bounded, questions)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return fault(err)
}

// broken tells whether an error is that of a connection that was there before.
func broken(err error) bool {
	return err != nil && (isNet(err) || strings.HasPrefix(code(err), "57P")) && !errors.As(err, new(*pgconn.ConnectError)) && !errors.Is(err, errResting)
}

// ask makes the round trip; heard tells that a scan was called.
func (s *Store) ask(ctx context.Context, questions []question) (heard bool, err error) {
	begin := append([]string{"BEGIN READ ONLY, ISOLATION LEVEL REPEATABLE READ"}, s.dial.settings()...)
	b := &pgx.Batch{}
	for _, sql := range begin {
		b.Queue(sql)
	}
	for _, q := range questions {
		b.Queue(q.sql, q.args...)
	}
	b.Queue("COMMIT")
	conn, err := s.reads.Acquire(ctx)
	if err != nil {
		s.dial.noteRead(err)
		return false, err
	}
	defer conn.Release()
	results := conn.SendBatch(ctx, b)
	defer func() { err = errors.Join(err, results.Close()) }()
	for range begin {
		if _, err := results.Exec(); err != nil {
			return false, err
		}
	}
	for _, q := range questions {
		err := eachRow(results, func(rows pgx.Rows) error {
			heard = true
			return q.scan(rows)
		})
		if err != nil {
			return heard, err
		}
	}
	_, err = results.Exec()
	return heard, err
}
