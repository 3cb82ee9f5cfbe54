package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/column"
)

// ErrOccupied means that jobs can't be imported into a database; its text says why.
var ErrOccupied = errors.New("the database is occupied")

// Import copies the jobs of another store, which nobody is writing to, into a database. It
// does so in steps, each of them one transaction that also records its progress: an import
// that was cut off continues after the last job that is here. So no job is written twice,
// and none that has moved on since is overwritten.
type Import struct {
	conn   *pgx.Conn
	source string
	writer uuid.UUID
	after  uuid.UUID
	counts store.Counts
	ended  time.Time
}

// OpenImport begins the import of a source, or continues it. Source names the other store
// in its present state. It makes the schema as Open does. It returns ErrOccupied for a
// database that already has other jobs than that source's, or that nodes are serving from.
func OpenImport(ctx context.Context, cfg Config, source string) (*Import, error) {
	dial, err := newDialer(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if err := (&Store{dial: dial}).prepare(ctx); err != nil {
		return nil, fmt.Errorf("open %s: %w", dial.place(), err)
	}
	i := &Import{source: source}
	if i.conn, err = dial.patient(ctx); err != nil {
		return nil, err
	}
	if err := i.begin(ctx); err != nil {
		i.Close()
		return nil, err
	}
	return i, nil
}

// Close ends it, finished or not.
func (i *Import) Close() { closeConn(i.conn) }

// After returns the last job that is here; uuid.Nil if none is.
func (i *Import) After() uuid.UUID { return i.after }

// Carried returns what has been copied so far, by all runs.
func (i *Import) Carried() store.Counts { return i.counts }

// Ended returns when it was finished; zero if it was not.
func (i *Import) Ended() time.Time { return i.ended }

func (i *Import) begin(ctx context.Context) error {
	tx, err := i.conn.Begin(ctx)
	if err != nil {
		return fault(err)
	}
	defer tx.Rollback(ctx) //nolint:errcheck // after a commit there is nothing to roll back
	// If two begin at once, the second waits, and sees what the first has done.
	if _, err := tx.Exec(ctx, `LOCK TABLE ringback.imports IN SHARE ROW EXCLUSIVE MODE`); err != nil {
		return fault(err)
	}
	known, err := i.find(ctx, tx)
	if err != nil {
		return fault(err)
	}
	if i.ended.IsZero() {
		if err := refuseNodes(ctx, tx); err != nil {
			return err
		}
	}
	if !known {
		if err := i.enrol(ctx, tx); err != nil {
			return err
		}
	}
	return fault(tx.Commit(ctx))
}

// find reads the import's progress; false if it has not begun.
func (i *Import) find(ctx context.Context, tx pgx.Tx) (bool, error) {
	var source string
	var writer, after [16]byte
	var ended *time.Time
	c := &i.counts
	err := tx.QueryRow(ctx, `SELECT source, writer, after, jobs, attempts, deliveries, tries, bodies, ended_at FROM ringback.imports`).
		Scan(&source, &writer, &after, &c.Jobs, &c.Attempts, &c.Deliveries, &c.Tries, &c.Bodies, &ended)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if ended != nil {
		i.ended = *ended
	}
	i.writer, i.after = writer, after
	if source == i.source {
		return true, nil
	}
	return true, fmt.Errorf("%w: jobs of another directory, or of this one before it was served from again, were carried into it; "+
		"name an empty database, or, if no node has served from this one since, empty it with DROP SCHEMA ringback CASCADE", ErrOccupied)
}

// refuseNodes refuses a database that is in use: the jobs that its nodes accept meanwhile
// might have the same keys as jobs still to come.
func refuseNodes(ctx context.Context, tx pgx.Tx) error {
	var machines []string
	err := tx.QueryRow(ctx, `SELECT coalesce(array_agg(DISTINCT machine ORDER BY machine), '{}') FROM ringback.nodes WHERE expires_at > clock_timestamp()`).Scan(&machines)
	if err != nil {
		return fault(err)
	}
	if len(machines) > 0 {
		return fmt.Errorf("%w: nodes serve from it, on %s; stop them first (one that was killed is gone in 8 s)", ErrOccupied, strings.Join(machines, ", "))
	}
	return nil
}

// enrol records that the import begins.
func (i *Import) enrol(ctx context.Context, tx pgx.Tx) (err error) {
	var used bool
	if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM ringback.jobs)`).Scan(&used); err != nil {
		return fault(err)
	}
	if used {
		return fmt.Errorf("%w: it has jobs of its own, and the two are not merged; name an empty database", ErrOccupied)
	}
	if i.writer, err = uuid.NewV7(); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO ringback.imports (source, writer, after) VALUES ($1, $2, $3)`, i.source, i.writer, i.after)
	return fault(err)
}

