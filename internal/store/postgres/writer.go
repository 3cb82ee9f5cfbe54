package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/ringback/ringback/internal/backoff"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/column"
)

// tripTimeout bounds one message to the server and its answer: anything longer is a hang.
// It is more than the server allows a transaction's statements.
const tripTimeout = 15 * time.Second

// leastRate is how many bytes of content a second a transaction must transfer, beyond that
// time.
const leastRate = 256 << 10

// writer is the one connection that writes. Only the group commit's goroutine uses it. (Two
// of them, one for writes that end work, were no faster on two processors, and slower on
// two nodes: their transactions carried half as much.)
type writer struct {
	dial *dialer
	conn *pgx.Conn // nil: broken

	id uuid.UUID // of this process
	// commits is the number of the last transaction that wrote. The same number is in the
	// table of writers, so that a commit of unknown outcome can be checked.
	commits int64
	// careful makes moves read each row, since the last batch found one that differed from
	// what was known here.
	careful bool

	// hasty is until when no lock is waited for longer than hastyWait, since another
	// program held one.
	hasty time.Time

	// waits is since when it has been waiting for an answer, in nanoseconds of the process;
	// 0: it is not waiting.
	waits atomic.Int64

	// afterCommit, if set, may replace the success of a commit (tests).
	afterCommit atomic.Pointer[func() error]
}

func openWriter(ctx context.Context, dial *dialer) (*writer, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return nil, err
	}
	w := &writer{dial: dial, id: id}
	if err := w.connect(ctx); err != nil {
		return nil, err
	}
	if err := w.enrol(ctx); err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

func (w *writer) connect(ctx context.Context) (err error) {
	if w.conn != nil && !w.conn.IsClosed() {
		return nil
	}
	w.conn, err = w.dial.connect(ctx)
	return err
}

// enrol registers the writer, with a number after all that it may have used.
func (w *writer) enrol(ctx context.Context) error {
	err := w.conn.QueryRow(ctx, `
		INSERT INTO ringback.writers AS w (id, commits) VALUES ($1, $2)
		ON CONFLICT (id) DO UPDATE SET commits = greatest(w.commits, excluded.commits) + 2 RETURNING commits`, w.id, w.commits+2).Scan(&w.commits)
	if err != nil {
		return fmt.Errorf("enrol the writer: %w", err)
	}
	return nil
}

// close also deletes the writer's number. Its counters stay: they are added up.
func (w *writer) close() error {
	if w.conn == nil || w.conn.IsClosed() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_, err := w.conn.Exec(ctx, `DELETE FROM ringback.writers WHERE id = $1`, w.id)
	return errors.Join(fault(err), w.conn.Close(ctx))
}

// After hangsAfter without an answer there may be none for long: new writes fail at once
// instead of waiting for it too.
const hangsAfter = 3 * time.Second

var (
	errHangs = errors.New("the server has not answered for a while")
	started  = time.Now()
)

// hangs reports whether the server has left the writer without an answer for long.
func (w *writer) hangs() bool {
	since := w.waits.Load()
	return since != 0 && time.Since(started)-time.Duration(since) > hangsAfter
}

// begin begins a transaction; nothing is sent to the server yet.
func (s *Store) begin() (*tx, error) {
	ctx, cancel := context.WithTimeout(context.Background(), connectTimeout)
	defer cancel()
	if err := s.writer.connect(ctx); err != nil {
		return nil, err
	}
	return newTx(s), nil
}

// again prepares the second run of a batch, if the error is worth one.
func (w *writer) again(err error) bool {
	if code(err) == codeLocked {
		w.hasty = time.Now().Add(hastyFor)
	}
	if !isTransient(err) {
		return false
	}
	w.careful = true
	if code(err) != codeNoCommit {
		return true
	}
	// The row of this writer is gone: another process tidied up, believing this one dead.
	ctx, cancel := context.WithTimeout(context.Background(), tripTimeout)
	defer cancel()
	return w.connect(ctx) == nil && w.enrol(ctx) == nil
}

// If another program holds a lock on a row or a table, each transaction that needs it would
// keep all others waiting until lock_timeout. So after one that did, the next ones wait
// only for hastyWait.
const (
	hastyFor  = 5 * time.Second
	hastyWait = "50ms"
)

// calm ends the care that an unusual batch needed.
func (w *writer) calm() { w.careful = false }

// landed reports whether a transaction was committed although its answer was lost. If it
// was not, it never will be: landed takes its number, waiting for the transaction while it
// is in progress.
func (w *writer) landed(t *tx) (bool, error) {
	ctx, cancel := context.WithTimeout(context.Background(), tripTimeout)
	defer cancel()
	if w.conn != nil {
		closeConn(w.conn)
	}
	if err := w.untilConnected(ctx); err != nil {
		return false, err
	}
	// The answer may be lost once more, so a repeated query gives the same answer.
	err := w.conn.QueryRow(ctx, `
		UPDATE ringback.writers SET commits = CASE commits WHEN $2::bigint - 1 THEN $2 + 1 ELSE commits END
		WHERE id = $1 RETURNING commits`, w.id, t.number).Scan(&w.commits)
	if err != nil {
		return false, fault(err)
	}
	return w.commits == t.number, nil
}

// landedPatience is how long one query about a lost commit waits for the server to be
// reachable.
const landedPatience = time.Second

func (w *writer) untilConnected(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, landedPatience)
	defer cancel()
	for {
		err := w.connect(ctx)
		if err == nil {
			return nil
		}
		if !backoff.Sleep(ctx, backoff.Jitter(restMin, backoff.Half)) {
			return unavailable(err)
		}
	}
}

// fenced is what a row must still be when it is written.
type fenced struct {
	status    int16
	fence     int64
	cancelled bool
}

func fenceOf(j *store.Job) fenced {
	return fenced{int16(column.Statuses[j.Status]), j.Fence, j.CancelRequested}
}
