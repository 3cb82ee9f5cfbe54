// Package store defines what a store of jobs must do: the moves of the job's and the
// delivery's state machine, each with its guarantees and its errors.
//
// A move is one transaction on stable storage: when it returns nil, its effect survives
// kill -9 and power loss; when it returns an error, none of it has happened, unless the
// error is [ErrUnknown]. Every move is idempotent by (id, fence), so that a commit of
// unknown outcome can be repeated.
//
// The job row is the queue. There is no second system to keep in sync with it.
//
// # Who decides
//
// The store knows states and fences, not policy. Whether a broken attempt is repeated, how
// long a hold lasts, what a webhook says: that is decided above, by a [Decide] function
// that the store calls inside the transaction with the present row. So every end of a job
// (by worker, expiry, cancel or restart) is stored in one transaction with the delivery
// that it causes (promise P3), and sees a cancel that came a moment earlier.
//
// # Fences
//
// Fence is a job's counter. Every claim and every release takes the next value, and none is
// reused. A worker settles with the fence that it claimed under; once the job has moved on,
// its settle changes nothing and returns [ErrFenced]. The fence of a claim is the attempt's
// number in the ledger.
package store

import (
	"errors"
	"io"

	"github.com/google/uuid"
)

// The errors that callers test for.
var (
	// ErrNotFound: no such job or delivery in this project.
	ErrNotFound = errors.New("not found")
	// ErrFenced: the caller's claim is over; the job has moved on without it.
	ErrFenced = errors.New("claimed again or ended since")
	// ErrEnded: the job is terminal in another way than the move wants.
	ErrEnded = errors.New("job has ended")
	// ErrLive: the job is waiting or running, and the move is for those that have ended.
	ErrLive = errors.New("job has not ended")
	// ErrReplayed: the job's last replay has not ended.
	ErrReplayed = errors.New("job is being replayed")
	// ErrNotDead: the delivery is no dead letter.
	ErrNotDead = errors.New("delivery is not dead")
	// ErrUnreadable: the job's stored row can't be read.
	ErrUnreadable = errors.New("the stored job can't be read")
	// ErrInFlight: a try of the delivery is being made at this moment.
	ErrInFlight = errors.New("a try is in flight")
	// ErrGone: content was deleted when its time was over.
	ErrGone = errors.New("content is deleted")
	// ErrMismatch: the idempotency key was used for another request.
	ErrMismatch = errors.New("idempotency key belongs to another request")
	// ErrFull: no space is left on the device; nothing was changed.
	ErrFull = errors.New("no space left for the store")
	// ErrBusy: another program holds the database; nothing was changed.
	ErrBusy = errors.New("the database is held by another program")
	// ErrUnknown: the commit's outcome could not be determined.
	ErrUnknown = errors.New("outcome of the commit is unknown")
	// ErrClosed: the store is closed.
	ErrClosed = errors.New("store is closed")
	// ErrLocked: another process holds the data directory.
	ErrLocked = errors.New("data directory is in use by another process")
	// ErrUnavailable: the database can't be reached, or accepts no writes now; nothing was
	// changed.
	ErrUnavailable = errors.New("the database can't be reached")
	// ErrNoLease: the node has no lease, or one whose time is over. It may not
	// claim anything; nothing was changed.
	ErrNoLease = errors.New("the node has no lease")
	// ErrSwept: another node has taken the lease away, and with it all claims.
	ErrSwept = errors.New("the node's lease was taken away")
	// ErrTooNew: a newer Ringback wrote this store, in a way that this one must not modify.
	ErrTooNew = errors.New("the store needs a newer ringback")
)

// Store is a durable store of jobs and deliveries, for one process or for many nodes. Each
// of its users declares the part that it needs.
type Store interface {
	Jobs
	Deliveries
	Erasure
	Holds
	Nodes
	Signals
	Maintenance

	JobReader
	DeliveryReader
	ContentReader
	Backlog
	DeadReader

	// Close waits for the moves in progress, then releases everything.
	io.Closer
}

// Ref names a claim: of a job or of a delivery.
type Ref struct {
	ID    uuid.UUID
	Fence int64
}

// Lane is the unit that shares slots fairly.
type Lane struct{ Project, Provider, Model string }

// Host is where deliveries go, per project: scheme, host and port.
type Host struct{ Project, Host string }
