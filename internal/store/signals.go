package store

// Signals tell a node that another one has moved something. They are hints that
// may come late, twice or never: whoever waits looks now and then by itself.
type Signals interface {
	// Watch has f called with what others have moved, until the store is closed. f
	// must be quick. A store for one process never calls it. It is called once at most.
	Watch(f func(Signal))
}

// Signal is a set of things that may have happened on another node.
type Signal uint8

// What may have happened.
const (
	// SignalJobs: a job waits that was not there before.
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
