package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/ringback/ringback"
)

// A SubmitOption says more about a submission than its body does.
type SubmitOption func(http.Header)

// IdempotencyKey makes it safe to submit again when it is not known whether the
// first time succeeded: the server keeps one job for each key, and answers the
// same request with that job, another one with [ringback.IdempotencyMismatch].
// A key has 1 to 255 printable characters.
func IdempotencyKey(key string) SubmitOption {
	return func(h http.Header) { h.Set("Idempotency-Key", key) }
}

// Submit hands a request to the server. When it returns nil, the job is on the
// server's stable storage.
func (c *Client) Submit(ctx context.Context, r ringback.Request, options ...SubmitOption) (ringback.Accepted, error) {
	header := http.Header{}
	for _, set := range options {
		set(header)
	}
	var accepted ringback.Accepted
	err := c.call(ctx, http.MethodPost, "/api/generate", header, r, &accepted)
	return accepted, err
}

// Get reads a job as it stands.
func (c *Client) Get(ctx context.Context, id string) (ringback.Job, error) {
	return c.get(ctx, id, 0)
}

// get reads a job when it has ended, or after wait.
func (c *Client) get(ctx context.Context, id string, wait time.Duration) (ringback.Job, error) {
	path := jobPath(id)
	if wait > 0 {
		path += "?wait=" + strconv.Itoa(int(wait.Seconds()))
	}
	var job ringback.Job
	err := c.call(ctx, http.MethodGet, path, nil, nil, &job)
	return job, err
}

// Cancel ends a job that waits, and asks for the end of one that runs, which
// then still shows as running for a moment. A job that has ended otherwise is a
// [ringback.Conflict].
func (c *Client) Cancel(ctx context.Context, id string) (ringback.Job, error) {
	var job ringback.Job
	err := c.call(ctx, http.MethodPost, jobPath(id)+"/cancel", nil, nil, &job)
	return job, err
}

// Query selects jobs for a list; its zero value selects all.
type Query struct {
	Status        ringback.Status
	Model         string
	CreatedAfter  time.Time
	CreatedBefore time.Time
	// Metadata holds values that the jobs' metadata must have, as text.
	Metadata map[string]string
	// Limit is how many jobs a page has at most, 1 to 100. Zero: 20.
	Limit int
	// Cursor is the NextCursor of the page before. Empty: the first page.
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
	v := url.Values{}
	set := func(name, value string) {
		if value != "" {
			v.Set(name, value)
		}
	}
	set("status", string(q.Status))
	set("model", q.Model)
	set("cursor", q.Cursor)
	if !q.CreatedAfter.IsZero() {
		set("created_after", q.CreatedAfter.Format(time.RFC3339Nano))
	}
	if !q.CreatedBefore.IsZero() {
		set("created_before", q.CreatedBefore.Format(time.RFC3339Nano))
	}
	if q.Limit != 0 {
		set("limit", strconv.Itoa(q.Limit))
	}
	for key, value := range q.Metadata {
		v.Set("metadata."+key, value)
	}
	return v
}

// Attempts reads a job's ledger, oldest first, all of it.
func (c *Client) Attempts(ctx context.Context, id string) ([]ringback.Attempt, error) {
	return all[ringback.Attempt](ctx, c, jobPath(id)+"/attempts")
}

// Deliveries reads a job's webhooks with their tries, all of them.
func (c *Client) Deliveries(ctx context.Context, id string) ([]ringback.Delivery, error) {
	return all[ringback.Delivery](ctx, c, jobPath(id)+"/deliveries")
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
