package store

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// Backlog is what is waiting, and where.
type Backlog interface {
	// Waiting returns exactly what is waiting.
	Waiting(ctx context.Context) (Waiting, error)
	// Queued returns only Waiting's Jobs, for frequent callers. It may be a second old.
	Queued(ctx context.Context) (int, error)
	// DueJobs and DueDeliveries return where something is due, and when something will be
	// next, without reading the rest. Another process's changes may show a second later. A
	// Count may be lower than the actual one, but never zero if there is something.
	DueJobs(ctx context.Context, now time.Time) (DueJobs, error)
	DueDeliveries(ctx context.Context, now time.Time) (DueDeliveries, error)
	// Redeliveries lists, for each host, the redelivery that is due and was requested
	// last, among the newest limit ones.
	Redeliveries(ctx context.Context, now time.Time, limit int) ([]DueRedelivery, error)
	// PendingDeliveries counts the deliveries of all projects that have not arrived.
	PendingDeliveries(ctx context.Context) (PendingDeliveries, error)
}

// Waiting is what is waiting in the store.
type Waiting struct {
	Jobs       int           // queued, due or not
	Deliveries int           // to be sent, including redeliveries, and not in flight
	Lanes      []LaneWaiting // without suspects
	Suspects   LaneWaiting   // of all lanes
	Hosts      []HostWaiting
}

// DueJobs is where jobs are due. A lane's Count includes all jobs that wait in it at a
// priority at which one is due.
type DueJobs struct {
	Lanes    []LaneWaiting // without suspects
	Suspects LaneWaiting   // of all lanes
	// Next is no later than the first job that is not due yet; zero if none is.
	Next time.Time
}

// DueDeliveries is where deliveries are due. Next is as in DueJobs.
type DueDeliveries struct {
	Hosts []HostWaiting
	Next  time.Time
}

// LaneWaiting is what is waiting in a lane. Due is no later than the earliest run_at.
type LaneWaiting struct {
	Lane  Lane
	Count int
	Due   time.Time
}

// HostWaiting is what is waiting for a host. Due is no later than the earliest try.
type HostWaiting struct {
	Host  Host
	Count int
	Due   time.Time
}

// DueRedelivery is a redelivery that has been waiting since At.
type DueRedelivery struct {
	ID   uuid.UUID
	Host Host
	At   time.Time
}

// PendingDeliveries are those waiting to be sent or being sent.
type PendingDeliveries struct {
	Count int // including redeliveries
	// Oldest is when the oldest pending delivery was made; zero if there is none.
	Oldest time.Time
}
