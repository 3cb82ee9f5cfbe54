package postgres

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/column"
)

// Job implements store.JobReader.
func (s *Store) Job(ctx context.Context, project string, id uuid.UUID, parts store.Parts) (store.Job, store.Content, error) {
	var found []store.Job
	var c packed
	err := s.readContent(ctx, id, append([]question{askJob(id, &found)}, c.questions(id, parts)...)...)
	if err == nil && (len(found) == 0 || found[0].Project != project) {
		err = store.ErrNotFound
	}
	if err != nil {
		return store.Job{}, store.Content{}, fmt.Errorf("job %s: %w", id, err)
	}
	if found[0].ContentGone {
		return found[0], store.Content{}, fmt.Errorf("job %s: %w", id, store.ErrGone)
	}
	content, err := c.open(parts)
	if err != nil {
		return found[0], content, fmt.Errorf("job %s: %w", id, err)
	}
	return found[0], content, nil
}

func askJob(id uuid.UUID, found *[]store.Job) question {
	return askJobs(found, `t.id = $1`, id)
}

func askJobs(found *[]store.Job, condition string, args ...any) question {
	return question{`SELECT ` + jobColumns + ` FROM ringback.jobs t WHERE ` + condition, args, func(rows pgx.Rows) error {
		j, err := scanJob(rows)
		*found = append(*found, j)
		return err
	}}
}

// ByIdempotencyKey implements store.JobReader.
func (s *Store) ByIdempotencyKey(ctx context.Context, project, key string) (store.Job, error) {
	var found []store.Job
	err := s.read(ctx, askJobs(&found, `t.project = $1 AND t.idempotency_key = $2`, project, key))
	if err == nil && len(found) == 0 {
		err = store.ErrNotFound
	}
	if err != nil {
		return store.Job{}, fmt.Errorf("job of an idempotency key: %w", err)
	}
	return found[0], nil
}

// Content implements store.ContentReader.
func (s *Store) Content(ctx context.Context, id uuid.UUID, parts store.Parts) (store.Content, error) {
	var c packed
	if err := s.readContent(ctx, id, c.questions(id, parts)...); err != nil {
		return store.Content{}, fmt.Errorf("content of job %s: %w", id, err)
	}
	return c.open(parts)
}

// packed is content as it is stored: it is unpacked after the read.
type packed struct {
	bodies     map[store.Parts]store.Stored
	deliveries []store.Delivery
}

// partsOf maps parts of content to those in the table of bodies.
var partsOf = map[store.Parts]part{
	store.PartRequest: requestPart, store.PartAnswer: answerPart, store.PartPartial: partialPart,
	store.PartEvents: eventsPart, store.PartPayload: webhookPart,
}

// questions returns the queries for the parts of a job's content.
func (c *packed) questions(id uuid.UUID, parts store.Parts) (asked []question) {
	c.bodies = map[store.Parts]store.Stored{}
	asks := map[int16]store.Parts{}
	for ask, p := range partsOf {
		if parts&ask != 0 {
			asks[int16(p)] = ask
		}
	}
	if len(asks) > 0 {
		asked = append(asked, question{
			`SELECT part, zstd, octet_length(bytes), CASE WHEN octet_length(bytes) <= $3 THEN bytes END
				FROM ringback.bodies WHERE owner = $1 AND part = ANY ($2)`,
			[]any{id, slices.Collect(maps.Keys(asks)), parts.Limit()},
			func(rows pgx.Rows) error {
				var p int16
				var b store.Stored
				err := rows.Scan(&p, &b.Zstd, &b.Packed, &b.Bytes)
				c.bodies[asks[p]] = b
				return err
			},
		})
	}
	if parts&store.PartWebhook != 0 {
		asked = append(asked, askDeliveries(id, &c.deliveries))
	}
	return asked
}

