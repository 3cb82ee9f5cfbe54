package reading

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/refusal"
	"github.com/ringback/ringback/internal/store"
)

// Exists returns nil if there is a job with content; its errors are those of OpenJob.
func (r *Reader) Exists(ctx context.Context, project, id string) error {
	job, err := refusal.JobID(id)
	if err != nil {
		return err
	}
	j, _, err := r.store.Job(ctx, project, job, 0)
	if errors.Is(err, store.ErrGone) {
		return refusal.Gone(id, j, r.cfg.Rows)
	}
	return refusal.OfJob(id, err)
}

// JobQuery selects jobs for a list.
type JobQuery struct {
	Status ringback.Status // "" for all
	Model  string          // "" for all
	// Webhook is the state of the job's last webhook, or ringback.NoDelivery; "" for all.
	Webhook       ringback.DeliveryStatus
	CreatedAfter  time.Time
	CreatedBefore time.Time
	Metadata      map[string]string
	Cursor        string // of the page before; "" for the first
	Limit         int    // 1 to 100
}

// Jobs lists jobs, newest first, without their bodies.
func (r *Reader) Jobs(ctx context.Context, project string, q JobQuery) (ringback.Page[ringback.Job], error) {
	page := ringback.Page[ringback.Job]{Data: []ringback.Job{}}
	before, err := parseCursor(q.Cursor)
	if err != nil {
		return page, err
	}
	jobs, next, err := r.store.List(ctx, store.Query{
		Project: project, Status: q.Status, Model: q.Model, Webhook: q.Webhook, CreatedAfter: q.CreatedAfter, CreatedBefore: q.CreatedBefore,
		Metadata: q.Metadata, Before: before, Limit: q.Limit + 1, // one more, to know whether there is a next page
	})
	if err != nil {
		return page, err
	}
	jobs, next = cutPage(jobs, next, q.Limit, jobID)
	webhooks, err := r.webhooksOf(ctx, jobs)
	if err != nil {
		return page, err
	}
	for i := range jobs {
		v := r.View(&jobs[i])
		v.Webhook = webhooks[jobs[i].ID]
		page.Data = append(page.Data, v)
	}
	page.NextCursor = cursor(next)
	return page, nil
}

// webhooksOf reads the last webhooks of those of some jobs that have ended.
func (r *Reader) webhooksOf(ctx context.Context, jobs []store.Job) (map[uuid.UUID]*ringback.Webhook, error) {
	var ended []uuid.UUID
	for i := range jobs {
		if jobs[i].Status.Terminal() {
			ended = append(ended, jobs[i].ID)
		}
	}
	if ended == nil {
		return nil, nil
	}
	last, err := r.store.Webhooks(ctx, ended)
	if err != nil {
		return nil, err
	}
	views := make(map[uuid.UUID]*ringback.Webhook, len(last))
	for id, d := range last {
		views[id] = viewWebhook(&d)
	}
	return views, nil
}

// Attempts lists a job's ledger, oldest first.
func (r *Reader) Attempts(ctx context.Context, project, id, cursor string, limit int) (ringback.Page[ringback.Attempt], error) {
	page := ringback.Page[ringback.Attempt]{Data: []ringback.Attempt{}}
	job, err := refusal.JobID(id)
	if err != nil {
		return page, err
	}
	var after int64
	if cursor != "" {
		if after, err = strconv.ParseInt(cursor, 10, 64); err != nil {
			return page, badCursor()
		}
	}
	attempts, err := r.store.Attempts(ctx, project, job, after, limit+1)
	if err != nil {
		return page, refusal.OfJob(id, err)
	}
	if len(attempts) > limit {
		attempts = attempts[:limit]
		page.NextCursor = new(strconv.FormatInt(attempts[limit-1].Number, 10))
	}
	page.Data = append(page.Data, attempts...)
	return page, nil
}

// cutPage cuts a list to the size of a page, and returns the last row that the page has
// if there may be another page.
func cutPage[T any](rows []T, next *uuid.UUID, limit int, id func(*T) uuid.UUID) ([]T, *uuid.UUID) {
	if len(rows) > limit {
		rows = rows[:limit]
		next = new(id(&rows[limit-1]))
	}
	return rows, next
}

func jobID(j *store.Job) uuid.UUID { return j.ID }

func cursor(next *uuid.UUID) *string {
	if next == nil {
		return nil
	}
	return new(next.String())
}

// parseCursor returns the row after which a page begins; nil for the first page.
func parseCursor(text string) (before *uuid.UUID, err error) {
	if text == "" {
		return nil, nil //nolint:nilnil // the first page
	}
	id, err := uuid.Parse(text)
	if err != nil {
		return nil, badCursor()
	}
	return &id, nil
}

func badCursor() error {
	return ringback.Invalid("cursor", "cursor must be the next_cursor of the page before")
}
