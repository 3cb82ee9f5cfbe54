package store

import (
	"time"

	"github.com/ringback/ringback"
)

// Conclude returns a delivery in flight as its try left it, and when it is due again: zero
// if it is not. It is pure, like Apply.
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
	case manual: // its failure leaves state and schedule unchanged
	case e.Status == ringback.DeliveryDead:
		d.Status, d.EndedAt, d.NextAt, d.Reason = ringback.DeliveryDead, e.At, time.Time{}, e.Reason
	default:
		d.NextAt = e.NextAt
	}
	return d, d.NextAt
}

// Expired returns a waiting delivery after it is given up: dead or, if a redelivery of it
// was waiting, as it had ended. It is pure.
func Expired(d Delivery, now time.Time) Delivery {
	d.Manual = false
	return died(d, now, ringback.DeadExpired)
}

// Erased returns a delivery that was waiting or in flight after its erasure. It is pure.
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

// LostTry returns the try of a delivery in flight whose outcome is unknown, and the
// delivery after it: due at once, and at the same place in its schedule. It is pure. The
// try is written under the fence of d.
func LostTry(d Delivery, now time.Time) (after Delivery, y ringback.Try) {
	y = ringback.Try{At: ringback.Time{Time: now}, Trigger: d.Trigger(""), WebhookBody: d.Form, Error: ringback.TryUnknown}
	d.InFlight, d.Node = false, ""
	d.Sent++
	d.Fence++
	y.Number = d.Sent
	return d, y
}

// Deaths returns how a step from before to after changes the number of dead deliveries.
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
