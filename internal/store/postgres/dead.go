package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/column"
)

// The conditions of the partial indexes jobs_dead and deliveries_dead, on the table t.
const (
	isDeadJob      = `t.status = 3 AND NOT t.content_gone AND t.replayed_by IS NULL`
	isDeadDelivery = `t.status = 2 AND NOT t.gone`
)

// DeadJobs implements store.DeadReader.
func (s *Store) DeadJobs(ctx context.Context, q store.DeadQuery) (found []store.Job, next *uuid.UUID, err error) {
	next, err = s.eachDead(ctx, q, func(ctx context.Context, where condition, limit int) (n int, err error) {
		err = s.read(ctx, question{`SELECT ` + jobColumns + ` FROM ringback.jobs t WHERE ` + where.text + ` ORDER BY t.id DESC`, where.args, func(rows pgx.Rows) error {
			j, err := scanJob(rows)
			if err == nil && n < limit && store.HasMetadata(j.Metadata, q.Filter.Metadata) {
				found = append(found, j)
				n++
			}
			return err
		}})
		return n, err
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
	next, err = s.eachDead(ctx, q, func(ctx context.Context, where condition, limit int) (n int, err error) {
		where.args = append(where.args, limit)
		some, err := s.selectDeliveries(ctx,
			fmt.Sprintf(`SELECT %s FROM ringback.deliveries t WHERE %s ORDER BY t.id DESC LIMIT $%d`, deliveryColumns, where.text, len(where.args)), where.args...)
		if err != nil {
			return 0, err
		}
		made, err := s.triesOf(ctx, some)
		if err != nil {
			return 0, err
		}
		found, tries = append(found, some...), append(tries, made...)
		return len(some), nil
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
		next, err := s.eachDead(ctx, q, func(ctx context.Context, where condition, _ int) (int, error) {
			found, err := s.countWindow(ctx, q, where)
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

func (s *Store) countWindow(ctx context.Context, q store.DeadQuery, where condition) (n int, err error) {
	if len(q.Filter.Metadata) == 0 {
		err = s.read(ctx, question{`SELECT count(*) FROM ringback.` + deadTable(q) + ` t WHERE ` + where.text, where.args, func(rows pgx.Rows) error {
			return rows.Scan(&n)
		}})
		return n, err
	}
	err = s.read(ctx, question{`SELECT CASE WHEN octet_length(t.metadata) <= ` + store.MostMetadata + ` THEN t.metadata END FROM ringback.jobs t WHERE ` + where.text, where.args, func(rows pgx.Rows) error {
		var metadata []byte
		err := rows.Scan(&metadata)
		if store.HasMetadata(metadata, q.Filter.Metadata) {
			n++
		}
		return err
	}})
	return n, err
}

// eachDead reads dead letters, newest first, in windows of so many rows, until Limit are
// found, all have been read, or it has taken long. next is where to continue; nil if there
// are no more.
func (s *Store) eachDead(ctx context.Context, q store.DeadQuery, look func(ctx context.Context, where condition, limit int) (int, error)) (next *uuid.UUID, err error) {
	return store.Windows(q.Before, q.Limit, func(before uuid.UUID, limit int) (found int, last *uuid.UUID, err error) {
		bottom, more, err := s.bottomOf(ctx, deadTable(q)+` t WHERE `+isDead(q)+` AND`, before)
		if err != nil {
			return 0, nil, err
		}
		if more {
			last = &bottom
		}
		found, err = look(ctx, deadBetween(q, bottom, before), limit)
		return found, last, err
	})
}

// condition is a WHERE clause with its arguments.
type condition struct {
	text string
	args []any
}

// and adds a condition in which ? is the placeholder for the argument.
func (c *condition) and(text string, args ...any) {
	for _, arg := range args {
		c.args = append(c.args, arg)
		text = strings.Replace(text, "?", fmt.Sprintf("$%d", len(c.args)), 1)
	}
	if c.text != "" {
		text = " AND " + text
	}
	c.text += text
}

// deadBetween selects the dead letters of a window that pass the filter, except for its
// metadata.
func deadBetween(q store.DeadQuery, bottom, before uuid.UUID) condition {
	c := condition{text: isDead(q)}
	c.and(`t.id >= ? AND t.id < ? AND t.project = ?`, bottom, before, q.Project)
	made := "t.created_at"
	f := q.Filter
	if f.Kind == ringback.DeadDelivery {
		made = "t.made_at"
		c.among("t.host", q.Hosts)
	} else {
		c.equal("t.requested_model", f.Model)
		c.equal("t.provider", f.Provider)
		c.equal("t.error_code", string(f.Code))
	}
	for _, bound := range []struct {
		at   *ringback.Time
		text string
	}{
		{f.CreatedAfter, made + ` > ?`}, {f.CreatedBefore, made + ` < ?`}, {f.EndedAfter, `t.ended_at > ?`}, {f.EndedBefore, `t.ended_at < ?`},
	} {
		if bound.at != nil {
			c.and(bound.text, column.MS(bound.at.Time))
		}
	}
	return c
}

func (c *condition) equal(name, value string) {
	if value != "" {
		c.and(name+` = ?`, value)
	}
}

// among selects the rows whose column has one of some values; nil: any value.
func (c *condition) among(name string, values []string) {
	if values != nil {
		c.and(name+` = ANY (?)`, values)
	}
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

// DeadLetters implements store.DeadReader.
func (s *Store) DeadLetters(ctx context.Context) (store.DeadLetters, error) {
	counts := map[counter]int{}
	if err := s.read(ctx, askCounts(counts)); err != nil {
		return store.DeadLetters{}, fmt.Errorf("count dead letters: %w", err)
	}
	return store.DeadLetters{Jobs: counts[deadJobs], Deliveries: counts[deadDeliveries]}, nil
}
