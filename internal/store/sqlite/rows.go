package sqlite

import (
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/column"
)

func insertJob(t *tx, j *store.Job) error {
	var key any
	if j.IdempotencyKey != "" {
		key = j.IdempotencyKey
	}
	_, err := t.exec(`INSERT INTO jobs (`+jobNames+`)
		VALUES (?,?,?,?,?,?,?,?,?, ?,?,?,?, ?,?,?,?,?,?,?,?, ?,?,?,?,?,?,?,?, ?,?,?,?,?, ?,?,?)`,
		j.ID[:], j.Project, j.Provider, j.Protocol, j.Model, j.RequestedModel, column.Models(j.Fallbacks), column.JSON(j.Options), string(j.Metadata),
		column.Statuses[j.Status], j.Fence, j.Node, j.CancelRequested,
		column.MS(j.CreatedAt), column.MS(j.RunAt), column.MS(j.FirstStartedAt), column.MS(j.StartedAt), column.MS(j.EndedAt), column.MS(j.FirstRefusedAt), column.MS(j.ExpiresAt), column.MS(j.EndBy),
		j.Failures, j.Attempts, j.Uncertain, j.AnswerModel, string(j.Usage), j.DurationMS, j.Error, column.Detail(j.ErrorDetail),
		column.MS(j.ContentUntil), column.MS(j.RowUntil), j.ContentGone, key, j.IdempotencyHash,
		j.Priority, idColumn(j.ReplayOf), idColumn(j.ReplayedBy))
	if err != nil {
		return fmt.Errorf("insert job: %w", err)
	}
	return nil
}

// updateJob writes a move's changes.
func (s *Store) updateJob(t *tx, j *store.Job) error {
	s.forgetJob(t, j.ID)
	_, err := t.exec(`
		UPDATE jobs SET
			provider = ?, model = ?, fallbacks = ?, status = ?, fence = ?, node = ?, cancel_requested = ?,
			run_at = ?, ended_at = ?, first_refused_at = ?, end_by = ?,
			failures = ?, attempts = ?, uncertain = ?, answer_model = ?, usage = ?, duration_ms = ?,
			error = ?, error_detail = ?, content_until = ?
		WHERE id = ?`,
		j.Provider, j.Model, column.Models(j.Fallbacks), column.Statuses[j.Status], j.Fence, j.Node, j.CancelRequested,
		column.MS(j.RunAt), column.MS(j.EndedAt), column.MS(j.FirstRefusedAt), column.MS(j.EndBy),
		j.Failures, j.Attempts, j.Uncertain, j.AnswerModel, string(j.Usage), j.DurationMS,
		j.Error, column.Detail(j.ErrorDetail), column.MS(j.ContentUntil),
		j.ID[:])
	if err != nil {
		return fmt.Errorf("update job: %w", err)
	}
	if j.Unreadable != "" && j.Status.Terminal() {
		return shrink(t, j.ID)
	}
	return nil
}

