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
	// ClaimDeliveries marks due deliveries as in flight: at most Want.N for each host,
	// those due longest first, and the given redeliveries. It returns them without their
	// payload. ErrNoLease.
	ClaimDeliveries(ctx context.Context, c ClaimHosts) ([]Delivery, error)

	// SettleDelivery ends the try that ref names: it writes the try's row, and the state
	// that it leads to. ErrFenced if the delivery was claimed again or erased since.
	SettleDelivery(ctx context.Context, ref Ref, s TryEnd) (Delivery, error)

	// ReleaseDeliveries makes those in refs that the node still has in flight due again, in
	// one transaction, and returns how many those were. The lost try is recorded with the
	// error class "unknown" and does not count in the schedule.
	ReleaseDeliveries(ctx context.Context, node string, refs []Ref, now time.Time) (int, error)

	// Redeliver makes a delivery due once more, outside its schedule. ErrInFlight during a
	// try; ErrGone if its body has been deleted; ErrNotFound.
	Redeliver(ctx context.Context, project string, id uuid.UUID, r Redelivery) error

	// AddDelivery stores another delivery for a job that has ended, as a redelivery that is
	// due. A second one with the same id is a no-op. ErrNotFound; ErrLive; ErrGone.
	AddDelivery(ctx context.Context, project string, job uuid.UUID, d NewDelivery) error
}

// NewDelivery is a delivery to be stored.
type NewDelivery struct {
	ID    uuid.UUID
	Event ringback.EventType
	URL   string
	Host  string
	Body  Blob
	// Form is the body's form.
	Form   ringback.WebhookBody
	MadeAt time.Time
	// NextAt is when the schedule's first try is due; for AddDelivery.
	NextAt time.Time
	// Node, if set, has it in flight already, with fence 1 (claimed on insert, which takes
	// a lease); otherwise it is due at once.
	Node string
}

// ClaimHosts asks for deliveries to send.
type ClaimHosts struct {
	Node  string
	Now   time.Time
	Hosts []HostWant
	// Redeliveries are claimed too, if they are due.
	Redeliveries []uuid.UUID
}

// HostWant is the number of free slots for deliveries to a host.
type HostWant struct {
	Host Host
	N    int
}

// TryEnd is how a try ended and what it leads to. A manual try that failed leaves state and
// schedule unchanged: Status and NextAt are then ignored unless Status is delivered.
type TryEnd struct {
	At     time.Time
	Try    ringback.Try // Number, Trigger and WebhookBody are filled in
	Status ringback.DeliveryStatus
	NextAt time.Time           // for pending
	Reason ringback.DeadReason // for dead
	// Smaller, if set, sends the same event in that form, at once and at the same place of
	// its schedule, even if the try was manual.
	Smaller ringback.WebhookBody
	// Free costs the delivery no place in its schedule: a probe of a held host that was
	// never sent, or a drain.
	Free bool
	// Unbegun, with Free and pending and without a Try, means that no try was made: the
	// delivery, even a redelivery, is as it was before its claim, and due again at NextAt.
	// It leaves no trace except the fence: settling it this way a second time is fenced.
	Unbegun bool
}

// Redelivery makes a delivery due once more.
type Redelivery struct {
	Now time.Time
	// Form, if set, is the form in which it is sent from now on.
	Form ringback.WebhookBody
	// Body, if not empty, replaces the stored body: a larger form, which includes the forms
	// sent before.
	Body Blob
}
