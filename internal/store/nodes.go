package store

import (
	"context"
	"time"
)

// Nodes are the processes that run jobs. A node's claims are its own as long as it has a
// lease. A node that loses its lease counts as dead: the next sweep frees its claims.
//
// A lease lasts for a time on the store's own clock. A store for one process grants leases
// that last as long as the process; those of earlier processes are over.
type Nodes interface {
	// Join registers a node and grants it a lease. An id is used once.
	Join(ctx context.Context, n Node) (Lease, error)
	// Renew extends a node's lease, even one whose time is over unless another node has
	// taken it away: ErrSwept.
	Renew(ctx context.Context, id string) (Lease, error)
	// Leave returns the lease of a node that no longer holds anything. Anything that it
	// still holds is freed by the next Sweep.
	Leave(ctx context.Context, id string) error
	// Sweep takes away the leases whose time is over, then frees what is claimed in the
	// name of nodes without a lease: at most limit jobs, as decide says, and at most limit
	// deliveries, as ReleaseDeliveries does. If it frees fewer of both, nothing is left.
	// The sweeper needs a lease: ErrNoLease.
	Sweep(ctx context.Context, by string, now time.Time, limit int, decide Decide) (Swept, error)
	// Held lists what is claimed in the name of a node.
	Held(ctx context.Context, id string) (Held, error)
	// Nodes lists the nodes that have a lease whose time is not over, oldest first.
	Nodes(ctx context.Context) ([]Node, error)
}

// Node is a running process.
type Node struct {
	ID      string // new at each start; ids sort by age
	Machine string // its name in the network
	Version string
	// URL is where other nodes reach its API, without a slash at its end; "" if they can't.
	URL string
	// API and Worker are its roles: it takes requests, and it runs jobs and sends webhooks.
	API, Worker bool
	// Set by the store, on its clock. ExpiresAt is zero if the lease lasts as long as the
	// process.
	JoinedAt, ExpiresAt time.Time
}

// Lease is a node's right to its claims.
type Lease struct {
	// Lasts is how long it lasts, from when it was requested; 0: as long as the process.
	Lasts time.Duration
	// Now is the time on the store's clock when it was granted; zero if the store uses the
	// process's clock.
	Now time.Time
	// Nodes are the live ones, as listed by [Nodes.Nodes].
	Nodes []Node
}

// Swept is what a sweep has freed.
type Swept struct {
	Nodes      []string // whose leases it has taken away
	Jobs       []Job
	Deliveries int
}

// Held is what is claimed in the name of a node.
type Held struct {
	Jobs []Ref
	// Cancelled are those of Jobs whose cancellation has been requested.
	Cancelled  []Ref
	Deliveries []Ref
}
