package node

import "github.com/ringback/ringback/internal/store"

// Roles are what a node does. The zero value means everything.
type Roles uint8

// The roles. Each node, whatever its roles, sweeps dead nodes, and ends and deletes what
// has waited or been kept long enough.
const (
	// API takes requests.
	API Roles = 1 << iota
	// Worker calls providers and sends webhooks.
	Worker
)

// Has reports whether a node with these roles has the role r.
func (roles Roles) Has(r Roles) bool { return roles == 0 || roles&r == r }

// Names returns the roles in words.
func (roles Roles) Names() []string {
	names := []string{}
	if roles.Has(API) {
		names = append(names, "api")
	}
	if roles.Has(Worker) {
		names = append(names, "worker")
	}
	return names
}

// rolesOf returns the roles of a stored node.
func rolesOf(s store.Node) Roles {
	var roles Roles
	if s.API {
		roles |= API
	}
	if s.Worker {
		roles |= Worker
	}
	return roles
}

// Roles of this node.
func (n *Node) Roles() Roles { return n.cfg.Roles }
