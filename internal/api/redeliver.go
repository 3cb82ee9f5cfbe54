package api

import (
	"context"
	"net/http"
)

// POST /api/jobs/{id}/redeliver
func (s *Server) redeliver(ctx context.Context, c *call, _ *nothing) (reply, error) {
	delivery, err := s.node.Redeliver(ctx, project, c.id)
	return reply{status: http.StatusAccepted, body: delivery}, err
}