// Put writes the next jobs, in the order of their ids.
func (i *Import) Put(ctx context.Context, jobs []store.Record) error {
	if len(jobs) == 0 {
		return nil
	}
	rows := rowsOf(jobs)
	if err := i.dropTakenKeys(ctx, rows.jobs); err != nil {
		return fault(err)
	}
	last, n := jobs[len(jobs)-1].Job.ID, store.CountsOf(jobs)
	b := &pgx.Batch{}
	b.Queue("BEGIN")
	// A step that a crash loses is lost with its progress, and so are those after it:
	// Finish waits for all of them.
	b.Queue("SET LOCAL synchronous_commit = off")
	b.Queue(`WITH u AS (
			UPDATE ringback.imports SET after = $3, jobs = jobs + $4, attempts = attempts + $5, deliveries = deliveries + $6, tries = tries + $7, bodies = bodies + $8
			WHERE source = $1 AND after = $2 AND ended_at IS NULL RETURNING 1)
		SELECT ringback.matched(count(*), 1) FROM u`,
		i.source, i.after, last, n.Jobs, n.Attempts, n.Deliveries, n.Tries, n.Bodies)
	for _, s := range rows.statements() {
		b.Queue(s.sql, s.args...)
	}
	if len(rows.counts) > 0 {
		s := addCounts(i.writer, rows.counts)
		b.Queue(s.sql, s.args...)
	}
	b.Queue("COMMIT")
	err := i.conn.SendBatch(ctx, b).Close()
	if code(err) == codeMoved {
		return fmt.Errorf("%w: somebody else carries the same jobs over at this moment", ErrOccupied)
	}
	if err != nil {
		return fmt.Errorf("write jobs behind %s: %w", i.after, fault(err))
	}
	i.after = last
	i.counts.Jobs += n.Jobs
	i.counts.Attempts += n.Attempts
	i.counts.Deliveries += n.Deliveries
	i.counts.Tries += n.Tries
	i.counts.Bodies += n.Bodies
	return nil
}

