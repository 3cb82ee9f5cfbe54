// Package cell says how values lie in the cells of tables, the same in both
// stores: so rows can be carried from one to the other, and a query that is written
// for one reads the same in the other.
package column

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/ringback/ringback"
)

// Statuses and DeliveryStatuses are the numbers that stand for states.
var (
	Statuses         = map[ringback.Status]int{ringback.Queued: 0, ringback.Running: 1, ringback.Completed: 2, ringback.Failed: 3, ringback.Cancelled: 4, ringback.Expired: 5}
	DeliveryStatuses = map[ringback.DeliveryStatus]int{ringback.DeliveryPending: 0, ringback.DeliveryDelivered: 1, ringback.DeliveryDead: 2}
)

var deliveryStatuses = []ringback.DeliveryStatus{ringback.DeliveryPending, ringback.DeliveryDelivered, ringback.DeliveryDead}

// Status is the state that a number stands for, 0 to 5. A job of any other is one that
// nothing moves any more.
func Status(n int) ringback.Status {
	if n < 0 || n >= len(ringback.Statuses) {
		return ringback.Failed
	}
	return ringback.Statuses[n]
}

// DeliveryStatus is the state that a number stands for, 0 to 2; dead for any other.
func DeliveryStatus(n int) ringback.DeliveryStatus {
	if n < 0 || n >= len(deliveryStatuses) {
		return ringback.DeliveryDead
	}
	return deliveryStatuses[n]
}

// MS is a time in milliseconds since 1970; 0 for the zero time.
func MS(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// Time is the time of MS.
func Time(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// JSON writes a column of JSON, of a type that cannot fail.
func JSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("cell: marshal %T: %v", v, err))
	}
	return string(b)
}

// Detail writes an error's detail; "" for none.
func Detail(d *ringback.ErrorDetail) string {
	if d == nil {
		return ""
	}
	return JSON(d)
}

// Models writes names of models; "" for none, which is the common case.
func Models(models []string) string {
	if len(models) == 0 {
		return ""
	}
	return JSON(models)
}
