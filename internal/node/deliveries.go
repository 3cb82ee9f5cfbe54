package node

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

// CodeRange is status codes from the one to the other; 0 is no answer.
type CodeRange = store.CodeRange

// ListDeliveries lists the deliveries of all jobs with their tries, newest first.
func (n *Node) ListDeliveries(ctx context.Context, project string, q DeliveryQuery) (ringback.Page[ringback.Delivery], error) {
	query, err := n.deliveryQuery(project, q)
	if err != nil {
		return ringback.Page[ringback.Delivery]{}, err
	}
	deliveries, tries, next, err := n.store.Deliveries(ctx, query)
	return n.deliveryPage(deliveries, tries, next, q.Limit), err
}

// deliveryQuery asks for one more than a page has, to know whether there is a next one.
func (n *Node) deliveryQuery(project string, q DeliveryQuery) (store.DeliveryQuery, error) {
	c := check.Checks{}
	query := store.DeliveryQuery{
		Project: project, Status: q.Status, Hosts: hosts(&c, q.Host), LastCode: q.LastCode,
		CreatedAfter: q.CreatedAfter, CreatedBefore: q.CreatedBefore, Limit: q.Limit + 1,
	}
	if q.OlderThan > 0 {
		if before := n.clock.Now().Add(-q.OlderThan); query.CreatedBefore.IsZero() || before.Before(query.CreatedBefore) {
			query.CreatedBefore = before
		}
	}
	if q.Job != "" {
		query.Job = c.ID("job", q.Job, "the id of a job")
	}
	if q.Cursor != "" {
		before, err := uuid.Parse(q.Cursor)
		if err != nil {
			return query, badCursor()
		}
		query.Before = &before
	}
	if err := c.Err(); err != nil {
		return query, err
	}
	return query, nil
}

// hosts reads the host of a receiver that selects webhooks; "" selects all.
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

// deliveryPage is a page of deliveries, of which there may be one too many.
func (n *Node) deliveryPage(deliveries []store.Delivery, tries [][]ringback.Try, next *uuid.UUID, limit int) ringback.Page[ringback.Delivery] {
	if len(deliveries) > limit {
		deliveries = deliveries[:limit]
		next = &deliveries[limit-1].ID
	}
	page := ringback.Page[ringback.Delivery]{NextCursor: cursor(next)}
	for i := range deliveries {
		page.Data = append(page.Data, n.viewDelivery(&deliveries[i], tries[i]))
	}
	return page
}

// Delivery gives a delivery with its tries.
func (n *Node) Delivery(ctx context.Context, project, id string) (ringback.Delivery, error) {
	unknown := refusal.NoDelivery(id)
	parsed, err := uuid.Parse(id)
	if err != nil || len(id) != 36 {
		return ringback.Delivery{}, unknown
	}
	d, tries, err := n.store.Delivery(ctx, project, parsed)
	if errors.Is(err, store.ErrNotFound) {
		return ringback.Delivery{}, unknown
	}
	if err != nil {
		return ringback.Delivery{}, err
	}
	return n.viewDelivery(&d, tries), nil
}