// Blob implements store.ContentReader.
func (s *Store) Blob(ctx context.Context, owner uuid.UUID, part store.Parts) (store.Blob, error) {
	var c packed
	if err := s.readContent(ctx, owner, c.questions(owner, part)...); err != nil {
		return store.Blob{}, fmt.Errorf("content of %s: %w", owner, err)
	}
	return c.bodies[part].Blob, nil
}

func askDeliveries(job uuid.UUID, found *[]store.Delivery) question {
	from, to := deliveryRange(job)
	return question{
		`SELECT ` + deliveryColumns + ` FROM ringback.deliveries t WHERE t.id BETWEEN $1 AND $2 AND t.job = $3 ORDER BY t.made_at, t.id`,
		[]any{from, to, job},
		func(rows pgx.Rows) error {
			d, err := scanDelivery(rows)
			*found = append(*found, d.Delivery)
			return err
		},
	}
}

func (c *packed) open(parts store.Parts) (content store.Content, err error) {
	for part, body := range c.bodies {
		if err := content.Open(part, parts, body); err != nil {
			return content, err
		}
	}
	if n := len(c.deliveries); n > 0 {
		content.Webhook = &c.deliveries[n-1]
	}
	return content, nil
}

// Attempts implements store.JobReader.
func (s *Store) Attempts(ctx context.Context, project string, id uuid.UUID, after int64, limit int) (attempts []ringback.Attempt, err error) {
	var found []store.Job
	err = s.read(ctx, askJob(id, &found), question{
		`SELECT number, node, provider, model, started_at, first_token_at, ended_at, outcome, status_code,
			CASE WHEN octet_length(error) <= ` + store.MostText + ` THEN error ELSE 'its error is too large to be shown' END,
			CASE WHEN octet_length(usage) <= ` + store.MostUsage + ` THEN usage END,
			CASE WHEN octet_length(provider_request_id) <= ` + store.MostName + ` THEN provider_request_id ELSE '' END
			FROM ringback.attempts WHERE job = $1 AND number > $2 ORDER BY number LIMIT $3`,
		[]any{id, after, limit},
		func(rows pgx.Rows) error {
			a, err := scanAttempt(rows)
			attempts = append(attempts, a)
			return err
		},
	})
	if err == nil && (len(found) == 0 || found[0].Project != project) {
		err = store.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("attempts of job %s: %w", id, err)
	}
	if j := found[0]; j.Status == ringback.Running && j.Fence > after && len(attempts) < limit {
		attempts = append(attempts, ringback.Attempt{
			Number: j.Fence, Node: j.Node, Provider: j.Provider, Model: j.Model, StartedAt: ringback.Time{Time: j.StartedAt},
		})
	}
	return attempts, nil
}

func scanAttempt(row pgx.Row) (a ringback.Attempt, err error) {
	var started, first, ended int64
	var usage []byte
	err = row.Scan(&a.Number, &a.Node, &a.Provider, &a.Model, &started, &first, &ended,
		&a.Outcome, &a.StatusCode, &a.Error, &usage, &a.ProviderRequestID)
	a.StartedAt, a.FirstTokenAt, a.EndedAt = ringback.Time{Time: column.Time(started)}, ringback.Time{Time: column.Time(first)}, ringback.Time{Time: column.Time(ended)}
	a.Usage = store.UsageOf(usage)
	return a, err
}

// JobDeliveries implements store.DeliveryReader.
func (s *Store) JobDeliveries(ctx context.Context, project string, id uuid.UUID) (deliveries []store.Delivery, tries [][]ringback.Try, err error) {
	var found []store.Job
	made := map[uuid.UUID][]ringback.Try{}
	from, to := deliveryRange(id)
	err = s.read(ctx, askJob(id, &found), askDeliveries(id, &deliveries), askTries(made, `delivery BETWEEN $1 AND $2`, from, to))
	if err == nil && (len(found) == 0 || found[0].Project != project) {
		err = store.ErrNotFound
	}
	if err != nil {
		return nil, nil, fmt.Errorf("deliveries of job %s: %w", id, err)
	}
	return deliveries, triesFor(deliveries, made), nil
}

