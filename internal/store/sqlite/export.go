package sqlite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/column"
)

// exportBytes is how much content one step of an export reads at most, unless a single job
// has more.
const exportBytes = 8 << 20

// Exists reports whether there is a store in a directory. It makes none.
func Exists(dir string) (bool, error) {
	_, err := os.Stat(filepath.Join(dir, "ringback.db"))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// State names the present state of the store: it changes with each move.
func (s *Store) State(ctx context.Context) (state string, err error) {
	err = s.readAll(ctx, func(q *reader) error {
		var commits int64
		var first, last []byte
		err := errors.Join(
			q.row(`SELECT commits FROM store`).Scan(&commits),
			q.row(`SELECT min(id) FROM jobs`).Scan(&first),
			q.row(`SELECT max(id) FROM jobs`).Scan(&last))
		state = fmt.Sprintf("%x to %x at commit %d", first, last, commits)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("name the state of the store: %w", err)
	}
	return state, nil
}

// Counts counts all rows, one by one.
func (s *Store) Counts(ctx context.Context) (a store.Counts, err error) {
	err = s.readAll(ctx, func(q *reader) error {
		for _, table := range []struct {
			query string
			to    *int64
		}{
			{`SELECT count(*) FROM jobs`, &a.Jobs},
			{`SELECT count(*) FROM attempts`, &a.Attempts},
			{`SELECT count(*) FROM deliveries`, &a.Deliveries},
			{`SELECT count(*) FROM tries`, &a.Tries},
			{`SELECT count(*) FROM bodies WHERE part < 16`, &a.Bodies},
		} {
			if err := q.row(table.query).Scan(table.to); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return a, fmt.Errorf("count what is stored: %w", err)
	}
	return a, nil
}

// Export reads the next jobs after one, in the order of their ids, with everything that
// belongs to them: at most limit, and none at the end. Nobody must be writing to the store.
func (s *Store) Export(ctx context.Context, after uuid.UUID, limit int) (jobs []store.Record, err error) {
	err = s.readAll(ctx, func(q *reader) error {
		var err error
		if jobs, err = exportRows(q, after, limit); err != nil || len(jobs) == 0 {
			return err
		}
		if jobs, err = fitting(q, jobs); err != nil {
			return err
		}
		return newExport(jobs).read(q)
	})
	if err != nil {
		return nil, fmt.Errorf("export jobs behind %s: %w", after, err)
	}
	return jobs, nil
}

func exportRows(q *reader, after uuid.UUID, limit int) (jobs []store.Record, err error) {
	err = q.each(func(row scanner) error {
		j, err := scanJob(row)
		jobs = append(jobs, store.Record{Job: j})
		return err
	}, `SELECT `+jobColumns+` FROM jobs WHERE id > ? ORDER BY id LIMIT ?`, after[:], limit)
	return jobs, err
}

// fitting cuts off the jobs whose content would be too much at once.
func fitting(q *reader, jobs []store.Record) ([]store.Record, error) {
	from, to := rangeOf(jobs)
	size, fit := 0, len(jobs)
	err := q.each(func(row scanner) error {
		var owner []byte
		var n int
		if err := row.Scan(&owner, &n); err != nil {
			return err
		}
		size += n
		// A delivery's id begins like its job's.
		for fit > 1 && size > exportBytes && bytes.Compare(jobs[fit-1].Job.ID[:8], owner[:8]) >= 0 {
			fit--
		}
		return nil
	}, `SELECT owner, length(bytes) FROM bodies WHERE owner BETWEEN ? AND ?`, from, to)
	return jobs[:fit], err
}

// rangeOf bounds the ids of some jobs, and those of their deliveries.
func rangeOf(jobs []store.Record) (from, to []byte) {
	from, _ = deliveryRange(jobs[0].Job.ID)
	_, to = deliveryRange(jobs[len(jobs)-1].Job.ID)
	return from, to
}

// export finds the job that a row belongs to.
type export struct {
	jobs       []store.Record
	byID       map[uuid.UUID]*store.Record         // also by the ids of deliveries
	deliveries map[uuid.UUID]*store.RecordDelivery // set when all have been read
}

func newExport(jobs []store.Record) *export {
	e := &export{jobs: jobs, byID: make(map[uuid.UUID]*store.Record, 2*len(jobs)), deliveries: make(map[uuid.UUID]*store.RecordDelivery, len(jobs))}
	for i := range jobs {
		e.byID[jobs[i].Job.ID] = &jobs[i]
	}
	return e
}

func (e *export) read(q *reader) error {
	first, last := e.jobs[0].Job.ID, e.jobs[len(e.jobs)-1].Job.ID
	from, to := rangeOf(e.jobs)
	err := q.each(e.attempt, `
		SELECT job, `+attemptColumns+` FROM attempts WHERE job BETWEEN ? AND ? ORDER BY job, number`, first[:], last[:])
	if err != nil {
		return err
	}
	if err := q.each(e.delivery, `SELECT coalesce(due_at, 0), `+deliveryColumns+` FROM deliveries WHERE id BETWEEN ? AND ? ORDER BY id`, from, to); err != nil {
		return err
	}
	for i := range e.jobs {
		for j := range e.jobs[i].Deliveries {
			e.deliveries[e.jobs[i].Deliveries[j].ID] = &e.jobs[i].Deliveries[j]
		}
	}
	err = q.each(e.try, `
		SELECT delivery, fence, `+tryColumns+` FROM tries WHERE delivery BETWEEN ? AND ? ORDER BY delivery, fence`, from, to)
	if err != nil {
		return err
	}
	return q.each(e.body, `SELECT owner, part, zstd, bytes FROM bodies WHERE owner BETWEEN ? AND ? ORDER BY owner, part % 16, part`, from, to)
}

func (e *export) attempt(row scanner) error {
	var job, usage []byte
	var a ringback.Attempt
	var started, first, ended int64
	err := row.Scan(&job, &a.Number, &a.Node, &a.Provider, &a.Model, &started, &first, &ended,
		&a.Outcome, &a.StatusCode, &a.Error, &usage, &a.ProviderRequestID)
	if err != nil {
		return err
	}
	a.StartedAt, a.FirstTokenAt, a.EndedAt = ringback.Time{Time: column.Time(started)}, ringback.Time{Time: column.Time(first)}, ringback.Time{Time: column.Time(ended)}
	a.Usage = store.UsageOf(usage)
	if w := e.byID[uuid.UUID(job)]; w != nil {
		w.Attempts = append(w.Attempts, a)
	}
	return nil
}

func (e *export) delivery(row scanner) error {
	var due int64
	d, err := scanDelivery(behind{row, &due})
	if err != nil {
		return err
	}
	// Jobs made in the same millisecond share the range of their deliveries.
	if w := e.byID[d.JobID]; w != nil {
		w.Deliveries = append(w.Deliveries, store.RecordDelivery{Delivery: d, DueAt: column.Time(due)})
		e.byID[d.ID] = w
	}
	return nil
}

func (e *export) try(row scanner) error {
	var delivery []byte
	var y store.RecordTry
	var at int64
	err := row.Scan(&delivery, &y.Fence, &y.Number, &at, &y.Trigger, &y.StatusCode, &y.DurationMS, &y.Error, &y.Response, &y.WebhookBody)
	y.At = ringback.Time{Time: column.Time(at)}
	if d := e.deliveries[uuid.UUID(delivery)]; err == nil && d != nil {
		d.Tries = append(d.Tries, y)
	}
	return err
}

func (e *export) body(row scanner) error {
	var owner []byte
	var b store.Body
	err := row.Scan(&owner, &b.Part, &b.Zstd, &b.Bytes)
	w := e.byID[uuid.UUID(owner)]
	switch {
	case err != nil || w == nil:
	case b.Part >= nextPiece: // its first piece came just before
		whole := &w.Bodies[len(w.Bodies)-1]
		whole.Bytes = append(whole.Bytes, b.Bytes...)
	default:
		b.Owner = uuid.UUID(owner)
		w.Bodies = append(w.Bodies, b)
	}
	return err
}

// behind scans a row whose first column goes elsewhere.
type behind struct {
	row   scanner
	first any
}

func (b behind) Scan(to ...any) error { return b.row.Scan(append([]any{b.first}, to...)...) }

// readAll is read for a caller that has the store to itself: it may take its time.
func (s *Store) readAll(ctx context.Context, f func(q *reader) error) error {
	return s.readFor(ctx, 24*time.Hour, f)
}

// each calls f for each row of a query.
func (r *reader) each(f func(row scanner) error, query string, args ...any) error {
	rows, err := r.rows(query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
