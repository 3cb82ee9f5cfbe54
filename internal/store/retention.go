package store

import (
	"cmp"
	"time"

	"github.com/ringback/ringback"
)

// Retention is how long things are kept. It is policy: the opener of a store decides, and
// passes the same to everybody who applies outcomes.
type Retention struct {
	// DeadLetters is how long content is kept, at least, after a job or one of its
	// deliveries became a dead letter; 0 means 14 days.
	DeadLetters time.Duration
	// Rows is how long a row outlives its content, to answer 410; 0 means 30 days.
	Rows time.Duration
	// LeastResult is the least result TTL that a caller can ask for; 0 means a minute.
	LeastResult time.Duration
}

// WithDefaults returns r with its zero fields set.
func (r Retention) WithDefaults() Retention {
	const day = 24 * time.Hour
	return Retention{
		DeadLetters: cmp.Or(r.DeadLetters, 14*day),
		Rows:        cmp.Or(r.Rows, 30*day),
		LeastResult: cmp.Or(r.LeastResult, time.Minute),
	}
}

// content returns how long the content of a job that ended with status is kept.
func (r Retention) content(status ringback.Status, resultTTL time.Duration) time.Duration {
	if status == ringback.Failed {
		return max(resultTTL, r.WithDefaults().DeadLetters)
	}
	return resultTTL
}

// DeliveryUntil returns until when a delivery that has ended needs its job's content: the
// zero time before its end, and if the content lives longer anyway, as it nearly always
// does.
func (r Retention) DeliveryUntil(d *Delivery) time.Time {
	r = r.WithDefaults()
	switch {
	case d.EndedAt.IsZero():
		return time.Time{}
	case d.Status == ringback.DeliveryDead:
		return d.EndedAt.Add(r.DeadLetters)
	case d.EndedAt.Sub(d.MadeAt) < r.LeastResult:
		return time.Time{}
	default:
		return d.EndedAt
	}
}
