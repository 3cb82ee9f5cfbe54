package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/ringback/ringback"
)

// A SubmitOption adds to a submission what its body does not say.
type SubmitOption func(http.Header)

// IdempotencyKey makes it safe to submit again when it is not known whether the first time
// succeeded: the server keeps one job for each key. It returns that job for the same
// request, and [ringback.IdempotencyMismatch] for another. A key has 1 to 255 printable
// characters.
func IdempotencyKey(key string) SubmitOption {
	return func(h http.Header) { h.Set("Idempotency-Key", key) }
}

// Submit submits a request. When it returns nil, the job is on the server's stable storage.
func (c *Client) Submit(ctx context.Context, r ringback.Request, options ...SubmitOption) (ringback.Accepted, error) {
	header := http.Header{}
	for _, set := range options {
		set(header)
	}
	var accepted ringback.Accepted
	err := c.call(ctx, http.MethodPost, "/api/generate", header, r, &accepted)
	return accepted, err
}

// Get reads the current state of a job.
func (c *Client) Get(ctx context.Context, id string) (ringback.Job, error) {
	return c.get(ctx, id, 0)
}

// get reads a job once it has ended, or after wait.
func (c *Client) get(ctx context.Context, id string, wait time.Duration) (ringback.Job, error) {
	path := jobPath(id)
	if wait > 0 {
		path += "?wait=" + strconv.Itoa(int(wait.Seconds()))
	}
	var job ringback.Job
	err := c.call(ctx, http.MethodGet, path, nil, nil, &job)
	return job, err
}

// Cancel ends a waiting job, and asks for the end of a running one, which may still be
// shown as running for a moment. For a job that has ended otherwise it returns
// [ringback.Conflict].
func (c *Client) Cancel(ctx context.Context, id string) (ringback.Job, error) {
	var job ringback.Job
	err := c.call(ctx, http.MethodPost, jobPath(id)+"/cancel", nil, nil, &job)
	return job, err
}

// GetWithRequest reads the current state of a job, with the provider's request as stored in
// Job.Request.
func (c *Client) GetWithRequest(ctx context.Context, id string) (ringback.Job, error) {
	var job ringback.Job
	err := c.call(ctx, http.MethodGet, jobPath(id)+"?include=request", nil, nil, &job)
	return job, err
}

// Replay repeats a job that ended without an answer, as a new job, which it returns. A
// patch is a JSON merge patch (RFC 7396) on the request that [Client.GetWithRequest] shows;
// nil changes nothing. A job that is waiting, running or completed, or whose last replay
// has not ended, is a [ringback.Conflict]; one whose content has been deleted is
// [ringback.Gone].
func (c *Client) Replay(ctx context.Context, id string, patch json.RawMessage) (ringback.Job, error) {
	var body any
	if patch != nil {
		body = patch
	}
	var job ringback.Job
	err := c.call(ctx, http.MethodPost, jobPath(id)+"/retry", nil, body, &job)
	return job, err
}

// A RedeliverOption changes how a webhook is sent once more.
type RedeliverOption func(*ringback.Redelivery)

// ToURL sends the webhook elsewhere: as a new delivery with another id, always the same one
// for the same URL. The job need not have a webhook for that.
func ToURL(url string) RedeliverOption {
	return func(r *ringback.Redelivery) { r.URL = url }
}

// InForm sends the webhook in that form, this time and from now on. Each form has the same
// bytes whenever it is sent.
func InForm(form ringback.WebhookBody) RedeliverOption {
	return func(r *ringback.Redelivery) { r.WebhookBody = form }
}

// Redeliver sends a job's webhook once more, at once, even while its host is held: with the
// same id and, without options, the same bytes. It returns [ringback.Conflict] while a try
// is in flight or if the job has no webhook, and [ringback.Gone] if its bytes have been
// deleted.
func (c *Client) Redeliver(ctx context.Context, id string, options ...RedeliverOption) (ringback.Delivery, error) {
	var body any
	if len(options) > 0 {
		r := new(ringback.Redelivery)
		for _, set := range options {
			set(r)
		}
		body = r
	}
	var delivery ringback.Delivery
	err := c.call(ctx, http.MethodPost, jobPath(id)+"/redeliver", nil, body, &delivery)
	return delivery, err
}

