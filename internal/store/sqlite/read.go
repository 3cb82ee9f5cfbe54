package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/column"
)

// Job implements store.JobReader.
func (s *Store) Job(ctx context.Context, project string, id uuid.UUID, parts store.Parts) (j store.Job, c store.Content, err error) {
	var bodies packed
	err = s.read(ctx, func(q *reader) error {
		var err error
		if j, err = jobOf(q, project, id); err != nil {
			return err
		}
		if j.ContentGone {
			return store.ErrGone
		}
		bodies, err = readBodies(q, id, parts)
		return err
	})
	if err == nil {
		c, err = bodies.open(parts)
	}
	if err != nil {
		return j, store.Content{}, fmt.Errorf("job %s: %w", id, err)
	}
	return j, c, nil
}

// ByIdempotencyKey implements store.JobReader.
func (s *Store) ByIdempotencyKey(ctx context.Context, project, key string) (j store.Job, err error) {
	err = s.read(ctx, func(q *reader) (err error) {
		j, err = scanJob(q.row(selectByIdempotencyKey, project, key))
		return err
	})
	if err != nil {
		return j, fmt.Errorf("job of an idempotency key: %w", err)
	}
	return j, nil
}

// Content implements store.ContentReader.
func (s *Store) Content(ctx context.Context, id uuid.UUID, parts store.Parts) (store.Content, error) {
	var bodies packed
	err := s.read(ctx, func(q *reader) (err error) {
		bodies, err = readBodies(q, id, parts)
		return err
	})
	if err != nil {
		return store.Content{}, fmt.Errorf("content of job %s: %w", id, err)
	}
	return bodies.open(parts)
}

func jobOf(q *reader, project string, id uuid.UUID) (store.Job, error) {
	j, err := scanJob(q.row(`SELECT `+jobColumns+` FROM jobs WHERE id = ?`, id[:]))
	if err == nil && j.Project != project {
		err = store.ErrNotFound
	}
	return j, err
}

// packed is content as it is stored: it is unpacked after the read transaction.
type packed struct {
	bodies  map[store.Parts]store.Stored
	webhook *store.Delivery
}

func readBodies(q *reader, id uuid.UUID, parts store.Parts) (b packed, err error) {
	b.bodies = make(map[store.Parts]store.Stored, len(partOf))
	for ask, part := range partOf {
		if parts&ask == 0 {
			continue
		}
		if b.bodies[ask], err = readBody(q, id, part, parts.Limit()); err != nil {
			return b, err
		}
	}
	if parts&store.PartWebhook != 0 {
		b.webhook, err = lastDelivery(q, id)
	}
	return b, err
}

func (b packed) open(parts store.Parts) (c store.Content, err error) {
	for part, body := range b.bodies {
		if err := c.Open(part, parts, body); err != nil {
			return c, err
		}
	}
	c.Webhook = b.webhook
	return c, nil
}

// Blob implements store.ContentReader.
func (s *Store) Blob(ctx context.Context, owner uuid.UUID, part store.Parts) (store.Blob, error) {
	var body store.Stored
	err := s.read(ctx, func(q *reader) (err error) {
		body, err = readBody(q, owner, partOf[part], part.Limit())
		return err
	})
	if err != nil {
		return store.Blob{}, fmt.Errorf("content of %s: %w", owner, err)
	}
	return body.Blob, nil
}

func lastDelivery(q *reader, job uuid.UUID) (*store.Delivery, error) {
	deliveries, err := deliveriesOf(q, job)
	if err != nil || len(deliveries) == 0 {
		return nil, err
	}
	return &deliveries[len(deliveries)-1], nil
}

func deliveriesOf(q *reader, job uuid.UUID) ([]store.Delivery, error) {
	from, to := deliveryRange(job)
	return selectDeliveries(q, `SELECT `+deliveryColumns+` FROM deliveries WHERE id BETWEEN ? AND ? AND job = ? ORDER BY made_at, id`, from, to, job[:])
}

