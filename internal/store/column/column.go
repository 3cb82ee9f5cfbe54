// Package column defines how values are stored in columns, the same in both stores: so rows
// can be copied from one to the other, and a query written for one reads the same in the
// other.
package column

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/ringback/ringback"
)

// Statuses and DeliveryStatuses map states to their numbers.
var (
	Statuses         = map[ringback.Status]int{ringback.Queued: 0, ringback.Running: 1, ringback.Completed: 2, ringback.Failed: 3, ringback.Cancelled: 4, ringback.Expired: 5}
	DeliveryStatuses = map[ringback.DeliveryStatus]int{ringback.DeliveryPending: 0, ringback.DeliveryDelivered: 1, ringback.DeliveryDead: 2}
)

var deliveryStatuses = []ringback.DeliveryStatus{ringback.DeliveryPending, ringback.DeliveryDelivered, ringback.DeliveryDead}

// Status returns the state with a number, 0 to 5. A job with any other number is one that
// nothing moves anymore.
func Status(n int) ringback.Status {
	if n < 0 || n >= len(ringback.Statuses) {
		return ringback.Failed
	}
	return ringback.Statuses[n]
}

// DeliveryStatus returns the state with a number, 0 to 2; dead for any other.
func DeliveryStatus(n int) ringback.DeliveryStatus {
	if n < 0 || n >= len(deliveryStatuses) {
		return ringback.DeliveryDead
	}
	return deliveryStatuses[n]
}

// MS returns a time in milliseconds since 1970; 0 for the zero time.
func MS(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// Time is the inverse of MS.
func Time(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// JSON encodes a column of JSON, from a type that cannot fail.
func JSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("cell: marshal %T: %v", v, err))
	}
	return string(b)
}

// Detail encodes an error's detail; "" for none.
func Detail(d *ringback.ErrorDetail) string {
	if d == nil {
		return ""
	}
	return JSON(d)
}

// Models encodes names of models; "" for none, which is the common case.
func Models(models []string) string {
	if len(models) == 0 {
		return ""
	}
	return JSON(models)
}
