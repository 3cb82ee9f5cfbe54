package outcome

import (
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/backoff"
	"github.com/ringback/ringback/internal/store"
)

// Policy is what a server decides by. All fields are required but Random.
type Policy struct {
	// MaxUncertain is how many attempts of a job may end uncertain.
	MaxUncertain int
	// RetryDelay is the pause after the first failed attempt. It doubles with each
	// further one.
	RetryDelay time.Duration
	// Patience is how long a job is put back that was started too early, since its ledger
	// has a row for each time: at least that long for a suspect job whose model is on hold,
	// about a quarter of it for one that found no memory.
	Patience time.Duration
	// FaultAfter is how many refusals, not shared by others, put a job at fault. It is only
	// quoted here; [Refusal] says whether that is so.
	FaultAfter int
	// Route returns the provider for a model and the provider's protocol. wanted is the
	// provider that the caller named, or "". ok is false if the configuration has no route.
	Route func(model, wanted string) (provider, protocol string, ok bool)
	// Random returns a number from 0 up to 1, by which pauses are jittered. Nil means 0.5,
	// which does not change them.
	Random func() float64
}

// Decide returns what happens to a job whose attempt ended at now with r. The row is the
// job's present state. The caller's wishes come first, then what stopped the call, then the
// provider's response.
func (p *Policy) Decide(row store.Job, r Result, now time.Time) store.Outcome {
	o := p.decide(row, r, now)
	o.Events = r.Kept.Events
	return o
}

func (p *Policy) decide(row store.Job, r Result, now time.Time) store.Outcome {
	switch {
	case r.kind == answered:
		return completed(r, now)
	case r.stop == Unstarted:
		return released(row, now, now.Add(p.pauseUnstarted()))
	case r.stop == Crowded:
		return released(row, now, now.Add(backoff.JitterBy(p.Patience/4, backoff.Half, p.random())))
	case r.stop == OnHold:
		return released(row, now, later(now.Add(p.Patience), r.Refusal.Until))
	case row.CancelRequested, r.stop == Cancelled:
		o := store.Outcome{At: now, Attempt: attempt(ringback.AttemptCancelled, r), Partial: r.Kept.Partial}
		return end(row, o, ringback.Cancelled, byCaller)
	case r.kind == stopped && !r.sent:
		return Release(row, now)
	case r.kind == stopped:
		return p.uncertain(row, r, now)
	default:
		return p.failed(row, r, now)
	}
}

func completed(r Result, now time.Time) store.Outcome {
	a := r.answer
	return store.Outcome{
		At:          now,
		Status:      ringback.Completed,
		Answer:      store.Pack(a.Message),
		AnswerModel: a.Model,
		Usage:       a.Usage,
		Attempt: &ringback.Attempt{
			Outcome: ringback.AttemptAnswered, FirstTokenAt: ringback.Time{Time: r.Kept.FirstTokenAt},
			Usage: a.Usage, ProviderRequestID: a.RequestID,
		},
	}
}

// attempt returns the ledger's row, without the fields that the store fills in.
func attempt(outcome ringback.AttemptOutcome, r Result) *ringback.Attempt {
	a := &ringback.Attempt{Outcome: outcome}
	if f := r.failure; f != nil {
		a.StatusCode, a.Usage, a.ProviderRequestID = f.StatusCode, f.PartialUsage, f.RequestID
		a.FirstTokenAt = ringback.Time{Time: r.Kept.FirstTokenAt}
		if outcome != ringback.AttemptCancelled {
			a.Error = f.Message
		}
	}
	return a
}

// waitUntil puts the job back into its lane.
func waitUntil(o store.Outcome, at time.Time) store.Outcome {
	o.Status, o.RunAt = ringback.Queued, at
	return o
}

// end ends the job without an answer.
func end(row store.Job, o store.Outcome, status ringback.Status, why reason) store.Outcome {
	o.Status, o.Error = status, why.sentence
	if o.Attempt != nil {
		o.Usage = o.Attempt.Usage // of the partial answer
	}
	if why.code != "" {
		// Retention does not affect the count of attempts.
		attempts := store.Apply(row, store.Outcome{At: o.At, Attempt: o.Attempt, Status: status}, store.Retention{}).Attempts
		o.ErrorDetail = &ringback.ErrorDetail{Code: why.code, Type: why.kind, StatusCode: why.statusCode, Attempts: attempts}
	}
	return o
}

func fail(row store.Job, o store.Outcome, why reason) store.Outcome {
	return end(row, o, ringback.Failed, why)
}

// turn returns the run_at of a job whose attempt was interrupted: the one it had, so that
// it runs again before later jobs.
func turn(row store.Job, now time.Time) time.Time {
	if row.RunAt.IsZero() || now.Before(row.RunAt) {
		return now
	}
	return row.RunAt
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
