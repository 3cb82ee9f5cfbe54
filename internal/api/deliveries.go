package api

import "context"

// GET /api/jobs/{id}/deliveries
func (s *Server) deliveries(ctx context.Context, c *call) (reply, error) {
	limit, err := c.query.limit()
	if err != nil {
		return reply{}, err
	}
	page, err := s.node.Deliveries(ctx, project, c.id, c.query.text("cursor"), limit)
	return pageReply(page), err
}
