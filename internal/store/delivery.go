package store

import (
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
)

// Delivery is the row of a delivery.
type Delivery struct {
	ID      uuid.UUID
	JobID   uuid.UUID
	Project string
	Host    string
	URL     string
	Event   ringback.EventType
	Status  ringback.DeliveryStatus
	Fence   int64
	// InFlight is set during a try; Node, set exactly then, makes the try.
	InFlight bool
	Node     string
	// Manual is set while the try that is due or in flight is a redelivery.
	Manual bool
	MadeAt time.Time
	// NextAt is the schedule's next try; zero when there is none.
	NextAt  time.Time
	EndedAt time.Time
	// Tries counts the schedule's; Sent all of them.
	Tries          int
	Sent           int
	Blocked        int // tries that ended at a closed address
	LastStatusCode int
	// Form is the form in which it is sent next: the one in which it was made, or a smaller
	// one. "" is that of a delivery from before there were forms.
	Form ringback.WebhookBody
	// Reason is why it is dead.
	Reason ringback.DeadReason
	// Gone: its bytes have been deleted and, along with its job's content, URL and Host
	// too.
	Gone bool
}

// Key returns the host, per project, that the delivery goes to.
func (d *Delivery) Key() Host { return Host{d.Project, d.Host} }

// Ref returns the delivery's present claim.
func (d *Delivery) Ref() Ref { return Ref{d.ID, d.Fence} }

// Trigger returns what a try of d was made for, if its maker said nothing else.
func (d *Delivery) Trigger(said ringback.TryTrigger) ringback.TryTrigger {
	switch {
	case d.Manual:
		return ringback.TryManual
	case said != "":
		return said
	default:
		return ringback.TryScheduled
	}
}
