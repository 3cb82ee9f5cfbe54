package api

import (
	"context"
	"slices"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/reading"
)

// GET /api/jobs
func (s *Server) jobs(ctx context.Context, c *call) (reply, error) {
	q, err := jobQuery(c.query)
	if err != nil {
		return reply{}, err
	}
	page, err := s.node.Jobs(ctx, c.caller.Project, q)
	return pageReply(page), err
}

func jobQuery(q query) (jobs reading.JobQuery, err error) {
	jobs = reading.JobQuery{Model: q.text("model"), Metadata: q.metadata(), Cursor: q.text("cursor")}
	if jobs.Limit, err = q.limit(); err != nil {
		return jobs, err
	}
	if jobs.Status, err = oneOf(q, "status", ringback.Statuses); err != nil {
		return jobs, err
	}
	if jobs.Webhook, err = oneOf(q, "webhook", append(slices.Clone(ringback.DeliveryStatuses), ringback.NoDelivery)); err != nil {
		return jobs, err
	}
	if jobs.CreatedAfter, err = q.time("created_after"); err != nil {
		return jobs, err
	}
	jobs.CreatedBefore, err = q.time("created_before")
	return jobs, err
}

// pageReply returns a page, whose data is a list even if it is empty.
func pageReply[T any](p ringback.Page[T]) reply {
	if p.Data == nil {
		p.Data = []T{}
	}
	return reply{body: p}
}