// dropTakenKeys removes the idempotency key from jobs where another job has it: one that a
// node accepted when it served from this database before all were here.
func (i *Import) dropTakenKeys(ctx context.Context, jobs []store.Job) error {
	type key struct{ project, key string }
	byKey := map[key]*store.Job{}
	var projects, keys []string
	for n := range jobs {
		j := &jobs[n]
		k := key{j.Project, j.IdempotencyKey}
		switch {
		case k.key == "":
		case byKey[k] != nil: // they only differed in what a database's text cannot hold
			j.IdempotencyKey = ""
		default:
			byKey[k] = j
			projects, keys = append(projects, k.project), append(keys, k.key)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	rows, err := i.conn.Query(ctx, `
		SELECT t.project, t.idempotency_key FROM unnest($1::text[], $2::text[]) AS d(project, key)
		JOIN ringback.jobs t ON t.project = d.project AND t.idempotency_key = d.key`, projects, keys)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var k key
		if err := rows.Scan(&k.project, &k.key); err != nil {
			return err
		}
		byKey[k].IdempotencyKey = ""
	}
	return rows.Err()
}

// Finish compares what is here with what the source has, table by table, and ends the
// import. Holds, and the key unless it is nil, do not replace what nodes have stored here.
// Exact reports whether it counted the rows themselves: once nodes have served from the
// database they differ, and stored is then what was copied. A difference is an error, and
// the import stays unfinished.
func (i *Import) Finish(ctx context.Context, source store.Counts, holds []store.Hold, key []byte) (stored store.Counts, exact bool, err error) {
	if stored, exact, err = i.count(ctx); err != nil {
		return stored, exact, fault(err)
	}
	if stored != source {
		return stored, exact, fmt.Errorf("what is in the database differs from what the directory has: %+v, and there %+v", stored, source)
	}
	b := &pgx.Batch{}
	for _, h := range holds {
		b.Queue(`INSERT INTO ringback.holds (provider, model, until, reason, key, cause) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (provider, model) DO NOTHING`,
			clean(h.Provider), clean(h.Model), column.MS(h.Until), clean(h.Reason), h.Key, clean(h.Cause))
	}
	if key != nil {
		b.Queue(insertKey, key)
	}
	b.Queue(`UPDATE ringback.imports SET ended_at = clock_timestamp() WHERE source = $1`, i.source)
	if err := i.conn.SendBatch(ctx, b).Close(); err != nil {
		return stored, exact, fault(err)
	}
	// So that the first claims are planned for tables of this size.
	_, err = i.conn.Exec(ctx, `ANALYZE ringback.jobs, ringback.attempts, ringback.deliveries, ringback.tries, ringback.bodies`, pgx.QueryExecModeSimpleProtocol)
	return stored, exact, fault(err)
}

func (i *Import) count(ctx context.Context) (c store.Counts, exact bool, err error) {
	// A node that serves counts, or tidies up our own counters.
	err = i.conn.QueryRow(ctx, `SELECT NOT EXISTS (SELECT 1 FROM ringback.counters WHERE writer <> $1)`, i.writer).Scan(&exact)
	if err != nil || !exact {
		return i.counts, exact, err
	}
	err = i.conn.QueryRow(ctx, `SELECT
		(SELECT count(*) FROM ringback.jobs), (SELECT count(*) FROM ringback.attempts), (SELECT count(*) FROM ringback.deliveries),
		(SELECT count(*) FROM ringback.tries), (SELECT count(*) FROM ringback.bodies)`).
		Scan(&c.Jobs, &c.Attempts, &c.Deliveries, &c.Tries, &c.Bodies)
	return c, exact, err
}

// The statements of an import. Text of another store may not be valid in PostgreSQL.
var (
	importJobs       = cleaned(insertJobs)
	importAttempts   = cleaned(insertAttempts)
	importDeliveries = cleaned(insertDeliveries)
	importTries      = cleaned(insertTries)
	importBodies     = insertInto("bodies", "", putBodies.columns...)
)

func cleaned[R any](s rowsStatement[R]) rowsStatement[R] {
	columns := make([]boundColumn[R], len(s.columns))
	for i, c := range s.columns {
		columns[i] = c
		if c.kind == "text" {
			columns[i].array = func(rows []R) any {
				texts := c.array(rows).([]string) //nolint:forcetypeassert // as text makes it
				for i := range texts {
					texts[i] = clean(texts[i])
				}
				return texts
			}
			columns[i].value = func(r *R) any { return clean(c.value(r).(string)) } //nolint:forcetypeassert // as above
		}
	}
	s.columns = columns
	return s
}

// importRows are jobs as rows of tables.
type importRows struct {
	jobs       []store.Job
	attempts   []attemptRow
	deliveries []deliveryRow
	tries      []tryRow
	bodies     []bodyRow
	counts     map[counter]int64
}

func rowsOf(jobs []store.Record) *importRows {
	rows := &importRows{counts: map[counter]int64{}}
	for n := range jobs {
		w := &jobs[n]
		for _, text := range []*string{&w.Job.Project, &w.Job.Provider, &w.Job.Model, &w.Job.IdempotencyKey} {
			*text = clean(*text) // also in counters, and for keys that are taken
		}
		rows.jobs = append(rows.jobs, w.Job)
		rows.countJob(&w.Job)
		for a := range w.Attempts {
			rows.attempts = append(rows.attempts, attemptOf(w.Job.ID, &w.Attempts[a]))
		}
		for d := range w.Deliveries {
			rows.addDelivery(&w.Deliveries[d])
		}
		for _, b := range w.Bodies {
			if b.Bytes == nil {
				b.Bytes = []byte{}
			}
			rows.bodies = append(rows.bodies, bodyRow{owner: b.Owner, part: part(b.Part), Blob: b.Blob})
		}
	}
	return rows
}

// attemptOf returns the row that the end of an attempt would have written.
func attemptOf(job uuid.UUID, a *ringback.Attempt) attemptRow {
	ran := &store.Job{ID: job, Fence: a.Number, Node: a.Node, Provider: a.Provider, Model: a.Model, StartedAt: a.StartedAt.Time}
	return attemptRow{ran, store.Outcome{At: a.EndedAt.Time, Attempt: a}}
}

func (r *importRows) addDelivery(d *store.RecordDelivery) {
	row := deliveryRow{Delivery: d.Delivery, due: -1}
	if row.InFlight && row.Node == "" { // older versions stored no node
		row.Node = "unknown"
	}
	if !d.DueAt.IsZero() {
		row.due = column.MS(d.DueAt)
		r.counts[pendingDeliveries]++
	}
	if d.Status == ringback.DeliveryDead && !d.Gone {
		r.counts[deadDeliveries]++
	}
	r.deliveries = append(r.deliveries, row)
	for _, y := range d.Tries {
		r.tries = append(r.tries, tryRow{d.ID, y.Fence, y.Try})
	}
}

func (r *importRows) countJob(j *store.Job) {
	switch {
	case j.Status == ringback.Queued:
		r.counts[counterOf(j)]++
	case j.Status == ringback.Failed && !j.ContentGone && j.ReplayedBy == uuid.Nil:
		r.counts[deadJobs]++
	}
}

func (r *importRows) statements() []statement {
	return slices.Concat(importJobs.of(r.jobs), importAttempts.of(r.attempts), importDeliveries.of(r.deliveries), importTries.of(r.tries), importBodies.of(r.bodies))
}
