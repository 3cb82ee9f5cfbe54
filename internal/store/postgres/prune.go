package postgres

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/ringback/ringback/internal/store/column"
	"github.com/ringback/ringback/internal/store/groupcommit"
)

// recheck is how long content whose time is over, but whose delivery is still
// pending, is left alone.
const recheck = time.Hour

// Prune implements store.Maintenance. It skips what another process is deleting at this
// moment.
func (s *Store) Prune(ctx context.Context, now time.Time, limit int) (int, error) {
	op := groupcommit.Op{Name: "prune", Bytes: limit * rowBytes}
	return groupcommit.Commit(ctx, s.write, op, func(t *tx) (int, error) {
		content, err := t.pruneContent(now, limit)
		if err != nil {
			return 0, err
		}
		rows, err := t.pruneRows(now, limit-content)
		if err != nil {
			return 0, err
		}
		n := content + rows
		if n < limit {
			return n, t.pruneUploads(limit)
		}
		return n, nil
	})
}

// pruneContent deletes the content of jobs whose time is over, unless a delivery is still
// to be sent.
func (t *tx) pruneContent(now time.Time, limit int) (int, error) {
	over, err := t.lockIDs(column.IsEnded+` AND NOT t.content_gone AND t.content_until <= $1`,
		"ORDER BY t.content_until LIMIT $2 FOR UPDATE SKIP LOCKED", column.MS(now), limit)
	if err != nil || len(over) == 0 {
		return 0, err
	}
	open := map[uuid.UUID]bool{}
	err = t.query(func(rows pgx.Rows) error {
		var id [16]byte
		err := rows.Scan(&id)
		open[id] = true
		return err
	}, `SELECT DISTINCT d.job FROM `+deliveriesOf+` AND (`+column.IsDue+` OR d.in_flight)`, rangesOf(over)...)
	if err != nil {
		return 0, err
	}
	var closed []uuid.UUID
	for _, id := range over {
		if !open[id] {
			closed = append(closed, id)
			continue
		}
		t.exec(`UPDATE ringback.jobs SET content_until = $2 WHERE id = $1`, id, column.MS(now.Add(recheck)))
	}
	return len(over), t.dropContent(closed, now)
}

// lockIDs locks rows of jobs and returns their ids.
func (t *tx) lockIDs(condition, tail string, args ...any) (ids []uuid.UUID, err error) {
	err = t.query(func(rows pgx.Rows) error {
		var id [16]byte
		err := rows.Scan(&id)
		ids = append(ids, id)
		return err
	}, `SELECT t.id FROM ringback.jobs t WHERE `+condition+` `+tail, args...)
	return ids, err
}

// deliveriesOf joins jobs, as rangesOf names them, with their deliveries d; a
// condition may follow.
const deliveriesOf = `unnest($1::uuid[], $2::uuid[], $3::uuid[]) AS j(id, first, last)
	JOIN ringback.deliveries d ON d.id BETWEEN j.first AND j.last AND d.job = j.id`

func rangesOf(jobs []uuid.UUID) []any {
	ids, first, last := make([][16]byte, len(jobs)), make([][16]byte, len(jobs)), make([][16]byte, len(jobs))
	for i, id := range jobs {
		ids[i] = id
		first[i], last[i] = deliveryRange(id)
	}
	return []any{ids, first, last}
}

// dropContent deletes the content of jobs that have ended. What remains is the row for the
// 410: id, state, times, usage, idempotency key.
func (t *tx) dropContent(jobs []uuid.UUID, now time.Time) error {
	if len(jobs) == 0 {
		return nil
	}
	args := rangesOf(jobs)
	var dead, undelivered int
	err := t.row([]any{&dead, &undelivered}, `SELECT
		(SELECT count(*) FROM ringback.jobs t WHERE t.id = ANY ($1) AND `+isDeadJob+`),
		(SELECT count(*) FROM `+deliveriesOf+` WHERE d.status = 2 AND NOT d.gone)`, args...)
	if err != nil {
		return err
	}
	t.count(deadJobs, -dead)
	t.count(deadDeliveries, -undelivered)
	t.exec(`DELETE FROM ringback.bodies WHERE owner IN (SELECT d.id FROM `+deliveriesOf+`)`, args...)
	t.exec(`UPDATE ringback.tries SET response = '' WHERE delivery IN (SELECT d.id FROM `+deliveriesOf+`) AND response <> ''`, args...)
	t.exec(`UPDATE ringback.deliveries SET gone = true, url = '', host = '' WHERE id IN (SELECT d.id FROM `+deliveriesOf+`)`, args...)
	t.exec(`UPDATE ringback.attempts SET error = '' WHERE job = ANY ($1) AND error <> ''`, args[0])
	t.exec(`DELETE FROM ringback.bodies WHERE owner = ANY ($1)`, args[0])
	t.exec(`UPDATE ringback.jobs SET content_gone = true, row_until = $2, metadata = '{}', options = '{}', error = '' WHERE id = ANY ($1)`,
		args[0], column.MS(now.Add(t.store.retention.Rows)))
	for _, id := range jobs {
		delete(t.jobs, id)
	}
	clear(t.deliveries)
	return nil
}

// pruneRows deletes all that is left of jobs whose row's time is over.
func (t *tx) pruneRows(now time.Time, limit int) (int, error) {
	over, err := t.lockIDs(`t.content_gone AND t.row_until <= $1`, "ORDER BY t.row_until LIMIT $2 FOR UPDATE SKIP LOCKED", column.MS(now), limit)
	if err != nil || len(over) == 0 {
		return 0, err
	}
	args := rangesOf(over)
	t.exec(`DELETE FROM ringback.tries WHERE delivery IN (SELECT d.id FROM `+deliveriesOf+`)`, args...)
	t.exec(`DELETE FROM ringback.deliveries WHERE id IN (SELECT d.id FROM `+deliveriesOf+`)`, args...)
	t.exec(`DELETE FROM ringback.attempts WHERE job = ANY ($1)`, args[0])
	t.exec(`DELETE FROM ringback.jobs WHERE id = ANY ($1)`, args[0])
	for _, id := range over {
		delete(t.jobs, id)
	}
	clear(t.deliveries)
	return len(over), nil
}