func askTries(made map[uuid.UUID][]ringback.Try, condition string, args ...any) question {
	return question{
		`SELECT delivery, number, at, trigger, status_code, duration_ms, error,
			CASE WHEN octet_length(response) <= ` + store.MostText + ` THEN response ELSE '' END, form FROM ringback.tries WHERE ` + condition + ` ORDER BY delivery, fence`,
		args,
		func(rows pgx.Rows) error {
			var id [16]byte
			var y ringback.Try
			var at int64
			err := rows.Scan(&id, &y.Number, &at, &y.Trigger, &y.StatusCode, &y.DurationMS, &y.Error, &y.Response, &y.WebhookBody)
			y.At = ringback.Time{Time: column.Time(at)}
			made[id] = append(made[id], y)
			return err
		},
	}
}

func triesFor(deliveries []store.Delivery, made map[uuid.UUID][]ringback.Try) [][]ringback.Try {
	tries := make([][]ringback.Try, len(deliveries))
	for i, d := range deliveries {
		tries[i] = made[d.ID]
	}
	return tries
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
	are := make(map[uuid.UUID]bool, len(ids))
	err = s.read(ctx, question{`SELECT id FROM ringback.jobs WHERE id = ANY ($1) AND status <= $2`, []any{rawIDs(ids), status}, func(rows pgx.Rows) error {
		var id [16]byte
		err := rows.Scan(&id)
		are[id] = true
		return err
	}})
	if err != nil {
		return nil, fmt.Errorf("which jobs have moved: %w", err)
	}
	for _, id := range ids {
		if !are[id] {
			past = append(past, id)
		}
	}
	return past, nil
}

// Redeliveries implements store.Backlog.
func (s *Store) Redeliveries(ctx context.Context, now time.Time, limit int) (due []store.DueRedelivery, err error) {
	err = s.read(ctx, question{
		`SELECT DISTINCT ON (project, host) id, project, host, due_at FROM (
			SELECT id, project, host, due_at FROM ringback.deliveries
			WHERE manual AND ` + column.IsDue + ` AND due_at <= $1 ORDER BY due_at DESC LIMIT $2) t
			ORDER BY project, host, due_at DESC`,
		[]any{column.MS(now), limit},
		func(rows pgx.Rows) error {
			var r store.DueRedelivery
			var id [16]byte
			var at int64
			err := rows.Scan(&id, &r.Host.Project, &r.Host.Host, &at)
			r.ID, r.At = id, column.Time(at)
			due = append(due, r)
			return err
		},
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
	var zstd *bool // nil if the content has been deleted
	found := false
	err = s.readContent(ctx, id, question{
		`SELECT CASE WHEN octet_length(j.options) <= ` + store.MostOptions + ` THEN j.options END, d.host, b.zstd, coalesce(octet_length(b.bytes), 0),
			CASE WHEN octet_length(b.bytes) <= $3 THEN b.bytes END, (SELECT coalesce(max(number), 0) FROM ringback.attempts a WHERE a.job = d.job)
			FROM ringback.deliveries d JOIN ringback.jobs j ON j.id = d.job
				LEFT JOIN ringback.bodies b ON b.owner = d.id AND b.part = $2
			WHERE d.id = $1`,
		[]any{id, int(webhookPart), store.LeaveLarge.Limit()},
		func(rows pgx.Rows) error {
			found = true
			return rows.Scan(&options, &host, &zstd, &body.Packed, &body.Bytes, &p.Attempt)
		},
	})
	switch {
	case err != nil:
	case !found:
		err = store.ErrNotFound
	case zstd == nil:
		err = store.ErrGone
	default:
		p.Address(options, host)
	}
	if err == nil {
		body.Zstd = *zstd
		err = p.Open(body)
	}
	if err != nil {
		return p, fmt.Errorf("payload of delivery %s: %w", id, err)
	}
	return p, nil
}
