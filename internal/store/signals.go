package store

// Signals tell a node that another one has made a move. They are hints that may arrive
// late, twice or never: waiters also poll from time to time.
type Signals interface {
	// Watch calls f with the moves that others have made, until the store is closed. f must
	// be quick. A store for one process never calls it. Watch is called at most once.
	Watch(f func(Signal))
}

// Signal is a set of things that may have happened on another node.
type Signal uint8

// The things that may have happened.
const (
	// SignalJobs: a new job is waiting.
	SignalJobs Signal = 1 << iota
	// SignalDeliveries: a delivery is due.
	SignalDeliveries
	// SignalEnded: jobs have ended.
	SignalEnded
	// SignalCancel: a running job is to be cancelled.
	SignalCancel
	// SignalHolds: a hold was stored or dropped.
	SignalHolds
	// SignalNodes: a node has joined or left, or was swept.
	SignalNodes
)
