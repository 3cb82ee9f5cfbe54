package store

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
)

// Deliveries are the moves of a delivery. Deliveries are made by Settle,
// Cancel, Expire, Release, Sweep and AddDelivery.
type Deliveries interface {
	// ClaimDeliveries marks due deliveries as in flight: at most Want.N of each
	// host, those due longest first, and the redeliveries it is given. It returns them
	// without their payload. ErrNoLease.
	ClaimDeliveries(ctx context.Context, c ClaimHosts) ([]Delivery, error)

	// SettleDelivery ends the try that ref names: the try's row, and the state
	// it leads to. ErrFenced if the delivery was claimed again or erased since.
	SettleDelivery(ctx context.Context, ref Ref, s TryEnd) (Delivery, error)

	// ReleaseDeliveries makes due again, in one transaction, those in refs that the node
	// still has in flight, and returns how many those were. The lost try
	// is recorded with the error class "unknown" and does not count in the
	// schedule.
	ReleaseDeliveries(ctx context.Context, node string, refs []Ref, now time.Time) (int, error)

	// Redeliver makes a delivery due once more, outside its schedule. ErrInFlight
	// during a try; ErrGone if its body is deleted; ErrNotFound.
	Redeliver(ctx context.Context, project string, id uuid.UUID, r Redelivery) error

	// AddDelivery stores one more delivery of a job that has ended, as a redelivery
	// that is due. A second one with the same id is a no-op. ErrNotFound; ErrLive;
	// ErrGone.
	AddDelivery(ctx context.Context, project string, job uuid.UUID, d NewDelivery) error
}

// NewDelivery is a delivery to be stored.
type NewDelivery struct {
	ID    uuid.UUID
	Event ringback.EventType
	URL   string
	Host  string
	Body  Blob
	// Form is the one that the body has.
	Form   ringback.WebhookBody
	MadeAt time.Time
	// NextAt is the first try of the schedule of one for AddDelivery.
	NextAt time.Time
	// Node, if set, has it in flight already, with fence 1 (claimed on insert, which takes
	// a lease); else it is due at once.
	Node string
}

// ClaimHosts asks for deliveries to send.
type ClaimHosts struct {
	Node  string
	Now   time.Time
	Hosts []HostWant
	// Redeliveries are claimed too, as far as they are due.
	Redeliveries []uuid.UUID
}

// HostWant is how many deliveries to a host there is room for.
type HostWant struct {
	Host Host
	N    int
}

// TryEnd is how a try ended and what it leads to. A manual try that failed
// leaves state and schedule as they were: Status and NextAt are then ignored
// unless Status is delivered.
type TryEnd struct {
	At     time.Time
	Try    ringback.Try // Number, Trigger and WebhookBody are filled in
	Status ringback.DeliveryStatus
	NextAt time.Time           // for pending
	Reason ringback.DeadReason // for dead
	// Smaller, if set, has the same event sent in that form, at once and at the same place
	// of its schedule, also if the try was manual.
	Smaller ringback.WebhookBody
	// Free costs the delivery no place in its schedule: a probe of a held host
	// that never left, or a drain.
	Free bool
	// Unbegun, with Free and pending and without a Try, says that none was made:
	// the delivery, also one that somebody asked for once more, is as it was
	// before its claim, and due again at NextAt. It leaves no trace but the
	// fence: settled so once more, it counts as fenced.
	Unbegun bool
}

// Redelivery makes a delivery due once more.
type Redelivery struct {
	Now time.Time
	// Form, if set, is how it is sent from now on.
	Form ringback.WebhookBody
	// Body, if not empty, takes the place of what is stored: a larger form, of which the
	// forms sent before are a part.
	Body Blob
}
