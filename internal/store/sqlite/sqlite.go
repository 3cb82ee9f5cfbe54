// Package sqlite stores jobs in one SQLite file, for one process.
//
// All writes go through one goroutine. It takes every waiting call, runs them as one
// transaction, commits (synchronous=FULL), and only then replies to them: a nil error means
// that the write is on stable storage. Reads have connections of their own and see the last
// commit.
//
// Claims read the partial indexes inside the writer's transaction, so a claim sees
// everything that was committed before it: there is no second queue in memory that could
// miss a job. In memory there are only counters, by lane and by host, which the writer
// changes after each commit and which are rebuilt at the start; and the leases of nodes,
// which end with the process.
//
// The package knows SQL and the moves of a job. It does not know HTTP, providers or time
// zones; policy is decided above and arrives as a time or as a [store.Decide].
package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/gofrs/flock"
	"github.com/prometheus/client_golang/prometheus"
	_ "modernc.org/sqlite" // the driver "sqlite": pure Go

	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/groupcommit"
)

var _ store.Store = (*Store)(nil)

// Config of a store.
type Config struct {
	// Dir is the data directory; it is created if it is missing. Required.
	Dir string
	// Logger; nil discards.
	Logger *slog.Logger
	// Die is called when the disk can't be trusted anymore (an I/O error, a corrupt file, a
	// file that was moved or removed); the process must end then. Nil panics.
	Die func(error)
	// Retention is how long things are kept; the zero value is its documented default.
	Retention store.Retention
	// Metrics registers the store's metrics; nil registers none.
	Metrics prometheus.Registerer
}

// defaultMaxLog is the size in bytes of the write-ahead log at which the readers' gate is
// shut for a moment, so that the log can be truncated.
const defaultMaxLog = 64 << 20

// Store is a [store.Store] in one directory.
type Store struct {
	log        *slog.Logger
	retention  store.Retention
	lock       *flock.Flock
	file       string
	reads      *reads
	writer     *writer
	commits    *groupcommit.Queue[*tx]
	waiting    *waiting
	held       held
	nodes      *nodes
	reconciles chan chan error // a Reconcile requested from the writer
	maxLog     int64
	died       func(error) // the disk can't be trusted anymore
	tasks      sync.WaitGroup
	stop       chan struct{} // closed when the tasks must end

	// gate is held for reading by each read transaction, for writing while the log is being
	// truncated.
	gate sync.RWMutex
	// close runs once.
	close func() error
}

// Open opens the store in a directory, creates it if there is none, and migrates it. It
// returns store.ErrLocked if another process has it open, store.ErrTooNew if a newer
// Ringback wrote it.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Die == nil {
		cfg.Die = func(err error) { panic(err) }
	}
	if err := makeDir(cfg.Dir); err != nil {
		return nil, err
	}
	lock, err := lockDir(cfg.Dir)
	if err != nil {
		return nil, err
	}
	s := &Store{log: cfg.Logger, retention: cfg.Retention.WithDefaults(), lock: lock, file: filepath.Join(cfg.Dir, "ringback.db"), waiting: newWaiting(), held: newHeld(), nodes: newNodes(), reconciles: make(chan chan error, 1), maxLog: defaultMaxLog, stop: make(chan struct{})}
	s.close = sync.OnceValue(s.shut)
	if err := s.open(ctx, cfg); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", s.file, err), s.close())
	}
	return s, nil
}

func (s *Store) open(ctx context.Context, cfg Config) error {
	isNew, err := makeFile(s.file)
	if err != nil {
		return err
	}
	if s.writer, err = openWriter(ctx, s.file); err != nil {
		return err
	}
	if err := migrate(ctx, s.writer.conn); err != nil {
		return err
	}
	if err := unstageAll(ctx, s.writer.conn); err != nil {
		return err
	}
	if err := s.writer.readCommits(ctx); err != nil {
		return err
	}
	if isNew {
		// A file is durable only once its name is.
		if err := syncDir(cfg.Dir); err != nil {
			return err
		}
	}
	if err := s.countWaiting(ctx); err != nil {
		return err
	}
	if s.reads, err = openReads(ctx, s.file); err != nil {
		return err
	}
	if s.writer.files, err = rememberFiles(s.file, s.file+"-wal", s.lock.Path()); err != nil {
		return err
	}
	s.died = func(err error) {
		s.log.Error("the store can't be written any more", "file", s.file, "err", err)
		cfg.Die(err)
	}
	s.commits = groupcommit.New(groupcommit.Config[*tx]{
		Begin:   s.writer.begin,
		Unknown: func(err error) bool { return errors.Is(err, errLost) },
		Landed:  s.writer.landed,
		Fatal:   isFatal,
		Die:     s.died,
		Between: s.between,
		Metrics: cfg.Metrics,
	})
	s.tasks.Go(func() { s.watchFiles(s.stop) })
	s.measure(cfg.Metrics)
	return nil
}

// Close waits for the moves in progress. It may be called twice.
func (s *Store) Close() error { return s.close() }

func (s *Store) shut() error {
	close(s.stop)
	s.tasks.Wait()
	var errs []error
	if s.commits != nil {
		s.commits.Close()
	}
	if s.reads != nil {
		errs = append(errs, s.reads.close())
	}
	if s.writer != nil {
		errs = append(errs, s.writer.close())
	}
	return errors.Join(append(errs, s.lock.Close())...)
}

// write runs a move as a member of the next transaction. The move may run twice; it reports
// changes of the counters through tx.after.
func (s *Store) write(ctx context.Context, w groupcommit.Write[*tx]) error {
	var after []func()
	run := w.Run
	w.Run = func(tx *tx) error {
		tx.effects = nil
		err := run(tx)
		after = tx.effects
		return err
	}
	w.Committed = func() {
		for _, f := range after {
			f()
		}
	}
	return fault(s.commits.Do(ctx, w))
}

// truncateLog keeps the write-ahead log small. Permanent readers would let it grow without
// bound: SQLite only restarts the log when nobody is reading it. So beyond its bound new
// readers wait outside for a moment.
func (s *Store) truncateLog() {
	info, err := os.Stat(s.file + "-wal")
	if err != nil || info.Size() < s.maxLog {
		return
	}
	s.gate.Lock()
	defer s.gate.Unlock()
	err = s.writer.checkpoint()
	if isFatal(err) {
		s.died(err)
	} else if err != nil {
		s.log.Warn("write-ahead log not truncated", "err", err)
	}
}

// makeDir creates the data directory and its missing parents. A directory is durable only
// once its name is.
func makeDir(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("make the data directory: %w", err)
	}
	var missing []string
	for d := dir; ; d = filepath.Dir(d) {
		if _, err := os.Stat(d); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		missing = append(missing, d)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the data directory: %w", err)
	}
	for _, d := range missing {
		if err := syncDir(filepath.Dir(d)); err != nil {
			return err
		}
	}
	return nil
}

// makeFile creates the database's file, if it is missing, readable only by its owner:
// prompts are in it. SQLite gives its other files the same mode.
func makeFile(name string) (isNew bool, err error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, f.Close()
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync directory %s: %w", dir, err)
	}
	return nil
}

func lockDir(dir string) (*flock.Flock, error) {
	lock := flock.New(filepath.Join(dir, "lock"), flock.SetPermissions(0o600))
	held, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock the data directory: %w", err)
	}
	if !held {
		return nil, store.ErrLocked
	}
	return lock, nil
}
