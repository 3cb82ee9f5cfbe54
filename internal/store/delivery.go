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
	// InFlight is set while a try is made, Node exactly then: who makes it.
	InFlight bool
	Node     string
	// Manual is set while the try that is due or in flight is a redelivery.
	Manual bool
	MadeAt time.Time
	// NextAt is the schedule's next try; zero when there is none.
	NextAt  time.Time
	EndedAt time.Time
	// Tries counts those of the schedule; Sent all of them.
	Tries          int
	Sent           int
	Blocked        int // tries that ended at a closed address
	LastStatusCode int
	// Form is the one in which it is sent next: that in which it was made, or a smaller
	// one. "" is that of a delivery from before there were forms.
	Form ringback.WebhookBody
	// Reason is why it is dead.
	Reason ringback.DeadReason
	// Gone: its bytes are deleted, and with its job's content URL and Host, too.
	Gone bool
}

// Key is the host, per project, that the delivery goes to.
func (d *Delivery) Key() Host { return Host{d.Project, d.Host} }

// Ref of the delivery's present claim.
func (d *Delivery) Ref() Ref { return Ref{d.ID, d.Fence} }

// Trigger says what a try of d was made for, where its maker said so or said nothing.
func (d *Delivery) Trigger(said string) string {
	switch {
	case d.Manual:
		return "manual"
	case said != "":
		return said
	default:
		return "schedule"
	}
}
