package client

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/ringback/ringback"
)

// DeliveryQuery selects webhooks for a list; its zero value selects all.
type DeliveryQuery struct {
	Status ringback.DeliveryStatus
	// Host is the receiver's, as in https://example.com:8443; without a scheme it matches
	// both.
	Host string
	// Job is the id of a job.
	Job string
	// StatusCode is the receiver's last response: a code like 503, a class like 5xx, or
	// none for no response.
	StatusCode string
	// OlderThan leaves out webhooks that were caused more recently.
	OlderThan     time.Duration
	CreatedAfter  time.Time
	CreatedBefore time.Time
	// Limit is how many a page has at most, 1 to 100. Zero: 20.
	Limit int
	// Cursor is the NextCursor of the previous page. Empty: the first page.
	Cursor string
}

// ListDeliveries reads a page of the webhooks of all jobs with their tries, newest first. A
// page may be short, even empty, and still have a NextCursor. For the webhooks of one job
// use [Client.Deliveries].
func (c *Client) ListDeliveries(ctx context.Context, q DeliveryQuery) (ringback.Page[ringback.Delivery], error) {
	var page ringback.Page[ringback.Delivery]
	err := c.call(ctx, http.MethodGet, withQuery("/api/deliveries", q.values()), nil, nil, &page)
	return page, err
}

func (q DeliveryQuery) values() url.Values {
	v := parameters{}
	v.text("status", string(q.Status))
	v.text("host", q.Host)
	v.text("job", q.Job)
	v.text("status_code", q.StatusCode)
	if q.OlderThan > 0 {
		v.text("older_than", q.OlderThan.String())
	}
	v.time("created_after", q.CreatedAfter)
	v.time("created_before", q.CreatedBefore)
	v.number("limit", q.Limit)
	v.text("cursor", q.Cursor)
	return url.Values(v)
}

// Delivery reads one webhook with its tries.
func (c *Client) Delivery(ctx context.Context, id string) (ringback.Delivery, error) {
	var d ringback.Delivery
	err := c.call(ctx, http.MethodGet, "/api/deliveries/"+url.PathEscape(id), nil, nil, &d)
	return d, err
}
