package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
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
	err := s.ask(bounded, questions)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return fault(err)
}

func (s *Store) ask(ctx context.Context, questions []question) (err error) {
	b := &pgx.Batch{}
	for _, sql := range beginRead {
		b.Queue(sql)
	}
	for _, q := range questions {
		b.Queue(q.sql, q.args...)
	}
	b.Queue("COMMIT")
	conn, err := s.reads.Acquire(ctx)
	if err != nil {
		s.dial.noteRead(err)
		return err
	}
	defer conn.Release()
	results := conn.SendBatch(ctx, b)
	defer func() { err = errors.Join(err, results.Close()) }()
	for range beginRead {
		if _, err := results.Exec(); err != nil {
			return err
		}
	}
	for _, q := range questions {
		if err := eachRow(results, q.scan); err != nil {
			return err
		}
	}
	_, err = results.Exec()
	return err
}

// beginRead begins a read of one state of the database, by indexes: see begins in
// the first migration. A plan that has no index to go by then looks so expensive
// that PostgreSQL would compile it, which takes much longer than to run it.
var beginRead = []string{"BEGIN READ ONLY, ISOLATION LEVEL REPEATABLE READ", "SET LOCAL enable_seqscan = off", "SET LOCAL jit = off"}
