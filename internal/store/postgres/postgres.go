// Package postgres stores jobs in a PostgreSQL database, for any number of processes at
// once.
//
// A process writes through one goroutine and one connection. As in package sqlite it takes
// every waiting call, runs them as one transaction, and replies to them after its commit.
// But a statement is a round trip to the server, so moves change rows in memory (tx.go),
// and their changes are sent as one statement for each table, with an array for each
// column, in one message with the commit. A transaction that reads nothing is one round
// trip.
//
// # Many processes
//
// Three mechanisms coordinate them, all of them PostgreSQL's own.
//
//   - Row locks. A claim takes rows FOR UPDATE SKIP LOCKED; a claim in the name of a node
//     holds that node's row FOR KEY SHARE, so that no claim is made under a lease that is
//     being taken away.
//   - Compare and set. A row is written only if its state and its fence are still those
//     that the writer saw. If not, the batch is run again with fresh rows.
//   - Notifications, at most about thirty a second from each process, that wake the others
//     (signal.go). They are hints: every process polls once a second anyway.
//
// Nothing is kept in the state of a session, so a pooler in transaction mode works; what it
// can't do (LISTEN) is done over a direct connection, or not at all.
//
// # Time
//
// Only leases are measured by the database's clock. Every other time comes from the caller,
// who learns that clock at each renewal.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/groupcommit"
)

var _ store.Store = (*Store)(nil)

// Config of a store.
type Config struct {
	// URL of the database, postgres://user:password@host:port/database, with all the
	// parameters that pgx knows; several hosts are tried in turn. Required. It may lead
	// through a pooler in transaction mode.
	URL string
	// DirectURL leads to the same database without a pooler, for notifications. "" means
	// URL if that is direct; otherwise there are no notifications.
	DirectURL string
	// Connections is how many are kept for reads; 0 means 8. There are three more: one that
	// writes, one that renews leases, one that listens.
	Connections int
	// Logger; nil discards.
	Logger *slog.Logger
	// Retention is how long things are kept; the zero value is its documented default.
	Retention store.Retention
	// Metrics registers the store's metrics; nil registers none.
	Metrics prometheus.Registerer
}

// Store is a [store.Store] in a PostgreSQL database.
type Store struct {
	log       *slog.Logger
	retention store.Retention
	dial      *dialer
	reads     *pgxpool.Pool
	writer    *writer
	commits   *groupcommit.Queue[*tx]
	held      *held
	waiting   *waiting
	leases    *leases
	signals   *signals
	// uploading and patient hold an element for each running upload, and for each running
	// read of large content over a slow link.
	uploading, patient chan struct{}

	stop  context.CancelFunc
	tasks sync.WaitGroup
	close func() error
}

// Open opens the store, creates its schema, ringback, if there is none, and migrates it. It
// returns store.ErrTooNew if a newer Ringback wrote it, store.ErrUnavailable if the server
// can't be reached now, and an error that says what to do if the server is set up so that a
// commit is not durable.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Connections == 0 {
		cfg.Connections = 8
	}
	dial, err := newDialer(ctx, cfg)
	if err != nil {
		return nil, err
	}
	s := &Store{log: cfg.Logger, retention: cfg.Retention.WithDefaults(), dial: dial, held: newHeld(), waiting: newWaiting(), uploading: make(chan struct{}, uploadsAtOnce), patient: make(chan struct{}, uploadsAtOnce)}
	background, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.close = sync.OnceValue(s.shut)
	if err := s.open(ctx, background, cfg); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", dial.place(), err), s.close())
	}
	return s, nil
}

func (s *Store) open(ctx, background context.Context, cfg Config) (err error) {
	if err := s.prepare(ctx); err != nil {
		return err
	}
	if s.reads, err = s.dial.pool(ctx, cfg.Connections); err != nil {
		return unavailable(err)
	}
	if s.writer, err = openWriter(ctx, s.dial); err != nil {
		return unavailable(err)
	}
	s.leases = newLeases(s.dial, s.writer.id)
	s.commits = groupcommit.New(groupcommit.Config[*tx]{
		Begin:   s.begin,
		Again:   s.writer.again,
		Blocked: isBlocked,
		Unknown: isLost,
		Landed:  s.writer.landed,
		Between: s.writer.calm,
		Metrics: cfg.Metrics,
	})
	s.signals = newSignals(s)
	s.tasks.Go(func() { s.signals.send(background) })
	s.tasks.Go(func() { s.signals.listen(background) })
	s.measure(cfg.Metrics)
	return nil
}

// Close waits for the moves in progress. It may be called twice.
func (s *Store) Close() error { return s.close() }

func (s *Store) shut() error {
	if s.commits != nil {
		s.commits.Close()
	}
	s.stop()
	s.tasks.Wait()
	var errs []error
	if s.writer != nil {
		errs = append(errs, s.writer.close())
	}
	if s.leases != nil {
		errs = append(errs, s.leases.close())
	}
	if s.reads != nil {
		s.reads.Close()
	}
	return errors.Join(errs...)
}

// write runs a move as a member of the next transaction. The move may run twice; it reports
// changes outside the tables through tx.after.
func (s *Store) write(ctx context.Context, w groupcommit.Write[*tx]) error {
	if !w.First && s.writer.hangs() {
		return unavailable(errHangs)
	}
	var after []func()
	run := w.Run
	w.Run = func(t *tx) error {
		t.effects = nil
		err := run(t)
		after = t.effects
		return err
	}
	w.Committed = func() {
		for _, f := range after {
			f()
		}
	}
	err := s.commits.Do(ctx, w)
	switch {
	case errors.Is(err, groupcommit.ErrClosed):
		return store.ErrClosed
	case errors.Is(err, groupcommit.ErrUnknown):
		return fmt.Errorf("%w: %w", store.ErrUnknown, err)
	default:
		return fault(err)
	}
}
