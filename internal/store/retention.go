package store

import (
	"time"

	"github.com/ringback/ringback"
)

// RowTTL is how long a row outlives its content, to answer 410.
const RowTTL = 30 * 24 * time.Hour

// DeadLetterTTL is how long content is kept after a job or one of its
// deliveries became a dead letter.
const DeadLetterTTL = 14 * 24 * time.Hour

// minResultTTL is the least that a caller can ask for.
const minResultTTL = time.Minute

// KeepsContentUntil is until when a delivery that has ended needs the content of its
// job; zero before, and if that lives longer anyway, as it does of nearly all.
func (d *Delivery) KeepsContentUntil() time.Time {
	switch {
	case d.EndedAt.IsZero():
		return time.Time{}
	case d.Status == ringback.DeliveryDead:
		return d.EndedAt.Add(DeadLetterTTL)
	case d.EndedAt.Sub(d.MadeAt) < minResultTTL:
		return time.Time{}
	default:
		return d.EndedAt
	}
}
