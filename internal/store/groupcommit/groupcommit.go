// Package groupcommit turns many small writes into few transactions.
//
// Callers pass a function that writes. One goroutine takes all waiting functions, runs them
// in one transaction, commits, and only then replies to each caller: a nil error means that
// the write is on stable storage. There is no timer: a lone write commits at once, and
// under load the batch is what arrived during the previous commit. Large writes commit one
// at a time, alternating with batches of the others: a small write waits for at most one
// large write.
//
// # A bad member
//
// One member must not fail its neighbours.
//
//   - A caller whose context ends before its turn is left out; once its turn has come the
//     write proceeds regardless of the context.
//   - A member that returns an error without having written anything is refused alone; the
//     batch continues.
//   - After an error that may be over at once (Config.Again) the whole batch runs again.
//   - If the transaction cannot begin, that is no member's fault: all of them get the
//     error, and none is tried alone, which would wait as long once more.
//   - After any other error, a panic, or a commit that fails, the transaction is rolled
//     back and its members run again, each in its own transaction. (Within the batch
//     nothing may run after a failed statement: SQLite may have rolled back by itself, and
//     what follows would commit alone.)
//   - If several of them in a row are then blocked by something outside, the rest get that
//     error untried: each would wait as long once more.
//   - After a commit whose outcome is unknown, the store is asked whether it landed. If it
//     did, its members get their answers as if nothing had happened; if not, they run
//     again.
//
// So a member may run more than once; only its last run counts.
//
// The package knows no SQL and no jobs. Both stores use it.
package groupcommit

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ringback/ringback/internal/metrics"
)

// ErrClosed is returned once Close has been called.
var ErrClosed = errors.New("group commit is closed")

// ErrUnknown wraps the error of a commit whose outcome could not be determined.
var ErrUnknown = errors.New("outcome of the commit is unknown")

// Tx is a transaction of a store.
type Tx interface {
	// Writes counts the statements that wrote or tried to: a member that failed without
	// increasing it has changed nothing.
	Writes() int
	Commit() error
	// Rollback ends the transaction, even one that the database has already ended.
	Rollback() error
}

// Config of a queue. Begin is required.
type Config[T Tx] struct {
	Begin func() (T, error)
	// Again reports whether a batch that failed with this error is worth another run: the
	// obstacle may be gone. Nil means never.
	Again func(error) bool
	// Blocked reports whether an error means that something outside blocked a member, such
	// as a lock held by another program. Nil means never.
	Blocked func(error) bool
	// Unknown reports whether the error of a commit leaves its outcome unknown. Nil means
	// that no error does.
	Unknown func(error) bool
	// Landed reports whether a transaction with such an error was committed after all.
	// Required if Unknown is set.
	Landed func(T) (bool, error)
	// Fatal reports whether an error of the store means that it must not be written
	// anymore. Nil means that no error does.
	Fatal func(error) bool
	// Die is called with the first fatal error, from the writer's goroutine. No
	// member runs after that. Required if Fatal is set.
	Die func(error)
	// Between is called after each batch, outside any transaction.
	Between func()
	// MaxMembers of a batch; 0 means 256.
	MaxMembers int
	// MaxBytes of a batch, by the members' own count; 0 means 4 MiB.
	MaxBytes int
	// Metrics registers the queue's metrics; nil registers none.
	Metrics prometheus.Registerer
}

// Write is one member of a batch.
type Write[T Tx] struct {
	// Run does the work. It may run more than once; only the last run counts.
	Run func(tx T) error
	// Committed, if set, is called by the writer's goroutine after the commit and before
	// the caller gets its answer, in the order of the batch.
	Committed func()
	// Bytes is roughly what Run writes.
	Bytes int
	// First puts the write before those that are not First: writes that end work go before
	// those that add more.
	First bool
}

// Queue is where writers wait. Its one goroutine ends with Close.
type Queue[T Tx] struct {
	cfg     Config[T]
	done    chan struct{} // closed when the writer has ended
	metrics metrics.Commits

	mu     sync.Mutex
	wake   *sync.Cond
	first  []*member[T]
	others []*member[T]
	large  []*member[T]
	turn   bool // it is the large ones' turn
	closed bool
	dead   error // the fatal error, once there has been one
}

