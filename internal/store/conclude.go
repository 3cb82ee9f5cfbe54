package store

import (
	"time"

	"github.com/ringback/ringback"
)

// Conclude makes of a delivery in flight what its try led to, and returns when it is
// due again: zero if it is not. It is pure, as Apply is.
func Conclude(d Delivery, e TryEnd) (after Delivery, due time.Time) {
	manual := d.Manual
	again := e.Unbegun || e.Smaller != ""
	d.InFlight, d.Node, d.Manual = false, "", manual && again
	d.Fence++
	if e.Smaller != "" {
		d.Form = e.Smaller
	}
	if !manual && !e.Free && !again {
		d.Tries++
		if e.Try.Error == "blocked" {
			d.Blocked++
		}
	}
	switch {
	case d.Manual:
		return d, e.NextAt
	case e.Status == ringback.DeliveryDelivered:
		d.Status, d.EndedAt, d.NextAt, d.Reason = ringback.DeliveryDelivered, e.At, time.Time{}, ""
	case manual: // its failure leaves state and schedule as they were
	case e.Status == ringback.DeliveryDead:
		d.Status, d.EndedAt, d.NextAt, d.Reason = ringback.DeliveryDead, e.At, time.Time{}, e.Reason
	default:
		d.NextAt = e.NextAt
	}
	return d, d.NextAt
}

// Expired is a waiting delivery that is given up: dead, or as it had ended, if a
// redelivery of it waited. It is pure.
func Expired(d Delivery, now time.Time) Delivery {
	d.Manual = false
	return died(d, now, ringback.DeadExpired)
}

// Erased is a delivery that was to be sent, or was being sent, and is no more. It is
// pure.
func Erased(d Delivery, now time.Time) Delivery {
	d.InFlight, d.Node, d.Manual = false, "", false
	d.Fence++
	return died(d, now, ringback.DeadErased)
}

func died(d Delivery, now time.Time, why ringback.DeadReason) Delivery {
	if d.Status == ringback.DeliveryPending {
		d.Status, d.EndedAt, d.NextAt, d.Reason = ringback.DeliveryDead, now, time.Time{}, why
	}
	return d
}

// LostTry is the try of a delivery in flight of which nobody knows the outcome, and
// the delivery after it: due at once, and at the same place in its schedule. It is
// pure. The try is written under the fence of d.
func LostTry(d Delivery, now time.Time) (after Delivery, y ringback.Try) {
	y = ringback.Try{At: ringback.Time{Time: now}, Trigger: d.Trigger(""), WebhookBody: d.Form, Error: "unknown"}
	d.InFlight, d.Node = false, ""
	d.Sent++
	d.Fence++
	y.Number = d.Sent
	return d, y
}

// Deaths is how a step from before to after changes the number of dead deliveries.
func Deaths(before, after ringback.DeliveryStatus) int {
	n := 0
	if before == ringback.DeliveryDead {
		n--
	}
	if after == ringback.DeliveryDead {
		n++
	}
	return n
}
