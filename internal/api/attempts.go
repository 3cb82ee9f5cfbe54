package api

import "context"

// GET /api/jobs/{id}/attempts
func (s *Server) attempts(ctx context.Context, c *call) (reply, error) {
	limit, err := c.query.limit()
	if err != nil {
		return reply{}, err
	}
	page, err := s.node.Attempts(ctx, c.caller.Project, c.id, c.query.text("cursor"), limit)
	return pageReply(page), err
}
