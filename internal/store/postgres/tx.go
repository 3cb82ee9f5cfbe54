package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/ringback/ringback/internal/store"
)

// tx is one transaction of the writer: rows that are known, and rows to be written. Writes
// are sent when something has to be read, and with the commit.
//
// Without a read everything is one message, which PostgreSQL treats as one transaction; a
// read opens one that a later message commits.
type tx struct {
	store  *Store
	w      *writer
	number int64 // of its commit

	open   bool // BEGIN was sent
	writes int
	begun  bool // something was sent
	// claimants are the nodes in whose names something is claimed.
	claimants map[string]bool

	jobs       map[uuid.UUID]*jobRow
	deliveries map[uuid.UUID]*deliveryRow

	newJobs       []store.Job
	changedJobs   []*jobRow
	newDeliveries []deliveryRow
	changed       []*deliveryRow
	attempts      []attemptRow
	tries         []tryRow
	bodies        []bodyRow
	counts        map[counter]int64
	others        []statement // in order, after all of the above

	effects []func()

	bytes int // of content that it sends itself

	// uploads are those of the running move; nil: it sends what it stores.
	uploads *uploads
}

// jobRow is a job as this transaction knows it.
type jobRow struct {
	store.Job

	was     fenced // when it was last read or written
	changed bool
}

// deliveryRow is a delivery as this transaction knows it, and when it is due.
type deliveryRow struct {
	store.Delivery

	due     int64 // -1: not at all
	was     int64 // the fence when it was last read or written
	changed bool
}

type statement struct {
	sql  string
	args []any
}

func newTx(s *Store) *tx {
	return &tx{
		store: s, w: s.writer, number: s.writer.commits + 1, claimants: map[string]bool{},
		jobs: map[uuid.UUID]*jobRow{}, deliveries: map[uuid.UUID]*deliveryRow{}, counts: map[counter]int64{},
	}
}

// after runs f once the transaction is committed.
func (t *tx) after(f func()) { t.effects = append(t.effects, f) }

// claims notes that something is claimed in the name of a node.
func (t *tx) claims(node string) { t.claimants[node] = true }

// exec writes by a separate statement.
func (t *tx) exec(sql string, args ...any) {
	t.spill()
	t.others = append(t.others, statement{sql, args})
	t.writes++
}

// spill turns the rows to be written into statements.
func (t *tx) spill() {
	t.inOrder()
	t.others = slices.Concat(t.others,
		insertJobs.of(t.newJobs), updateJobs.of(t.changedJobs), t.spillBodies(), insertAttempts.of(t.attempts),
		insertDeliveries.of(t.newDeliveries), updateDeliveries.of(t.changed), insertTries.of(t.tries))
	for _, j := range t.changedJobs {
		j.was, j.changed = fenceOf(&j.Job), false
	}
	for _, d := range t.changed {
		d.was, d.changed = d.Fence, false
	}
	t.newJobs, t.changedJobs, t.bodies, t.attempts, t.newDeliveries, t.changed, t.tries = nil, nil, nil, nil, nil, nil, nil
}

// seal comes last: it takes the writer's next number, and locks the leases of the
// claimants. Taking one away before the commit waits for the commit, or the commit fails.
// (No lock is held across round trips: a process frozen there would keep others from taking
// its lease away.)
const seal = `
	WITH number AS (UPDATE ringback.writers SET commits = $2::bigint WHERE id = $1 AND commits = $2::bigint - 1 RETURNING 1),
		leases AS (SELECT 1 FROM ringback.nodes WHERE id = ANY ($3::text[]) AND expires_at > clock_timestamp() ORDER BY id FOR KEY SHARE)
	SELECT ringback.matched((SELECT count(*) FROM number), 1, 'RB002'),
		ringback.matched((SELECT count(*) FROM leases), cardinality($3::text[]), 'RB003')`

// message returns what has to be sent: the beginning, unless it was sent before, and
// everything written since.
func (t *tx) message() *pgx.Batch {
	b := &pgx.Batch{}
	if !t.begun {
		for _, sql := range t.w.dial.settings() {
			b.Queue(sql)
		}
		if time.Now().Before(t.w.hasty) {
			b.Queue(`SELECT set_config('lock_timeout', $1, true)`, hastyWait)
		}
		t.begun = true
	}
	t.spill()
	for _, s := range t.others {
		b.Queue(s.sql, s.args...)
	}
	t.others = nil
	return b
}

// query reads, after everything that was written before. scan is called for each row.
func (t *tx) query(scan func(pgx.Rows) error, sql string, args ...any) error {
	rest := t.message()
	b := &pgx.Batch{}
	if !t.open {
		b.Queue("BEGIN")
		t.open = true
	}
	b.QueuedQueries = append(b.QueuedQueries, rest.QueuedQueries...)
	b.Queue(sql, args...)
	err := t.send(b, scan)
	if err != nil {
		// PostgreSQL accepts nothing more in this transaction: more than this member has
		// failed.
		t.writes++
	}
	return err
}

// row reads one row into to; pgx.ErrNoRows if there is none.
func (t *tx) row(to []any, sql string, args ...any) error {
	found := false
	err := t.query(func(rows pgx.Rows) error {
		found = true
		return rows.Scan(to...)
	}, sql, args...)
	if err == nil && !found {
		return pgx.ErrNoRows
	}
	return err
}

// send makes one round trip. The rows of the last statement go to scan.
func (t *tx) send(b *pgx.Batch, scan func(pgx.Rows) error) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), tripTimeout+time.Duration(t.bytes)*time.Second/leastRate)
	defer cancel()
	t.w.waits.Store(int64(time.Since(started)))
	results := t.w.conn.SendBatch(ctx, b)
	defer func() {
		t.w.waits.Store(0)
		err = errors.Join(err, results.Close())
		leaveReplica(t.w.conn, err)
	}()
	for i := range b.QueuedQueries {
		if scan != nil && i == len(b.QueuedQueries)-1 {
			return eachRow(results, scan)
		}
		if _, err := results.Exec(); err != nil {
			return err
		}
	}
	return nil
}

func eachRow(results pgx.BatchResults, scan func(pgx.Rows) error) error {
	rows, err := results.Query()
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Writes counts what has been or is to be written; it is higher after an error that has
// ended the transaction.
func (t *tx) Writes() int { return t.writes }

// Commit makes the transaction durable.
func (t *tx) Commit() error {
	t.spill()
	if len(t.counts) > 0 {
		t.others = append(t.others, addCounts(t.w.id, t.counts))
	}
	b := t.message()
	b.Queue(seal, t.w.id, t.number, slices.AppendSeq([]string{}, maps.Keys(t.claimants)))
	if t.open {
		b.Queue("COMMIT")
	}
	if err := endOfCommit(t.send(b, nil)); err != nil {
		return fmt.Errorf("write %d things: %w", t.writes, err)
	}
	t.open = false
	t.w.commits = t.number
	if lose := t.w.afterCommit.Load(); lose != nil {
		if err := (*lose)(); err != nil {
			return lostError{err}
		}
	}
	return nil
}

// Rollback ends the transaction. If the connection can't do that it is dropped, and
// PostgreSQL does it.
func (t *tx) Rollback() error {
	if !t.open || t.w.conn.IsClosed() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), tripTimeout)
	defer cancel()
	if _, err := t.w.conn.Exec(ctx, "ROLLBACK"); err != nil {
		closeConn(t.w.conn)
	}
	return nil
}
