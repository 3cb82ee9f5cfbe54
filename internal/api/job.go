package api

import (
	"context"
	"strconv"
	"time"

	"github.com/ringback/ringback/internal/reading"
)

// maxWait is how long a client may wait for a job in one request.
const maxWait = 60 * time.Second

// GET /api/jobs/{id}
func (s *Server) job(ctx context.Context, c *call) (reply, error) {
	wait, err := c.query.wait()
	if err != nil {
		return reply{}, err
	}
	include, err := oneOf(c.query, "include", []string{"request"})
	if err != nil {
		return reply{}, err
	}
	withRequest := include != ""
	if wait == 0 {
		job, err := s.node.OpenJob(ctx, c.caller.Project, c.id, withRequest)
		return reply{job: job}, err
	}
	job, err := s.waitFor(ctx, c.caller.Project, c.id, wait, withRequest)
	return reply{job: job}, err
}

// waitFor returns a job once it has ended, or as it is after d.
func (s *Server) waitFor(ctx context.Context, project, id string, d time.Duration, withRequest bool) (*reading.Opened, error) {
	waiting, stop := s.waiting(ctx)
	defer stop()
	job, err := s.node.WaitJob(waiting, project, id, d, withRequest)
	if err != nil && waiting.Err() != nil && ctx.Err() == nil {
		// It is the server that ends the wait: the client gets the present state of the
		// job, and asks again.
		job, err = s.node.OpenJob(ctx, project, id, withRequest)
	}
	return job, err
}

// wait reads ?wait=30 or ?wait=30s.
func (q query) wait() (time.Duration, error) {
	s := q.text("wait")
	if s == "" {
		return 0, nil
	}
	wait, err := time.ParseDuration(s)
	if seconds, e := strconv.Atoi(s); e == nil {
		wait, err = time.Duration(min(max(seconds, -1), 3600))*time.Second, nil
	}
	if err != nil || wait < 0 || wait > maxWait {
		return 0, invalidParameter("wait", "must be from 0 to 60 seconds, such as 30 or 30s")
	}
	return wait, nil
}

// GET /api/jobs/{id}/attempts
func (s *Server) attempts(ctx context.Context, c *call) (reply, error) {
	limit, err := c.query.limit()
	if err != nil {
		return reply{}, err
	}
	page, err := s.node.Attempts(ctx, c.caller.Project, c.id, c.query.text("cursor"), limit)
	return pageReply(page), err
}
