package reading

import (
	"context"

	"github.com/ringback/ringback"
)

// Nodes lists the nodes that have a lease, oldest first.
func (r *Reader) Nodes(ctx context.Context) (ringback.Page[ringback.Node], error) {
	page := ringback.Page[ringback.Node]{Data: []ringback.Node{}}
	nodes, err := r.store.Nodes(ctx)
	if err != nil {
		return page, err
	}
	for _, s := range nodes {
		page.Data = append(page.Data, ringback.Node{
			ID: s.ID, Machine: s.Machine, Version: s.Version, URL: s.URL, Roles: r.cfg.Roles(s),
			JoinedAt: ringback.Time{Time: s.JoinedAt}, ExpiresAt: ringback.Time{Time: s.ExpiresAt}, Self: s.ID == r.cfg.NodeID(),
		})
	}
	return page, nil
}
