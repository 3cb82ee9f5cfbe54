package sqlite

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
)

// The numbers that stand for states in the tables.
var (
	statusNumbers   = map[ringback.Status]int{ringback.Queued: 0, ringback.Running: 1, ringback.Completed: 2, ringback.Failed: 3, ringback.Cancelled: 4, ringback.Expired: 5}
	deliveryNumbers = map[ringback.DeliveryStatus]int{ringback.DeliveryPending: 0, ringback.DeliveryDelivered: 1, ringback.DeliveryDead: 2}
)

var deliveryStatuses = []ringback.DeliveryStatus{ringback.DeliveryPending, ringback.DeliveryDelivered, ringback.DeliveryDead}

// ms is a time as the tables hold it; 0 for the zero time.
func ms(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMS(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMilli(n).UTC()
}

const jobColumns = `id, project, provider, protocol, model, requested_model, fallbacks, options, metadata,
	status, fence, node, cancel_requested,
	created_at, run_at, first_started_at, started_at, ended_at, first_refused_at, expires_at, end_by,
	failures, attempts, uncertain, answer_model, usage, duration_ms, error, error_detail,
	content_until, row_until, content_gone, idempotency_key, idempotency_hash,
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
	j.Status = ringback.Statuses[status]
	j.Metadata = metadata
	j.IdempotencyKey = key.String
	j.CreatedAt, j.RunAt, j.FirstStartedAt, j.StartedAt = fromMS(created), fromMS(run), fromMS(firstStarted), fromMS(started)
	j.EndedAt, j.FirstRefusedAt, j.ExpiresAt, j.EndBy = fromMS(ended), fromMS(refused), fromMS(expires), fromMS(endBy)
	j.ContentUntil, j.RowUntil = fromMS(content), fromMS(rowUntil)
	if len(usage) > 0 {
		j.Usage = usage
	}
	return j, errors.Join(unmarshal(fallbacks, &j.Fallbacks), unmarshal(options, &j.Options), unmarshal(detail, &j.ErrorDetail))
}

// optionalID reads the id of another job; NULL is uuid.Nil.
func optionalID(column []byte) uuid.UUID {
	if column == nil {
		return uuid.Nil
	}
	return uuid.UUID(column)
}

// idColumn is what optionalID reads.
func idColumn(id uuid.UUID) any {
	if id == uuid.Nil {
		return nil
	}
	return id[:]
}

// unmarshal reads a JSON column; an empty one leaves v as it is.
func unmarshal(column []byte, v any) error {
	if len(column) == 0 {
		return nil
	}
	return json.Unmarshal(column, v)
}

// marshal writes a JSON column of a type that cannot fail.
func marshal(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("sqlite: marshal %T: %v", v, err))
	}
	return string(b)
}

func detailColumn(d *ringback.ErrorDetail) string {
	if d == nil {
		return ""
	}
	return marshal(d)
}

// fallbackColumn keeps the common case short.
func fallbackColumn(models []string) string {
	if len(models) == 0 {
		return ""
	}
	return marshal(models)
}

func insertJob(t *tx, j *store.Job) error {
	var key any
	if j.IdempotencyKey != "" {
		key = j.IdempotencyKey
	}
	_, err := t.exec(`INSERT INTO jobs (`+jobColumns+`)
		VALUES (?,?,?,?,?,?,?,?,?, ?,?,?,?, ?,?,?,?,?,?,?,?, ?,?,?,?,?,?,?,?, ?,?,?,?,?, ?,?,?)`,
		j.ID[:], j.Project, j.Provider, j.Protocol, j.Model, j.RequestedModel, fallbackColumn(j.Fallbacks), marshal(j.Options), string(j.Metadata),
		statusNumbers[j.Status], j.Fence, j.Node, j.CancelRequested,
		ms(j.CreatedAt), ms(j.RunAt), ms(j.FirstStartedAt), ms(j.StartedAt), ms(j.EndedAt), ms(j.FirstRefusedAt), ms(j.ExpiresAt), ms(j.EndBy),
		j.Failures, j.Attempts, j.Uncertain, j.AnswerModel, string(j.Usage), j.DurationMS, j.Error, detailColumn(j.ErrorDetail),
		ms(j.ContentUntil), ms(j.RowUntil), j.ContentGone, key, j.IdempotencyHash,
		j.Priority, idColumn(j.ReplayOf), idColumn(j.ReplayedBy))
	if err != nil {
		return fmt.Errorf("insert job: %w", err)
	}
	return nil
}

// updateJob writes what the moves change.
func (s *Store) updateJob(t *tx, j *store.Job) error {
	s.forgetJob(t, j.ID)
	_, err := t.exec(`
		UPDATE jobs SET
			provider = ?, model = ?, fallbacks = ?, status = ?, fence = ?, node = ?, cancel_requested = ?,
			run_at = ?, ended_at = ?, first_refused_at = ?, end_by = ?,
			failures = ?, attempts = ?, uncertain = ?, answer_model = ?, usage = ?, duration_ms = ?,
			error = ?, error_detail = ?, content_until = ?
		WHERE id = ?`,
		j.Provider, j.Model, fallbackColumn(j.Fallbacks), statusNumbers[j.Status], j.Fence, j.Node, j.CancelRequested,
		ms(j.RunAt), ms(j.EndedAt), ms(j.FirstRefusedAt), ms(j.EndBy),
		j.Failures, j.Attempts, j.Uncertain, j.AnswerModel, string(j.Usage), j.DurationMS,
		j.Error, detailColumn(j.ErrorDetail), ms(j.ContentUntil),
		j.ID[:])
	if err != nil {
		return fmt.Errorf("update job: %w", err)
	}
	return nil
}

func selectJob(t *tx, id uuid.UUID) (store.Job, error) {
	return scanJob(t.row(`SELECT `+jobColumns+` FROM jobs WHERE id = ?`, id[:]))
}

// selectJobs collects the rows of a query over jobColumns.
func selectJobs(t *tx, query string, args ...any) ([]store.Job, error) {
	rows, err := t.query(query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var jobs []store.Job
	for rows.Next() {
		j, err := scanJob(rows)
		if err != nil {
			return nil, err
		}
		jobs = append(jobs, j)
	}
	return jobs, rows.Err()
}

// selectIDs collects the ids that a query gives, so that rows can be written
// while no cursor stands on the table.
func selectIDs(t *tx, query string, args ...any) ([]uuid.UUID, error) {
	rows, err := t.query(query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var ids []uuid.UUID
	for rows.Next() {
		var id []byte
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, uuid.UUID(id))
	}
	return ids, rows.Err()
}

const deliveryColumns = `id, job, project, host, url, event, status, fence, in_flight, manual,
	made_at, next_at, ended_at, tries, sent, blocked, last_status, reason, gone, node`

func scanDelivery(row scanner) (store.Delivery, error) {
	var d store.Delivery
	var id, job []byte
	var status int
	var made, next, ended int64
	err := row.Scan(&id, &job, &d.Project, &d.Host, &d.URL, &d.Event, &status, &d.Fence, &d.InFlight, &d.Manual,
		&made, &next, &ended, &d.Tries, &d.Sent, &d.Blocked, &d.LastStatusCode, &d.Reason, &d.Gone, &d.Node)
	if errors.Is(err, sql.ErrNoRows) {
		return d, store.ErrNotFound
	}
	if err != nil {
		return d, fmt.Errorf("read a delivery: %w", err)
	}
	d.ID, d.JobID, d.Status = uuid.UUID(id), uuid.UUID(job), deliveryStatuses[status]
	d.MadeAt, d.NextAt, d.EndedAt = fromMS(made), fromMS(next), fromMS(ended)
	return d, nil
}

// deliveryRange bounds the ids of a job's deliveries.
func deliveryRange(job uuid.UUID) (from, to []byte) {
	from = append(append(from, job[:8]...), 0, 0, 0, 0, 0, 0, 0, 0)
	to = append(append(to, job[:8]...), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
	return from, to
}