// Erase deletes the content of a job that has ended. Erasing again is no error; a job that
// is waiting or running is a [ringback.Conflict].
func (c *Client) Erase(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodDelete, jobPath(id), nil, nil, nil)
}

// Query selects jobs for a list; its zero value selects all.
type Query struct {
	Status ringback.Status
	Model  string
	// Webhook is the state of a job's webhook, or [ringback.NoDelivery].
	Webhook       ringback.DeliveryStatus
	CreatedAfter  time.Time
	CreatedBefore time.Time
	// Metadata holds values that the jobs' metadata must have, as text.
	Metadata map[string]string
	// Limit is how many jobs a page has at most, 1 to 100. Zero: 20.
	Limit int
	// Cursor is the NextCursor of the previous page. Empty: the first page.
	Cursor string
}

// List reads a page of jobs, newest first, without their answers. A page may be
// short, even empty, and still have a NextCursor.
func (c *Client) List(ctx context.Context, q Query) (ringback.Page[ringback.Job], error) {
	var page ringback.Page[ringback.Job]
	err := c.call(ctx, http.MethodGet, withQuery("/api/jobs", q.values()), nil, nil, &page)
	return page, err
}

func (q Query) values() url.Values {
	v := parameters{}
	v.text("status", string(q.Status))
	v.text("model", q.Model)
	v.text("webhook", string(q.Webhook))
	v.text("cursor", q.Cursor)
	v.time("created_after", q.CreatedAfter)
	v.time("created_before", q.CreatedBefore)
	v.number("limit", q.Limit)
	v.metadata(q.Metadata)
	return url.Values(v)
}

// parameters are a query's; zero values are left out.
type parameters url.Values

func (p parameters) text(name, value string) {
	if value != "" {
		url.Values(p).Set(name, value)
	}
}

func (p parameters) number(name string, n int) {
	if n != 0 {
		p.text(name, strconv.Itoa(n))
	}
}

func (p parameters) time(name string, t time.Time) {
	if !t.IsZero() {
		p.text(name, t.Format(time.RFC3339Nano))
	}
}

// metadata keeps empty values: a key may have one.
func (p parameters) metadata(values map[string]string) {
	for key, value := range values {
		url.Values(p).Set("metadata."+key, value)
	}
}

// Attempts reads all of a job's ledger, oldest first.
func (c *Client) Attempts(ctx context.Context, id string) ([]ringback.Attempt, error) {
	return all[ringback.Attempt](ctx, c, jobPath(id)+"/attempts")
}

// Deliveries reads all of a job's webhooks, with their tries.
func (c *Client) Deliveries(ctx context.Context, id string) ([]ringback.Delivery, error) {
	return all[ringback.Delivery](ctx, c, jobPath(id)+"/deliveries")
}

// Nodes lists the live nodes, oldest first.
func (c *Client) Nodes(ctx context.Context) ([]ringback.Node, error) {
	var page ringback.Page[ringback.Node]
	err := c.call(ctx, http.MethodGet, "/api/nodes", nil, nil, &page)
	return page.Data, err
}

// all reads a list to its end.
func all[T any](ctx context.Context, c *Client, path string) ([]T, error) {
	var items []T
	v := url.Values{"limit": {"100"}}
	for {
		var page ringback.Page[T]
		if err := c.call(ctx, http.MethodGet, withQuery(path, v), nil, nil, &page); err != nil {
			return items, err
		}
		items = append(items, page.Data...)
		if page.NextCursor == nil {
			return items, nil
		}
		v.Set("cursor", *page.NextCursor)
	}
}

func withQuery(path string, v url.Values) string {
	if len(v) == 0 {
		return path
	}
	return path + "?" + v.Encode()
}