type member[T Tx] struct {
	Write[T]
	ctx    context.Context
	result chan error
}

// runs bounds how often a batch is run unchanged.
const runs = 4

// largePart is the part of Config.MaxBytes above which a write is large.
const largePart = 4

// asks bounds how often the store is asked whether a commit landed.
const asks = 5

// New starts the writer.
func New[T Tx](cfg Config[T]) *Queue[T] {
	if cfg.MaxMembers == 0 {
		cfg.MaxMembers = 256
	}
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = 4 << 20
	}
	q := &Queue[T]{cfg: cfg, done: make(chan struct{}), metrics: metrics.NewCommits(cfg.Metrics)}
	q.wake = sync.NewCond(&q.mu)
	go q.run()
	return q
}

// Do waits for its turn, and then until w is committed or refused. The context counts only
// until its turn.
func (q *Queue[T]) Do(ctx context.Context, w Write[T]) error {
	m := &member[T]{Write: w, ctx: ctx, result: make(chan error, 1)}
	q.mu.Lock()
	if q.closed || q.dead != nil {
		defer q.mu.Unlock()
		if q.dead != nil {
			return q.dead
		}
		return ErrClosed
	}
	switch {
	case m.Bytes > q.cfg.MaxBytes/largePart:
		q.large = append(q.large, m)
	case m.First:
		q.first = append(q.first, m)
	default:
		q.others = append(q.others, m)
	}
	q.wake.Signal()
	q.mu.Unlock()
	return <-m.result
}

// Close lets waiting writes finish, then ends the writer. It may be called twice.
func (q *Queue[T]) Close() {
	q.mu.Lock()
	q.closed = true
	q.wake.Signal()
	q.mu.Unlock()
	<-q.done
}

func (q *Queue[T]) run() {
	defer close(q.done)
	for {
		batch := q.take()
		if batch == nil {
			return
		}
		_ = q.commit(batch) // its members have their answers
		if q.cfg.Between != nil {
			q.cfg.Between()
		}
	}
}

// take waits for members; nil means that the queue is closed and empty.
func (q *Queue[T]) take() []*member[T] {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		batch := q.pick()
		if len(batch) > 0 {
			return batch
		}
		if q.closed {
			return nil
		}
		q.wake.Wait()
	}
}

// pick takes the next batch off the queues, replying to those whose callers have left. The
// caller holds the lock.
func (q *Queue[T]) pick() []*member[T] {
	if q.turn = !q.turn; q.turn {
		if batch := q.pickFrom(1, &q.large); len(batch) > 0 {
			return batch
		}
	}
	if batch := q.pickFrom(q.cfg.MaxMembers, &q.first, &q.others); len(batch) > 0 {
		return batch
	}
	return q.pickFrom(1, &q.large)
}

// pickFrom takes the next batch, of at most that many members, off some queues.
func (q *Queue[T]) pickFrom(most int, queues ...*[]*member[T]) []*member[T] {
	var batch []*member[T]
	var bytes int
	for _, queue := range queues {
		for len(*queue) > 0 && len(batch) < most {
			m := (*queue)[0]
			if len(batch) > 0 && bytes+m.Bytes > q.cfg.MaxBytes {
				return batch
			}
			(*queue)[0] = nil
			*queue = (*queue)[1:]
			if err := q.leave(m); err != nil {
				m.result <- err
				continue
			}
			bytes += m.Bytes
			batch = append(batch, m)
		}
	}
	return batch
}

func (q *Queue[T]) leave(m *member[T]) error {
	if q.dead != nil {
		return q.dead
	}
	return context.Cause(m.ctx)
}

// commit writes a batch as one transaction or, if that fails, each member as its own. It
// returns the error of a transaction that failed.
func (q *Queue[T]) commit(batch []*member[T]) error {
	refused, err := q.transact(batch)
	for n := 1; err != nil && n < runs && q.cfg.Again != nil && q.cfg.Again(err); n++ {
		refused, err = q.transact(batch)
	}
	if err == nil {
		for i, m := range batch {
			q.answer(m, refused[i])
		}
		return nil
	}
	_, notBegun := errors.AsType[beginError](err)
	if q.died(err) || len(batch) == 1 || notBegun || errors.Is(err, ErrUnknown) {
		for _, m := range batch {
			m.result <- err
		}
		return err
	}
	q.commitEach(batch)
	return err
}

