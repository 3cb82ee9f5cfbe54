package reading

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/check"
	"github.com/ringback/ringback/internal/refusal"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/webhook"
)

// DeliveryQuery selects deliveries for a list; what is zero selects all.
type DeliveryQuery struct {
	Status        ringback.DeliveryStatus
	Host          string // of the receiver, as a URL or alone
	Job           string
	LastCode      *CodeRange
	CreatedAfter  time.Time
	CreatedBefore time.Time
	OlderThan     time.Duration
	Cursor        string // of the page before; "" for the first
	Limit         int    // 1 to 100
}

// CodeRange is a range of status codes, both ends included; 0 is no answer.
type CodeRange = store.CodeRange

// Deliveries lists a job's deliveries with their tries, oldest first.
func (r *Reader) Deliveries(ctx context.Context, project, id, cursor string, limit int) (ringback.Page[ringback.Delivery], error) {
	page := ringback.Page[ringback.Delivery]{Data: []ringback.Delivery{}}
	job, err := refusal.JobID(id)
	if err != nil {
		return page, err
	}
	deliveries, tries, err := r.store.JobDeliveries(ctx, project, job)
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
			page.Data = append(page.Data, r.ViewDelivery(&deliveries[i], tries[i]))
		}
	}
	return page, nil
}

// ListDeliveries lists the deliveries of all jobs with their tries, newest first.
func (r *Reader) ListDeliveries(ctx context.Context, project string, q DeliveryQuery) (ringback.Page[ringback.Delivery], error) {
	query, err := r.deliveryQuery(project, q)
	if err != nil {
		return ringback.Page[ringback.Delivery]{}, err
	}
	deliveries, tries, next, err := r.store.Deliveries(ctx, query)
	return r.deliveryPage(deliveries, tries, next, q.Limit), err
}

// deliveryQuery checks a query. It asks for one more than a page has, to know whether
// there is a next one.
func (r *Reader) deliveryQuery(project string, q DeliveryQuery) (store.DeliveryQuery, error) {
	c := check.Checks{}
	query := store.DeliveryQuery{
		Project: project, Status: q.Status, Hosts: hosts(&c, q.Host), LastCode: q.LastCode,
		CreatedAfter: q.CreatedAfter, CreatedBefore: q.CreatedBefore, Limit: q.Limit + 1,
	}
	if q.OlderThan > 0 {
		if before := r.clock.Now().Add(-q.OlderThan); query.CreatedBefore.IsZero() || before.Before(query.CreatedBefore) {
			query.CreatedBefore = before
		}
	}
	if q.Job != "" {
		query.Job = c.ID("job", q.Job, "the id of a job")
	}
	before, err := parseCursor(q.Cursor)
	if err != nil {
		return query, err
	}
	query.Before = before
	return query, c.Err()
}

// hosts returns the hosts that a receiver's host, or a URL with it, selects; "" selects
// all.
func hosts(c *check.Checks, text string) []string {
	if text == "" {
		return nil
	}
	hosts, err := webhook.HostsOf(text)
	if err != nil {
		c.Fault("host", "host "+err.Error())
	}
	return hosts
}

// deliveryPage returns a page of deliveries; one of them may be too many.
func (r *Reader) deliveryPage(deliveries []store.Delivery, tries [][]ringback.Try, next *uuid.UUID, limit int) ringback.Page[ringback.Delivery] {
	deliveries, next = cutPage(deliveries, next, limit, func(d *store.Delivery) uuid.UUID { return d.ID })
	page := ringback.Page[ringback.Delivery]{NextCursor: cursor(next)}
	for i := range deliveries {
		page.Data = append(page.Data, r.ViewDelivery(&deliveries[i], tries[i]))
	}
	return page
}

// Delivery returns a delivery with its tries.
func (r *Reader) Delivery(ctx context.Context, project, id string) (ringback.Delivery, error) {
	parsed, err := uuid.Parse(id)
	if err != nil || len(id) != 36 {
		return ringback.Delivery{}, refusal.NoDelivery(id)
	}
	d, tries, err := r.store.Delivery(ctx, project, parsed)
	if errors.Is(err, store.ErrNotFound) {
		return ringback.Delivery{}, refusal.NoDelivery(id)
	}
	if err != nil {
		return ringback.Delivery{}, err
	}
	return r.ViewDelivery(&d, tries), nil
}
