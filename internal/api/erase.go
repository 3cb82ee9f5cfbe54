package api

import (
	"context"
	"net/http"
)

// DELETE /api/jobs/{id}
func (s *Server) erase(ctx context.Context, c *call) (reply, error) {
	return reply{status: http.StatusNoContent}, s.node.Erase(ctx, c.caller.Project, c.id)
}
