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

// tripTimeout bounds one message to the server and its answer: what takes longer
// hangs. It is more than the statements of a transaction are given there.
const tripTimeout = 15 * time.Second

// leastRate is how many bytes a second of content a transaction must get across, beyond
// that time.
const leastRate = 256 << 10

// writer is the one connection that writes. Only the goroutine of the group commit
// uses it. (Two of them, one for what ends work, were no quicker on two processors,
// and two nodes slower: their transactions carried half as much.)
type writer struct {
	dial *dialer
	conn *pgx.Conn // nil: broken

	id uuid.UUID // of this process
	// commits is the number of the last transaction that wrote. The same number is in
	// the table of writers, so that a commit of unknown outcome can be asked about.
	commits int64
	// careful has moves read each row, since the last batch found one that was not
	// as it was known here.
	careful bool

	// hasty is until when no lock is waited for longer than hastyWait, since another
	// program held one.
	hasty time.Time

	// waits is since when an answer is waited for, in nanoseconds of the process; 0: it
	// is not.
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

// enrol makes the writer known, with a number behind all that it may have used.
func (w *writer) enrol(ctx context.Context) error {
	err := w.conn.QueryRow(ctx, `
		INSERT INTO ringback.writers AS w (id, commits) VALUES ($1, $2)
		ON CONFLICT (id) DO UPDATE SET commits = greatest(w.commits, excluded.commits) + 2 RETURNING commits`, w.id, w.commits+2).Scan(&w.commits)
	if err != nil {
		return fmt.Errorf("enrol the writer: %w", err)
	}
	return nil
}

// close also drops the writer's number. Its counters stay: they are added up.
func (w *writer) close() error {
	if w.conn == nil || w.conn.IsClosed() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_, err := w.conn.Exec(ctx, `DELETE FROM ringback.writers WHERE id = $1`, w.id)
	return errors.Join(fault(err), w.conn.Close(ctx))
}

// What has had no answer for hangsAfter may have none for long: who comes then is
// turned away at once, and does not wait for it too.
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

// begin begins a transaction; nothing is said to the server yet.
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
	// The row of this writer is gone: somebody tidied up after a process that he
	// believed dead.
	ctx, cancel := context.WithTimeout(context.Background(), tripTimeout)
	defer cancel()
	return w.connect(ctx) == nil && w.enrol(ctx) == nil
}

// Where another program holds a lock, a row's or a table's, each transaction that needs it
// would keep all others waiting for as long as lock_timeout lets it. So after one that did,
// the next ones wait for hastyWait only.
const (
	hastyFor  = 5 * time.Second
	hastyWait = "50ms"
)

// calm ends the care that an odd batch needed.
func (w *writer) calm() { w.careful = false }

// landed reports whether a transaction was committed although its answer was lost.
// If it was not, it never will be: its number is taken here, which waits for it as
// long as it is under way.
func (w *writer) landed(t *tx) (bool, error) {
	ctx, cancel := context.WithTimeout(context.Background(), tripTimeout)
	defer cancel()
	if w.conn != nil {
		closeConn(w.conn)
	}
	if err := w.untilConnected(ctx); err != nil {
		return false, err
	}
	// The answer may be lost once more, so it says the same when it is asked again.
	err := w.conn.QueryRow(ctx, `
		UPDATE ringback.writers SET commits = CASE commits WHEN $2::bigint - 1 THEN $2 + 1 ELSE commits END
		WHERE id = $1 RETURNING commits`, w.id, t.number).Scan(&w.commits)
	if err != nil {
		return false, fault(err)
	}
	return w.commits == t.number, nil
}

// landedPatience is how long one question about a lost commit waits for the server
// to be there.
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
