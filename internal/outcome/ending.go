package outcome

import (
	"cmp"
	"fmt"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
)

// Release puts back a running job for whose attempt no byte was sent: it keeps its turn.
func Release(row store.Job, now time.Time) store.Outcome {
	return released(row, now, turn(row, now))
}

func released(row store.Job, now, until time.Time) store.Outcome {
	o := store.Outcome{At: now, Attempt: &ringback.Attempt{Outcome: ringback.AttemptReleased}}
	if row.CancelRequested {
		return end(row, o, ringback.Cancelled, byCaller)
	}
	return waitUntil(o, until)
}

// Lost decides about a running job whose node died: the provider may have answered.
func (p *Policy) Lost(row store.Job, now time.Time) store.Outcome {
	return p.uncertain(row, Result{kind: stopped, stop: Interrupted, sent: true}, now)
}

// uncertain decides about an attempt whose process ended, or had to stop, between the first
// byte sent and the commit of the answer.
func (p *Policy) uncertain(row store.Job, r Result, now time.Time) store.Outcome {
	a := attempt(ringback.AttemptUncertain, r)
	a.Error = "the process stopped before an answer was stored; the provider may have answered"
	o := store.Outcome{At: now, Attempt: a, Partial: r.Kept.Partial}
	switch {
	case row.CancelRequested:
		return end(row, o, ringback.Cancelled, byCaller)
	case row.Unreadable != "":
		return fail(row, o, unreadable(row))
	case row.Options.RetryUncertain == ringback.RetryNever:
		return fail(row, o, reason{code: ringback.CodeUncertain,
			sentence: "the attempt's outcome is unknown and retry_uncertain is never: the provider may have answered"})
	case row.Uncertain+1 >= p.MaxUncertain:
		return fail(row, o, reason{code: ringback.CodeUncertain,
			sentence: fmt.Sprintf("%d attempts ended without an outcome because the process died; the job may be what killed it", p.MaxUncertain)})
	case row.Uncertain+1 >= store.SuspectAfter: // it waits behind all others
		return waitUntil(o, now)
	default:
		return waitUntil(o, turn(row, now))
	}
}

// Expire decides about a waiting job whose time is over: it has waited for max_wait after
// its provider refused it, or is past expires_at. waited is its status_reason; "" if it
// only waited for its turn.
func (p *Policy) Expire(row store.Job, waited string, now time.Time) store.Outcome {
	o := store.Outcome{At: now}
	if row.Unreadable != "" {
		return fail(row, o, unreadable(row))
	}
	if now.Before(row.ExpiresAt) {
		return p.nextModel(row, o, maxWait(row, nil))
	}
	why := reason{sentence: "expired at " + row.ExpiresAt.Format(time.RFC3339) + ": " + cmp.Or(waited, "it was still waiting")}
	if waited == string(ringback.CodeProviderRefusedKey) {
		why.code = ringback.CodeProviderRefusedKey
	}
	return end(row, o, ringback.Expired, why)
}

// Cancel ends a waiting job that is cancelled.
func Cancel(row store.Job, now time.Time) store.Outcome {
	return end(row, store.Outcome{At: now}, ringback.Cancelled, byCaller)
}

// Hasten makes a waiting job due.
func Hasten(now time.Time) store.Outcome {
	return waitUntil(store.Outcome{At: now}, now)
}

// Unstorable fails a running job whose outcome the store can't accept. It stores as little
// as possible.
func Unstorable(row store.Job, now time.Time) store.Outcome {
	a := &ringback.Attempt{Outcome: ringback.AttemptFailed, Error: "its outcome could not be stored"}
	return fail(row, store.Outcome{At: now, Attempt: a, Failed: true},
		reason{code: ringback.CodeInternal, sentence: "an internal error kept the outcome of the attempt from being stored"})
}

// Quarantine fails a job about which a decision panicked.
func Quarantine(row store.Job, now time.Time) store.Outcome {
	const sentence = "an internal error kept the job from being run; the server's log has its cause under the job's id"
	o := store.Outcome{At: now, Failed: true}
	if row.Status == ringback.Running {
		o.Attempt = &ringback.Attempt{Outcome: ringback.AttemptFailed, Error: sentence}
	}
	return fail(row, o, reason{code: ringback.CodeInternal, sentence: sentence})
}
