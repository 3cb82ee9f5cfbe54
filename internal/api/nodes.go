package api

import "context"

// GET /api/nodes
func (s *Server) nodes(ctx context.Context, _ *call) (reply, error) {
	page, err := s.node.Nodes(ctx)
	return pageReply(page), err
}
