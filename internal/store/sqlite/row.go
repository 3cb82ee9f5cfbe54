package sqlite

import (
	"database/sql"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/column"
)

// jobNames are the columns of a job.
const jobNames = `id, project, provider, protocol, model, requested_model, fallbacks, options, metadata,
	status, fence, node, cancel_requested,
	created_at, run_at, first_started_at, started_at, ended_at, first_refused_at, expires_at, end_by,
	failures, attempts, uncertain, answer_model, usage, duration_ms, error, error_detail,
	content_until, row_until, content_gone, idempotency_key, idempotency_hash,
	priority, replay_of, replayed_by`

// jobColumns are jobNames as they are read, without values that are too large. (The size is
// in the row's header, so it costs no read of the value.)
const jobColumns = `id, project, provider, protocol, model, requested_model,
	CASE WHEN octet_length(fallbacks) <= ` + store.MostText + ` THEN fallbacks END,
	CASE WHEN octet_length(options) <= ` + store.MostOptions + ` THEN options END,
	CASE WHEN octet_length(metadata) <= ` + store.MostMetadata + ` THEN metadata END,
	status, fence, node, cancel_requested,
	created_at, run_at, first_started_at, started_at, ended_at, first_refused_at, expires_at, end_by,
	failures, attempts, uncertain,
	CASE WHEN octet_length(answer_model) <= ` + store.MostName + ` THEN answer_model ELSE '' END,
	CASE WHEN octet_length(usage) <= ` + store.MostUsage + ` THEN usage END, duration_ms,
	CASE WHEN octet_length(error) <= ` + store.MostText + ` THEN error ELSE 'its error is too large to be shown' END,
	CASE WHEN octet_length(error_detail) <= ` + store.MostText + ` THEN error_detail END,
	content_until, row_until, content_gone,
	CASE WHEN octet_length(idempotency_key) <= ` + store.MostName + ` THEN idempotency_key END, idempotency_hash,
	priority, replay_of, replayed_by`

// scanJob reads a row of jobColumns; store.ErrNotFound if there is none.
func scanJob(row scanner) (store.Job, error) {
	var j store.Job
	var id, fallbacks, options, metadata, usage, detail, replayOf, replayedBy []byte
	var status int
	var created, run, firstStarted, started, ended, refused, expires, endBy, content, rowUntil int64
	var key sql.NullString
	err := row.Scan(&id, &j.Project, &j.Provider, &j.Protocol, &j.Model, &j.RequestedModel, &fallbacks, &options, &metadata,
		&status, &j.Fence, &j.Node, &j.CancelRequested,
		&created, &run, &firstStarted, &started, &ended, &refused, &expires, &endBy,
		&j.Failures, &j.Attempts, &j.Uncertain, &j.AnswerModel, &usage, &j.DurationMS, &j.Error, &detail,
		&content, &rowUntil, &j.ContentGone, &key, &j.IdempotencyHash,
		&j.Priority, &replayOf, &replayedBy)
	if errors.Is(err, sql.ErrNoRows) {
		return j, store.ErrNotFound
	}
	if err != nil {
		return j, fmt.Errorf("read a job: %w", err)
	}
	j.ID, j.ReplayOf, j.ReplayedBy = uuid.UUID(id), optionalID(replayOf), optionalID(replayedBy)
	j.Status = column.Status(status)
	j.IdempotencyKey = key.String
	j.CreatedAt, j.RunAt, j.FirstStartedAt, j.StartedAt = column.Time(created), column.Time(run), column.Time(firstStarted), column.Time(started)
	j.EndedAt, j.FirstRefusedAt, j.ExpiresAt, j.EndBy = column.Time(ended), column.Time(refused), column.Time(expires), column.Time(endBy)
	j.ContentUntil, j.RowUntil = column.Time(content), column.Time(rowUntil)
	store.Sized{Fallbacks: fallbacks, Options: options, Metadata: metadata, Usage: usage, Detail: detail}.Into(&j)
	return j, nil
}

// optionalID reads the id of another job; NULL is uuid.Nil, and so is an invalid id.
func optionalID(column []byte) uuid.UUID {
	id, _ := uuid.FromBytes(column)
	return id
}

// idColumn returns what optionalID reads.
func idColumn(id uuid.UUID) any {
	if id == uuid.Nil {
		return nil
	}
	return id[:]
}

// deliveryNames are the columns of a delivery, deliveryColumns the same as they are read.
const (
	deliveryNames = `id, job, project, host, url, event, status, fence, in_flight, manual,
	made_at, next_at, ended_at, tries, sent, blocked, last_status, reason, gone, node, form`
	deliveryColumns = `id, job, project, host,
	CASE WHEN octet_length(url) <= ` + store.MostText + ` THEN url ELSE '' END, event, status, fence, in_flight, manual,
	made_at, next_at, ended_at, tries, sent, blocked, last_status, reason, gone, node, form`
)

func scanDelivery(row scanner) (store.Delivery, error) {
	var d store.Delivery
	var id, job []byte
	var status int
	var made, next, ended int64
	err := row.Scan(&id, &job, &d.Project, &d.Host, &d.URL, &d.Event, &status, &d.Fence, &d.InFlight, &d.Manual,
		&made, &next, &ended, &d.Tries, &d.Sent, &d.Blocked, &d.LastStatusCode, &d.Reason, &d.Gone, &d.Node, &d.Form)
	if errors.Is(err, sql.ErrNoRows) {
		return d, store.ErrNotFound
	}
	if err != nil {
		return d, fmt.Errorf("read a delivery: %w", err)
	}
	d.ID, d.JobID, d.Status = uuid.UUID(id), uuid.UUID(job), column.DeliveryStatus(status)
	d.MadeAt, d.NextAt, d.EndedAt = column.Time(made), column.Time(next), column.Time(ended)
	return d, nil
}

// deliveryRange bounds the ids of a job's deliveries.
func deliveryRange(job uuid.UUID) (from, to []byte) {
	from = append(append(from, job[:8]...), 0, 0, 0, 0, 0, 0, 0, 0)
	to = append(append(to, job[:8]...), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
	return from, to
}
