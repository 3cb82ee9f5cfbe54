package store

import (
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
)

// Record is a job with everything that belongs to it, as it is copied from one store to
// another.
type Record struct {
	Job        Job
	Attempts   []ringback.Attempt // those that have ended, oldest first
	Deliveries []RecordDelivery
	Bodies     []Body // of the job and of its deliveries
}

// RecordDelivery is a delivery with its tries.
type RecordDelivery struct {
	Delivery

	DueAt time.Time // zero when it is not waiting to be sent: in flight, or ended
	Tries []RecordTry
}

// RecordTry is a try that has ended, with the fence of its claim.
type RecordTry struct {
	Fence int64
	ringback.Try
}

// Body is a piece of content as stored. Part says what it is, by the same number in every
// store.
type Body struct {
	Owner uuid.UUID // a job or a delivery
	Part  int
	Blob
}

// Counts counts the rows of a store.
type Counts struct {
	Jobs       int64 `json:"jobs"`
	Attempts   int64 `json:"attempts"`
	Deliveries int64 `json:"deliveries"`
	Tries      int64 `json:"tries"`
	Bodies     int64 `json:"bodies"`
}

// CountsOf counts some jobs and what belongs to them.
func CountsOf(jobs []Record) (a Counts) {
	for i := range jobs {
		w := &jobs[i]
		a.Jobs++
		a.Attempts += int64(len(w.Attempts))
		a.Deliveries += int64(len(w.Deliveries))
		a.Bodies += int64(len(w.Bodies))
		for j := range w.Deliveries {
			a.Tries += int64(len(w.Deliveries[j].Tries))
		}
	}
	return a
}