// selectDeliveries collects the rows of a query over deliveryColumns.
func selectDeliveries(q *reader, query string, args ...any) ([]store.Delivery, error) {
	rows, err := q.rows(query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var deliveries []store.Delivery
	for rows.Next() {
		d, err := scanDelivery(rows)
		if err != nil {
			return nil, err
		}
		deliveries = append(deliveries, d)
	}
	return deliveries, rows.Err()
}

// Attempts implements store.JobReader.
func (s *Store) Attempts(ctx context.Context, project string, id uuid.UUID, after int64, limit int) (attempts []ringback.Attempt, err error) {
	err = s.read(ctx, func(q *reader) error {
		j, err := jobOf(q, project, id)
		if err != nil {
			return err
		}
		if attempts, err = readLedger(q, &j, after, limit); err != nil {
			return err
		}
		if j.Status == ringback.Running && j.Fence > after && len(attempts) < limit {
			attempts = append(attempts, ringback.Attempt{
				Number: j.Fence, Node: j.Node, Provider: j.Provider, Model: j.Model, StartedAt: ringback.Time{Time: j.StartedAt},
			})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("attempts of job %s: %w", id, err)
	}
	return attempts, nil
}

// attemptColumns and tryColumns leave out values that are too large.
const (
	attemptColumns = `number, node, provider, model, started_at, first_token_at, ended_at, outcome, status_code,
	CASE WHEN octet_length(error) <= ` + store.MostText + ` THEN error ELSE 'its error is too large to be shown' END,
	CASE WHEN octet_length(usage) <= ` + store.MostUsage + ` THEN usage END,
	CASE WHEN octet_length(provider_request_id) <= ` + store.MostName + ` THEN provider_request_id ELSE '' END`
	tryColumns = `number, at, trigger, status_code, duration_ms, error,
	CASE WHEN octet_length(response) <= ` + store.MostText + ` THEN response ELSE '' END, form`
)

func readLedger(q *reader, j *store.Job, after int64, limit int) ([]ringback.Attempt, error) {
	rows, err := q.rows(`
		SELECT `+attemptColumns+` FROM attempts WHERE job = ? AND number > ? ORDER BY number LIMIT ?`, j.ID[:], after, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var attempts []ringback.Attempt
	for rows.Next() {
		var a ringback.Attempt
		var started, first, ended int64
		var usage []byte
		err := rows.Scan(&a.Number, &a.Node, &a.Provider, &a.Model, &started, &first, &ended,
			&a.Outcome, &a.StatusCode, &a.Error, &usage, &a.ProviderRequestID)
		if err != nil {
			return nil, err
		}
		a.StartedAt, a.FirstTokenAt, a.EndedAt = ringback.Time{Time: column.Time(started)}, ringback.Time{Time: column.Time(first)}, ringback.Time{Time: column.Time(ended)}
		a.Usage = store.UsageOf(usage)
		attempts = append(attempts, a)
	}
	return attempts, rows.Err()
}

// Ended implements store.JobReader.
func (s *Store) Ended(ctx context.Context, ids []uuid.UUID) ([]uuid.UUID, error) {
	return s.past(ctx, ids, column.Statuses[ringback.Running])
}

// Begun implements store.JobReader.
func (s *Store) Begun(ctx context.Context, ids []uuid.UUID) ([]uuid.UUID, error) {
	return s.past(ctx, ids, column.Statuses[ringback.Queued])
}

// past returns the jobs that are past a status.
func (s *Store) past(ctx context.Context, ids []uuid.UUID, status int) (past []uuid.UUID, err error) {
	err = s.read(ctx, func(q *reader) error {
		for _, id := range ids {
			var isNot bool
			if err := q.row(`SELECT EXISTS (SELECT 1 FROM jobs WHERE id = ? AND status <= ?)`, id[:], status).Scan(&isNot); err != nil {
				return err
			}
			if !isNot {
				past = append(past, id)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("which jobs have moved: %w", err)
	}
	return past, nil
}

// JobDeliveries implements store.DeliveryReader.
func (s *Store) JobDeliveries(ctx context.Context, project string, id uuid.UUID) (deliveries []store.Delivery, tries [][]ringback.Try, err error) {
	err = s.read(ctx, func(q *reader) error {
		if _, err := jobOf(q, project, id); err != nil {
			return err
		}
		var err error
		if deliveries, err = deliveriesOf(q, id); err != nil {
			return err
		}
		tries = make([][]ringback.Try, len(deliveries))
		for i := range deliveries {
			if tries[i], err = triesOf(q, deliveries[i].ID); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("deliveries of job %s: %w", id, err)
	}
	return deliveries, tries, nil
}

func triesOf(q *reader, delivery uuid.UUID) ([]ringback.Try, error) {
	rows, err := q.rows(`
		SELECT `+tryColumns+` FROM tries WHERE delivery = ? ORDER BY fence`, delivery[:])
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var tries []ringback.Try
	for rows.Next() {
		var y ringback.Try
		var at int64
		if err := rows.Scan(&y.Number, &at, &y.Trigger, &y.StatusCode, &y.DurationMS, &y.Error, &y.Response, &y.WebhookBody); err != nil {
			return nil, err
		}
		y.At = ringback.Time{Time: column.Time(at)}
		tries = append(tries, y)
	}
	return tries, rows.Err()
}

// Redeliveries implements store.Backlog.
func (s *Store) Redeliveries(ctx context.Context, now time.Time, limit int) (due []store.DueRedelivery, err error) {
	err = s.read(ctx, func(q *reader) error {
		return q.each(func(row scanner) error {
			var r store.DueRedelivery
			var id []byte
			var at int64
			err := row.Scan(&id, &r.Host.Project, &r.Host.Host, &at)
			if err == nil {
				r.ID, r.At = uuid.UUID(id), column.Time(at)
				due = append(due, r)
			}
			return err
		}, `
			SELECT id, project, host, max(due_at) FROM (
				SELECT id, project, host, due_at FROM deliveries
				WHERE manual = 1 AND `+column.IsDue+` AND due_at <= ? ORDER BY due_at DESC LIMIT ?)
			GROUP BY project, host`, // SQLite takes the other columns from the row with the maximum
			column.MS(now), limit)
	})
	if err != nil {
		return nil, fmt.Errorf("redeliveries that are due: %w", err)
	}
	return due, nil
}

// Payload implements store.ContentReader.
func (s *Store) Payload(ctx context.Context, id uuid.UUID) (p store.Payload, err error) {
	var body store.Stored
	var options []byte
	var host string
	var zstd sql.NullBool // NULL if the content has been deleted
	err = s.read(ctx, func(q *reader) error {
		err := q.row(`
			SELECT CASE WHEN octet_length(jobs.options) <= `+store.MostOptions+` THEN jobs.options END, deliveries.host, bodies.zstd, coalesce(length(bodies.bytes), 0),
				CASE WHEN length(bodies.bytes) <= ?3 THEN bodies.bytes END,
				(SELECT coalesce(max(number), 0) FROM attempts WHERE attempts.job = deliveries.job)
			FROM deliveries JOIN jobs ON jobs.id = deliveries.job
				LEFT JOIN bodies ON bodies.owner = deliveries.id AND bodies.part = ?1
			WHERE deliveries.id = ?2`, int(webhookPart), id[:], store.LeaveLarge.Limit()).
			Scan(&options, &host, &zstd, &body.Packed, (*ownBytes)(&body.Bytes), &p.Attempt)
		if errors.Is(err, sql.ErrNoRows) {
			return store.ErrNotFound
		}
		if err != nil {
			return err
		}
		return readFurther(q, id, webhookPart, store.LeaveLarge.Limit(), &body)
	})
	body.Zstd = zstd.Bool
	if err == nil && !zstd.Valid {
		err = store.ErrGone
	}
	if err == nil {
		p.Address(options, host)
	}
	if err == nil {
		err = p.Open(body)
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		return p, fmt.Errorf("payload of delivery %s: %w", id, err)
	}
	return p, err
}
