package api

import "context"

// GET /api/nodes
func (h monitoring) nodes(ctx context.Context, _ *call) (reply, error) {
	page, err := h.node.Nodes(ctx)
	return pageReply(page), err
}
