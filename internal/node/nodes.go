package node

import (
	"context"

	"github.com/ringback/ringback"
)

// Nodes lists the nodes of the store that live, oldest first.
func (n *Node) Nodes(ctx context.Context) (ringback.Page[ringback.Node], error) {
	page := ringback.Page[ringback.Node]{Data: []ringback.Node{}}
	nodes, err := n.store.Nodes(ctx)
	if err != nil {
		return page, err
	}
	for _, s := range nodes {
		page.Data = append(page.Data, ringback.Node{
			ID: s.ID, Machine: s.Machine, Version: s.Version, URL: s.URL, Roles: rolesOf(s).Names(),
			JoinedAt: ringback.Time{Time: s.JoinedAt}, ExpiresAt: ringback.Time{Time: s.ExpiresAt}, Self: s.ID == n.ID(),
		})
	}
	return page, nil
}
