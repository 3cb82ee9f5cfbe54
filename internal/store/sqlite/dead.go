package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/column"
)

// The conditions of the partial indexes jobs_dead and deliveries_dead.
const (
	isDeadJob      = `status = 3 AND content_gone = 0 AND replayed_by IS NULL`
	isDeadDelivery = `status = 2 AND gone = 0`
)

// countDead changes the counters of dead letters.
func (s *Store) countDead(t *tx, jobs, deliveries int) {
	if jobs == 0 && deliveries == 0 {
		return
	}
	w := s.waiting
	t.after(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.dead.Jobs += jobs
		w.dead.Deliveries += deliveries
	})
}

// undead subtracts a job and its deliveries, whose content is about to be deleted.
func (s *Store) undead(t *tx, id uuid.UUID) error {
	from, to := deliveryRange(id)
	var jobs, deliveries int
	err := errors.Join(
		t.row(`SELECT count(*) FROM jobs WHERE id = ? AND `+isDeadJob, id[:]).Scan(&jobs),
		t.row(`SELECT count(*) FROM deliveries WHERE id BETWEEN ? AND ? AND job = ? AND `+isDeadDelivery, from, to, id[:]).Scan(&deliveries))
	s.countDead(t, -jobs, -deliveries)
	return err
}

// countDead reads the counters of dead letters from the partial indexes.
func countDead(t *tx, w *waiting) error {
	return errors.Join(
		t.row(`SELECT count(*) FROM jobs WHERE `+isDeadJob).Scan(&w.dead.Jobs),
		t.row(`SELECT count(*) FROM deliveries WHERE `+isDeadDelivery).Scan(&w.dead.Deliveries))
}

// DeadLetters implements store.DeadReader.
func (s *Store) DeadLetters(context.Context) (store.DeadLetters, error) {
	s.waiting.mu.Lock()
	defer s.waiting.mu.Unlock()
	return s.waiting.dead, nil
}

// DeadJobs implements store.DeadReader.
func (s *Store) DeadJobs(ctx context.Context, q store.DeadQuery) (found []store.Job, next *uuid.UUID, err error) {
	next, err = s.eachDead(ctx, q, func(r *reader, where condition, limit int) (int, error) {
		rows, err := r.rows(`SELECT `+jobColumns+` FROM jobs WHERE `+where.text+` ORDER BY id DESC`, where.args...)
		if err != nil {
			return 0, err
		}
		defer rows.Close()
		n := 0
		for n < limit && rows.Next() {
			j, err := scanJob(rows)
			if err != nil {
				return n, err
			}
			if store.HasMetadata(j.Metadata, q.Filter.Metadata) {
				found = append(found, j)
				n++
			}
		}
		return n, rows.Err()
	})
	if err != nil {
		return nil, nil, fmt.Errorf("list dead jobs: %w", err)
	}
	if len(found) == q.Limit {
		next = &found[len(found)-1].ID
	}
	return found, next, nil
}

// DeadDeliveries implements store.DeadReader.
func (s *Store) DeadDeliveries(ctx context.Context, q store.DeadQuery) (found []store.Delivery, tries [][]ringback.Try, next *uuid.UUID, err error) {
	next, err = s.eachDead(ctx, q, func(r *reader, where condition, limit int) (int, error) {
		deliveries, err := selectDeliveries(r, `SELECT `+deliveryColumns+` FROM deliveries WHERE `+where.text+` ORDER BY id DESC LIMIT ?`, append(where.args, limit)...)
		if err != nil {
			return 0, err
		}
		for _, d := range deliveries {
			made, err := triesOf(r, d.ID)
			if err != nil {
				return 0, err
			}
			found, tries = append(found, d), append(tries, made)
		}
		return len(deliveries), nil
	})
	if err != nil {
		return nil, nil, nil, fmt.Errorf("list dead deliveries: %w", err)
	}
	if len(found) == q.Limit {
		next = &found[len(found)-1].ID
	}
	return found, tries, next, nil
}

// CountDead implements store.DeadReader.
func (s *Store) CountDead(ctx context.Context, q store.DeadQuery) (n int, err error) {
	q.Limit = 1 << 62
	for {
		next, err := s.eachDead(ctx, q, func(r *reader, where condition, _ int) (int, error) {
			found, err := countWindow(r, q, where)
			n += found
			return found, err
		})
		if err != nil {
			return 0, fmt.Errorf("count dead letters: %w", err)
		}
		if next == nil {
			return n, nil
		}
		q.Before = next
	}
}

