package outcome

import (
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/backoff"
	"github.com/ringback/ringback/internal/provider"
	"github.com/ringback/ringback/internal/store"
)

// failed returns what becomes of a job whose call failed, by the verdict on the response.
func (p *Policy) failed(row store.Job, r Result, now time.Time) store.Outcome {
	f := r.failure
	o := store.Outcome{At: now, Attempt: attempt(ringback.AttemptFailed, r), Partial: r.Kept.Partial}
	switch f.Verdict {
	case provider.Hold:
		o.Attempt.Outcome = ringback.AttemptRefused
		return p.refused(row, o, f, r.Refusal.Until)
	case provider.HoldKey:
		// It is about our account, unless others get answers: the job waits until the key
		// works, or until it expires, behind those that were not refused.
		o.Attempt.Outcome = ringback.AttemptRefused
		if r.Refusal.AtFault {
			return p.nextModel(row, o, p.atFault(f))
		}
		return waitUntil(o, later(now, r.Refusal.Until))
	case provider.ModelMissing:
		return p.nextModel(row, o, saidBy(f))
	case provider.Reject:
		return fail(row, o, saidBy(f))
	default:
		o.Failed = true
		if row.Failures+1 >= row.Options.MaxAttempts {
			return p.nextModel(row, o, saidBy(f))
		}
		return waitUntil(o, now.Add(p.pause(row.Failures+1)))
	}
}

// refused puts the job behind those that were not refused, or gives up its model when it
// has waited long enough since its own first refusal.
func (p *Policy) refused(row store.Job, o store.Outcome, f *provider.Error, until time.Time) store.Outcome {
	if !row.FirstRefusedAt.IsZero() && !o.At.Before(row.FirstRefusedAt.Add(row.Options.MaxWait)) {
		return p.nextModel(row, o, maxWait(row, f))
	}
	o.Refused = true
	return waitUntil(o, later(o.At, until))
}

// nextModel switches to the next of the fallback models, or fails. It skips models that the
// configuration no longer routes anywhere.
func (p *Policy) nextModel(row store.Job, o store.Outcome, why reason) store.Outcome {
	for _, model := range row.Fallbacks {
		name, protocol, ok := p.Route(model, row.Options.Provider)
		if ok && protocol == row.Protocol {
			o.NextModel, o.NextProvider = model, name
			return waitUntil(o, o.At)
		}
	}
	return fail(row, o, why)
}

// pause returns the time after the failures-th failed attempt: it doubles, ±20 %.
func (p *Policy) pause(failures int) time.Duration {
	return backoff.JitterBy(p.RetryDelay<<min(failures-1, 10), backoff.Fifth, p.random())
}

// pauseUnstarted returns the time after which an attempt that could not begin is due again.
func (p *Policy) pauseUnstarted() time.Duration {
	return backoff.JitterBy(p.RetryDelay, backoff.Half, p.random())
}

func (p *Policy) random() float64 {
	if p.Random == nil {
		return 0.5
	}
	return p.Random()
}
