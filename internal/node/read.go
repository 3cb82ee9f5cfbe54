package node

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/live"
	"github.com/ringback/ringback/internal/refusal"
	"github.com/ringback/ringback/internal/store"
)

// Exists tells whether there is a job with content; its errors are those of OpenJob.
func (n *Node) Exists(ctx context.Context, project, id string) error {
	job, err := refusal.JobID(id)
	if err != nil {
		return err
	}
	j, _, err := n.store.Job(ctx, project, job, 0)
	if errors.Is(err, store.ErrGone) {
		return refusal.Gone(id, j, n.cfg.Retention.Rows)
	}
	return refusal.OfJob(id, err)
}

// WaitJob gives a job when it has ended, or as it is after d. Who waits watches the job,
// and who leaves before that, by ctx, has left: see ringback.DisconnectCancel.
func (n *Node) WaitJob(ctx context.Context, project, id string, d time.Duration, includeRequest bool) (o *Opened, err error) {
	job, err := refusal.JobID(id)
	if err != nil {
		return nil, err
	}
	present, cancels, known := n.hub.Present(job), false, false
	defer func() {
		ended := o != nil && o.Status.Terminal()
		if left := present(); left == 0 && cancels && ctx.Err() != nil && !ended {
			n.abandoned(project, job)
		}
	}()
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		moved, leave := n.hub.Watch(job)
		o, err = n.look(context.WithoutCancel(ctx), project, id, includeRequest)
		if err != nil {
			leave()
			return nil, err
		}
		if o.Status.Terminal() {
			leave()
			return n.opened(context.WithoutCancel(ctx), o, n.orRefuse)
		}
		cancels = o.stored.Options.OnDisconnect == ringback.DisconnectCancel
		if cancels && !known { // the node that runs it has to know, too
			_, watching := n.hub.Open(job, func(ctx context.Context, l *live.Log) live.Await { return n.tailJob(ctx, l, project, job) })
			present()
			present, known = watching, true
		}
		over := false
		select {
		case <-moved:
		case <-timer.C:
			over = true
		case <-ctx.Done():
			over = true
		case <-n.calls.Done(): // the drain is over
			over = true
		}
		leave()
		if over {
			return n.OpenJob(context.WithoutCancel(ctx), project, id, includeRequest)
		}
	}
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
func (n *Node) Jobs(ctx context.Context, project string, q JobQuery) (ringback.Page[ringback.Job], error) {
	page := ringback.Page[ringback.Job]{Data: []ringback.Job{}}
	query := store.Query{
		Project: project, Status: q.Status, Model: q.Model, Webhook: q.Webhook, CreatedAfter: q.CreatedAfter, CreatedBefore: q.CreatedBefore,
		Metadata: q.Metadata, Limit: q.Limit + 1, // one more, to know whether there is a next page
	}
	if q.Cursor != "" {
		before, err := uuid.Parse(q.Cursor)
		if err != nil {
			return page, badCursor()
		}
		query.Before = &before
	}
	jobs, next, err := n.store.List(ctx, query)
	if err != nil {
		return page, err
	}
	if len(jobs) > q.Limit {
		jobs = jobs[:q.Limit]
		next = &jobs[q.Limit-1].ID
	}
	webhooks, err := n.webhooksOf(ctx, jobs)
	if err != nil {
		return page, err
	}
	for i := range jobs {
		v := n.view(&jobs[i])
		v.Webhook = webhooks[jobs[i].ID]
		page.Data = append(page.Data, v)
	}
	page.NextCursor = cursor(next)
	return page, nil
}

// webhooksOf reads how the webhooks of jobs that have ended stand.
func (n *Node) webhooksOf(ctx context.Context, jobs []store.Job) (map[uuid.UUID]*ringback.Webhook, error) {
	var ended []uuid.UUID
	for i := range jobs {
		if jobs[i].Status.Terminal() {
			ended = append(ended, jobs[i].ID)
		}
	}
	if ended == nil {
		return nil, nil
	}
	last, err := n.store.Webhooks(ctx, ended)
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
func (n *Node) Attempts(ctx context.Context, project, id, cursor string, limit int) (ringback.Page[ringback.Attempt], error) {
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
	attempts, err := n.store.Attempts(ctx, project, job, after, limit+1)
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

// Deliveries lists a job's deliveries with their tries, oldest first.
func (n *Node) Deliveries(ctx context.Context, project, id, cursor string, limit int) (ringback.Page[ringback.Delivery], error) {
	page := ringback.Page[ringback.Delivery]{Data: []ringback.Delivery{}}
	job, err := refusal.JobID(id)
	if err != nil {
		return page, err
	}
	deliveries, tries, err := n.store.JobDeliveries(ctx, project, job)
	if err != nil {
		return page, refusal.OfJob(id, err)
	}
	seen := cursor == ""
	if _, err := uuid.Parse(cursor); err != nil && !seen {
		return page, badCursor()
	}
	for i := range deliveries {
		switch {
		case !seen:
			seen = deliveries[i].ID.String() == cursor
		case len(page.Data) == limit:
			page.NextCursor = new(page.Data[limit-1].ID)
			return page, nil
		default:
			page.Data = append(page.Data, n.viewDelivery(&deliveries[i], tries[i]))
		}
	}
	return page, nil
}

func badCursor() error {
	return ringback.Invalid("cursor", "cursor must be the next_cursor of the page before")
}