func countWindow(r *reader, q store.DeadQuery, where condition) (n int, err error) {
	if len(q.Filter.Metadata) == 0 {
		err = r.row(`SELECT count(*) FROM `+deadTable(q)+` WHERE `+where.text, where.args...).Scan(&n)
		return n, err
	}
	rows, err := r.rows(`SELECT CASE WHEN octet_length(metadata) <= `+store.MostMetadata+` THEN metadata END FROM jobs WHERE `+where.text, where.args...)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for rows.Next() {
		var metadata []byte
		if err := rows.Scan(&metadata); err != nil {
			return n, err
		}
		if store.HasMetadata(metadata, q.Filter.Metadata) {
			n++
		}
	}
	return n, rows.Err()
}

// eachDead reads dead letters, newest first, in windows of so many rows, each in its own
// read transaction, until Limit are found, all have been read, or it has taken long. next
// is where to continue; nil if there are no more.
func (s *Store) eachDead(ctx context.Context, q store.DeadQuery, look func(r *reader, where condition, limit int) (int, error)) (next *uuid.UUID, err error) {
	return store.Windows(q.Before, q.Limit, func(before uuid.UUID, limit int) (found int, last *uuid.UUID, err error) {
		err = s.read(ctx, func(r *reader) error {
			bottom, more, err := bottomOf(r, deadTable(q)+` WHERE `+isDead(q)+` AND`, before)
			if err != nil {
				return err
			}
			if more {
				last = &bottom
			}
			found, err = look(r, deadBetween(q, bottom, before), limit)
			return err
		})
		return found, last, err
	})
}

// bottomOf returns the last id of the next window of a table, given as FROM and the
// beginning of WHERE; more reports whether there may be others after it.
func bottomOf(r *reader, from string, before uuid.UUID) (bottom uuid.UUID, more bool, err error) {
	var id []byte
	err = r.row(`SELECT id FROM `+from+` id < ? ORDER BY id DESC LIMIT 1 OFFSET ?`, before[:], window-1).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return uuid.Nil, false, nil
	}
	if err != nil {
		return uuid.Nil, false, err
	}
	return uuid.UUID(id), true, nil
}

// condition is a WHERE clause with its arguments.
type condition struct {
	text string
	args []any
}

func (c *condition) and(text string, args ...any) {
	c.text += " AND " + text
	c.args = append(c.args, args...)
}

// deadBetween selects the dead letters of a window that pass the filter, except for its
// metadata.
func deadBetween(q store.DeadQuery, bottom, before uuid.UUID) condition {
	c := condition{text: isDead(q)}
	c.and(`id >= ? AND id < ? AND project = ?`, bottom[:], before[:], q.Project)
	made := "created_at"
	f := q.Filter
	if f.Kind == ringback.DeadDelivery {
		made = "made_at"
		c.among("host", q.Hosts)
	} else {
		equal(&c, "requested_model", f.Model)
		equal(&c, "provider", f.Provider)
		equal(&c, "CASE WHEN json_valid(error_detail) THEN json_extract(error_detail, '$.code') END", string(f.Code))
	}
	for _, bound := range []struct {
		at   *ringback.Time
		text string
	}{
		{f.CreatedAfter, made + ` > ?`}, {f.CreatedBefore, made + ` < ?`}, {f.EndedAfter, `ended_at > ?`}, {f.EndedBefore, `ended_at < ?`},
	} {
		if bound.at != nil {
			c.and(bound.text, column.MS(bound.at.Time))
		}
	}
	return c
}

func equal(c *condition, name, value string) {
	if value != "" {
		c.and(name+` = ?`, value)
	}
}

// among selects the rows whose column has one of some values; nil: any value.
func (c *condition) among(name string, values []string) {
	if values == nil {
		return
	}
	args := make([]any, len(values))
	for i, v := range values {
		args[i] = v
	}
	c.and(name+` IN (?`+strings.Repeat(`, ?`, len(values)-1)+`)`, args...)
}

func deadTable(q store.DeadQuery) string {
	if q.Filter.Kind == ringback.DeadDelivery {
		return "deliveries"
	}
	return "jobs"
}

func isDead(q store.DeadQuery) string {
	if q.Filter.Kind == ringback.DeadDelivery {
		return isDeadDelivery
	}
	return isDeadJob
}
