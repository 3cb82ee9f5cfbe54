package api

import "context"

// POST /api/jobs/{id}/cancel
func (s *Server) cancel(ctx context.Context, c *call, _ *nothing) (reply, error) {
	job, err := s.node.Cancel(ctx, c.caller.Project, c.id)
	return reply{job: job}, err
}