// maxBlocked is how many members in a row may be blocked before others of their kind are no
// longer tried: writes that end work and writes that add work mostly wait for different
// rows.
const maxBlocked = 3

// commitEach writes each member of a batch that failed by itself.
func (q *Queue[T]) commitEach(batch []*member[T]) {
	blocked := map[bool][]error{} // by First: those in a row
	for _, m := range batch {
		if errs := blocked[m.First]; len(errs) == maxBlocked {
			m.result <- errs[0]
			continue
		}
		if err := q.commit([]*member[T]{m}); err != nil && q.cfg.Blocked != nil && q.cfg.Blocked(err) {
			blocked[m.First] = append(blocked[m.First], err)
		} else {
			delete(blocked, m.First)
		}
	}
}

func (q *Queue[T]) answer(m *member[T], refused error) {
	if refused == nil && m.Committed != nil {
		m.Committed()
	}
	m.result <- refused
}

// transact runs members in one transaction. refused holds the errors of those that changed
// nothing; err, if set, is the error of the whole: then nothing was committed, unless the
// outcome is unknown.
func (q *Queue[T]) transact(members []*member[T]) (refused []error, err error) {
	q.mu.Lock()
	dead := q.dead
	q.mu.Unlock()
	if dead != nil {
		return nil, dead
	}
	began := time.Now()
	tx, err := q.cfg.Begin()
	if err != nil {
		return nil, beginError{err}
	}
	refused = make([]error, len(members))
	before := tx.Writes()
	for i, m := range members {
		writes := tx.Writes()
		if refused[i] = protect(m, tx); refused[i] != nil && (tx.Writes() != writes || errors.As(refused[i], new(*panicError))) {
			return nil, errors.Join(refused[i], rollback(tx))
		}
	}
	if tx.Writes() == before {
		return refused, rollback(tx)
	}
	err = tx.Commit()
	if err == nil {
		q.metrics.Seconds.Observe(time.Since(began).Seconds())
		q.metrics.Size.Observe(float64(len(members)))
		return refused, nil
	}
	err = errors.Join(fmt.Errorf("commit: %w", err), rollback(tx))
	if q.cfg.Unknown == nil || !q.cfg.Unknown(err) {
		return nil, err
	}
	return q.landed(tx, members, refused, err)
}

// landed resolves a commit of unknown outcome. One that did not land is an ordinary
// failure: a lone member then has to be run again here, since there is no batch to remove
// it from.
func (q *Queue[T]) landed(tx T, members []*member[T], refused []error, lost error) ([]error, error) {
	for range asks {
		landed, err := q.cfg.Landed(tx)
		switch {
		case err != nil:
			lost = errors.Join(lost, err)
		case landed:
			return refused, nil
		case len(members) == 1:
			return q.transact(members)
		default:
			return nil, lost
		}
	}
	return nil, fmt.Errorf("%w: %w", ErrUnknown, lost)
}

func rollback[T Tx](tx T) error {
	if err := tx.Rollback(); err != nil {
		return fmt.Errorf("roll back: %w", err)
	}
	return nil
}

// beginError is why a transaction could not begin.
type beginError struct{ cause error }

func (e beginError) Error() string { return "begin: " + e.cause.Error() }
func (e beginError) Unwrap() error { return e.cause }

// panicError is a member's panic, which stays inside its call.
type panicError struct{ value any }

func (e *panicError) Error() string { return fmt.Sprintf("panic in a write: %v", e.value) }

func protect[T Tx](m *member[T], tx T) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &panicError{v}
		}
	}()
	return m.Run(tx)
}

// died ends all writing after a fatal error.
func (q *Queue[T]) died(err error) bool {
	if q.cfg.Fatal == nil || !q.cfg.Fatal(err) {
		return false
	}
	q.mu.Lock()
	first := q.dead == nil
	if first {
		q.dead = err
	}
	q.mu.Unlock()
	if first {
		q.cfg.Die(err)
	}
	return true
}
