package sqlite

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/column"
	"github.com/ringback/ringback/internal/store/groupcommit"
)

// freePages is how many free pages a step of pruning returns to the file system: 4 MiB.
const freePages = 1024

// recheck is how long content whose time is over, but whose delivery is still
// pending, is left alone.
const recheck = time.Hour

// Prune implements store.Maintenance.
func (s *Store) Prune(ctx context.Context, now time.Time, limit int) (int, error) {
	op := groupcommit.Op{Name: "prune", Bytes: limit * rowBytes}
	return groupcommit.Commit(ctx, s.write, op, func(t *tx) (int, error) {
		content, err := s.dropContent(t, now, limit)
		if err != nil {
			return 0, err
		}
		rows, err := dropRows(t, now, limit-content)
		if err != nil {
			return 0, err
		}
		return content + rows, vacuum(t)
	})
}

// vacuum returns some free pages to the file system, including those that earlier steps
// left.
func vacuum(t *tx) error {
	var free int
	if err := t.row("PRAGMA freelist_count").Scan(&free); err != nil || free == 0 {
		return err
	}
	_, err := t.exec(fmt.Sprintf("PRAGMA incremental_vacuum(%d)", freePages))
	return err
}

// dropContent deletes request, answer and webhooks of jobs whose time is over.
func (s *Store) dropContent(t *tx, now time.Time, limit int) (int, error) {
	ids, err := selectIDs(t, `
		SELECT id FROM jobs WHERE `+column.IsEnded+` AND content_gone = 0 AND content_until <= ?
		ORDER BY content_until LIMIT ?`, column.MS(now), limit)
	if err != nil {
		return 0, err
	}
	for _, id := range ids {
		if err := s.dropUnused(t, id, now); err != nil {
			return 0, err
		}
	}
	return len(ids), nil
}

// dropUnused deletes the content of a job, unless one of its deliveries is still to be
// sent.
func (s *Store) dropUnused(t *tx, id uuid.UUID, now time.Time) error {
	from, to := deliveryRange(id)
	var open int
	err := t.row(`
		SELECT count(*) FROM deliveries
		WHERE id BETWEEN ? AND ? AND job = ? AND (`+column.IsDue+` OR in_flight = 1)`, from, to, id[:]).Scan(&open)
	if err != nil {
		return err
	}
	if open > 0 {
		_, err := t.exec(`UPDATE jobs SET content_until = ? WHERE id = ?`, column.MS(now.Add(recheck)), id[:])
		return err
	}
	return s.dropContentOf(t, id, now)
}

// dropContentOf deletes the content of a job that has ended. What remains is the row for
// the 410: id, state, times, usage, idempotency key.
func (s *Store) dropContentOf(t *tx, id uuid.UUID, now time.Time) error {
	if err := s.undead(t, id); err != nil {
		return err
	}
	from, to := deliveryRange(id)
	job := id[:]
	return execAll(t, []statement{
		{`DELETE FROM bodies WHERE owner IN (SELECT id FROM deliveries WHERE id BETWEEN ? AND ? AND job = ?)`, []any{from, to, job}},
		{`UPDATE tries SET response = '' WHERE delivery IN (SELECT id FROM deliveries WHERE id BETWEEN ? AND ? AND job = ?)`, []any{from, to, job}},
		{`UPDATE deliveries SET gone = 1, url = '', host = '' WHERE id BETWEEN ? AND ? AND job = ?`, []any{from, to, job}},
		{`UPDATE attempts SET error = '' WHERE job = ?`, []any{job}},
		{`DELETE FROM bodies WHERE owner = ?`, []any{job}},
		{`UPDATE jobs SET content_gone = 1, row_until = ?, metadata = '{}', options = '{}', error = '',
			usage = CASE WHEN octet_length(usage) <= ` + store.MostUsage + ` THEN usage ELSE '' END,
			answer_model = CASE WHEN octet_length(answer_model) <= ` + store.MostName + ` THEN answer_model ELSE '' END WHERE id = ?`, []any{column.MS(now.Add(s.retention.Rows)), job}},
	})
}

type statement struct {
	query string
	args  []any
}

func execAll(t *tx, statements []statement) error {
	for _, s := range statements {
		if _, err := t.exec(s.query, s.args...); err != nil {
			return err
		}
	}
	return nil
}

// dropRows deletes all that is left of jobs whose row's time is over.
func dropRows(t *tx, now time.Time, limit int) (int, error) {
	ids, err := selectIDs(t, `SELECT id FROM jobs WHERE content_gone = 1 AND row_until <= ? ORDER BY row_until LIMIT ?`, column.MS(now), limit)
	if err != nil {
		return 0, err
	}
	for _, id := range ids {
		from, to := deliveryRange(id)
		err := execAll(t, []statement{
			{`DELETE FROM tries WHERE delivery IN (SELECT id FROM deliveries WHERE id BETWEEN ? AND ? AND job = ?)`, []any{from, to, id[:]}},
			{`DELETE FROM deliveries WHERE id BETWEEN ? AND ? AND job = ?`, []any{from, to, id[:]}},
			{`DELETE FROM attempts WHERE job = ?`, []any{id[:]}},
			{`DELETE FROM jobs WHERE id = ?`, []any{id[:]}},
		})
		if err != nil {
			return 0, err
		}
	}
	return len(ids), nil
}