// shrink removes values that are too large to be read from the row of a job that has ended.
// Otherwise each search that passes the row would read them: the table is its own index.
func shrink(t *tx, id uuid.UUID) error {
	_, err := t.exec(`
		UPDATE jobs SET
			options = CASE WHEN octet_length(options) <= `+store.MostOptions+` THEN options ELSE '`+store.NoOptions+`' END,
			metadata = CASE WHEN octet_length(metadata) <= `+store.MostMetadata+` THEN metadata ELSE '' END
		WHERE id = ?`, id[:])
	if err != nil {
		return fmt.Errorf("shrink the row of a job: %w", err)
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

// selectIDs collects the ids that a query returns, so that rows can be written without an
// open cursor on the table.
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

func insertTry(t *tx, claim store.Ref, y ringback.Try) error {
	_, err := t.exec(`
		INSERT INTO tries (delivery, fence, number, at, trigger, status_code, duration_ms, error, response, form)
		VALUES (?,?,?,?,?,?,?,?,?,?)`,
		claim.ID[:], claim.Fence, y.Number, column.MS(y.At.Time), y.Trigger, y.StatusCode, y.DurationMS, y.Error, y.Response, string(y.WebhookBody))
	if err != nil {
		return fmt.Errorf("write a try: %w", err)
	}
	return nil
}

// updateDelivery writes a delivery that is no longer in flight. A pending one is due again
// at the given time.
func (s *Store) updateDelivery(t *tx, d *store.Delivery, due time.Time) error {
	s.forgetDelivery(t, d.ID)
	var dueAt any
	if d.Status == ringback.DeliveryPending || d.Manual {
		dueAt = column.MS(due)
		s.deliveryWaits(t, d.Key(), due)
	}
	_, err := t.exec(`
		UPDATE deliveries SET status = ?, fence = ?, in_flight = ?, node = ?, manual = ?, due_at = ?, next_at = ?, ended_at = ?,
			tries = ?, sent = ?, blocked = ?, last_status = ?, reason = ?, form = ?
		WHERE id = ?`,
		column.DeliveryStatuses[d.Status], d.Fence, d.InFlight, d.Node, d.Manual, dueAt, column.MS(d.NextAt), column.MS(d.EndedAt),
		d.Tries, d.Sent, d.Blocked, d.LastStatusCode, string(d.Reason), string(d.Form), d.ID[:])
	if err != nil {
		return fmt.Errorf("update delivery: %w", err)
	}
	return nil
}

func selectDelivery(t *tx, id uuid.UUID) (store.Delivery, error) {
	return scanDelivery(t.row(`SELECT `+deliveryColumns+` FROM deliveries WHERE id = ?`, id[:]))
}

// insertAttempt writes the ledger's row of the running attempt.
func insertAttempt(t *tx, j *store.Job, o store.Outcome) error {
	a := o.Attempt
	_, err := t.exec(`
		INSERT INTO attempts (job, number, node, provider, model, started_at, first_token_at, ended_at,
			outcome, status_code, error, usage, provider_request_id)
		VALUES (?,?,?,?,?,?,?,?, ?,?,?,?,?)`,
		j.ID[:], j.Fence, j.Node, j.Provider, j.Model, column.MS(j.StartedAt), column.MS(a.FirstTokenAt.Time), column.MS(o.At),
		string(a.Outcome), a.StatusCode, a.Error, string(a.Usage), a.ProviderRequestID)
	if err != nil {
		return fmt.Errorf("write the ledger: %w", err)
	}
	return nil
}

func (s *Store) insertDelivery(t *tx, j *store.Job, d *store.NewDelivery) error {
	inFlight := d.Node != ""
	var due any
	fence := int64(1)
	if !inFlight {
		due, fence = column.MS(d.MadeAt), 0
	}
	_, err := t.exec(`
		INSERT INTO deliveries (`+deliveryNames+`, due_at)
		VALUES (?,?,?,?,?,?, 0,?,?,0, ?,?,0,0,0,0,0, '',0,?,?, ?)`,
		d.ID[:], j.ID[:], j.Project, d.Host, d.URL, string(d.Event), fence, inFlight, column.MS(d.MadeAt), column.MS(d.MadeAt), d.Node, string(d.Form), due)
	if err != nil {
		return fmt.Errorf("insert delivery: %w", err)
	}
	if err := putBody(t, d.ID, webhookPart, d.Body); err != nil {
		return err
	}
	if !inFlight {
		s.deliveryWaits(t, store.Host{Project: j.Project, Host: d.Host}, d.MadeAt)
		return nil
	}
	s.cacheInFlight(t, store.Delivery{
		ID: d.ID, JobID: j.ID, Project: j.Project, Host: d.Host, URL: d.URL, Event: d.Event,
		Status: ringback.DeliveryPending, Fence: fence, InFlight: true, Node: d.Node, MadeAt: d.MadeAt, NextAt: d.MadeAt, Form: d.Form,
	})
	return nil
}
