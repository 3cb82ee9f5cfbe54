package store

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// Backlog is what waits, and where.
type Backlog interface {
	// Waiting returns what waits, exactly.
	Waiting(ctx context.Context) (Waiting, error)
	// Queued is Waiting's Jobs alone, for frequent callers. It may be a second old.
	Queued(ctx context.Context) (int, error)
	// DueJobs and DueDeliveries return where something is due, and when something
	// will be next, without a look at the rest. What another process did may show a
	// second later. A Count may be lower than what is there, but never zero.
	DueJobs(ctx context.Context, now time.Time) (DueJobs, error)
	DueDeliveries(ctx context.Context, now time.Time) (DueDeliveries, error)
	// Redeliveries lists, for each host, the redelivery that is due and was requested
	// last, among the newest limit ones.
	Redeliveries(ctx context.Context, now time.Time, limit int) ([]DueRedelivery, error)
	// PendingDeliveries counts the deliveries of all projects that have not arrived.
	PendingDeliveries(ctx context.Context) (PendingDeliveries, error)
}

// Waiting is what waits in the store.
type Waiting struct {
	Jobs       int           // queued, due or not
	Deliveries int           // to be sent, redeliveries too, and not in flight
	Lanes      []LaneWaiting // without suspects
	Suspects   LaneWaiting   // of all lanes
	Hosts      []HostWaiting
}

// DueJobs is where jobs are due. A lane's Count is of all that wait in it at a
// priority at which one is due.
type DueJobs struct {
	Lanes    []LaneWaiting // without suspects
	Suspects LaneWaiting   // of all lanes
	// Next is no later than the first job that is not due yet; zero if none is.
	Next time.Time
}

// DueDeliveries is where deliveries are due, and Next as in DueJobs.
type DueDeliveries struct {
	Hosts []HostWaiting
	Next  time.Time
}

// LaneWaiting is what waits in a lane. Due is no later than the earliest run_at.
type LaneWaiting struct {
	Lane  Lane
	Count int
	Due   time.Time
}

// HostWaiting is what waits for a host. Due is no later than the earliest try.
type HostWaiting struct {
	Host  Host
	Count int
	Due   time.Time
}

// DueRedelivery is a redelivery that waits since At.
type DueRedelivery struct {
	ID   uuid.UUID
	Host Host
	At   time.Time
}

// PendingDeliveries are those that are to be sent, or are being sent.
type PendingDeliveries struct {
	Count int // with redeliveries
	// Oldest is when the oldest of those that are pending was made; zero if none is.
	Oldest time.Time
}
