package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/ringback/ringback"
)

// DeadQuery selects dead letters for a list; its zero value selects all. The filter's own
// Kind is ignored: the method determines it.
type DeadQuery struct {
	ringback.DeadFilter

	// Limit is how many a page has at most, 1 to 100. Zero: 20.
	Limit int
	// Cursor is the NextCursor of the previous page. Empty: the first page.
	Cursor string
}

// DeadJobs reads a page of jobs that failed and were neither replayed nor erased
// since, newest first, without bodies.
func (c *Client) DeadJobs(ctx context.Context, q DeadQuery) (ringback.Page[ringback.Job], error) {
	return dead[ringback.Job](ctx, c, ringback.DeadJob, q)
}

// DeadDeliveries reads a page of deliveries that are out of tries and were neither
// delivered nor erased since, newest first.
func (c *Client) DeadDeliveries(ctx context.Context, q DeadQuery) (ringback.Page[ringback.Delivery], error) {
	return dead[ringback.Delivery](ctx, c, ringback.DeadDelivery, q)
}

func dead[T any](ctx context.Context, c *Client, kind ringback.DeadKind, q DeadQuery) (ringback.Page[T], error) {
	q.Kind = kind
	var page ringback.Page[T]
	err := c.call(ctx, http.MethodGet, withQuery("/api/dead", q.values()), nil, nil, &page)
	return page, err
}

func (q DeadQuery) values() url.Values {
	v := parameters{}
	v.text("kind", string(q.Kind))
	v.text("model", q.Model)
	v.text("provider", q.Provider)
	v.text("code", string(q.Code))
	v.text("host", q.Host)
	for name, t := range map[string]*ringback.Time{
		"created_after": q.CreatedAfter, "created_before": q.CreatedBefore,
		"ended_after": q.EndedAfter, "ended_before": q.EndedBefore,
	} {
		if t != nil {
			v.time(name, t.Time)
		}
	}
	v.number("limit", q.Limit)
	v.text("cursor", q.Cursor)
	v.metadata(q.Metadata)
	return url.Values(v)
}

// ReplayDead replays the dead jobs that match, or sends the dead deliveries that match once
// more. One call handles a part of them; while NextCursor is not nil, call again with it as
// the cursor.
func (c *Client) ReplayDead(ctx context.Context, a ringback.DeadAction) (ringback.DeadDone, error) {
	var done ringback.DeadDone
	err := c.call(ctx, http.MethodPost, "/api/dead/replay", nil, a, &done)
	return done, err
}

// PurgeDead erases the dead letters that match, a part in each call, like ReplayDead.
func (c *Client) PurgeDead(ctx context.Context, a ringback.DeadAction) (ringback.DeadDone, error) {
	var done ringback.DeadDone
	err := c.call(ctx, http.MethodDelete, "/api/dead", nil, a, &done)
	return done, err
}
