package node

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/backoff"
	"github.com/ringback/ringback/internal/provider"
	"github.com/ringback/ringback/internal/store"
)

// decide says what becomes of a job whose attempt brought res. An answer's
// webhook is made here, outside the transaction, and may be in flight from its insert on; the
// rest depends on the row as it stands, and is made there.
func (n *Node) decide(j store.Job, res result, now time.Time) (store.Decide, *send) {
	now = now.Truncate(time.Millisecond)
	if res.answer != nil {
		o, inserted := n.completed(j, res.answer, now)
		o.Events = res.events
		return func(store.Job) store.Outcome { return o }, inserted
	}
	// Nearly always the row stands as it did when it was claimed. So the outcome
	// too, which may hold megabytes of a partial answer, is made outside.
	expected := n.without(j, res, now)
	return func(row store.Job) store.Outcome {
		same := row.CancelRequested == j.CancelRequested && (len(res.partial.Bytes) > 0 || len(row.Partial.Bytes) == 0)
		if same {
			return expected
		}
		return n.without(row, res, now)
	}, nil
}

// unstorable fails a job whose outcome could not be stored, as plainly as can be.
func (n *Node) unstorable(now time.Time) store.Decide {
	now = now.Truncate(time.Millisecond)
	return func(row store.Job) store.Outcome {
		a := &ringback.Attempt{Outcome: ringback.AttemptFailed, Error: "its outcome could not be stored"}
		return n.failed(row, store.Outcome{At: now, Attempt: a, Failed: true},
			reason{code: ringback.CodeInternal, sentence: "an internal error kept the outcome of the attempt from being stored"})
	}
}

// without decides about an attempt that brought no answer. What the caller
// wants goes first, then what stopped the call, then what the provider said.
func (n *Node) without(j store.Job, res result, now time.Time) store.Outcome {
	o := n.unanswered(j, res, now)
	o.Events = res.events
	return o
}

func (n *Node) unanswered(j store.Job, res result, now time.Time) store.Outcome {
	if errors.Is(res.stopped, errUnread) || errors.Is(res.stopped, errShort) {
		return n.released(j, now, n.afterPause(now))
	}
	if errors.Is(res.stopped, errHeld) {
		// At least a minute: its ledger has a row for each time it is looked at.
		return n.released(j, now, later(now.Add(suspectPatience), n.clock.Shared(n.jobs.next(j.Lane()))))
	}
	if j.CancelRequested || errors.Is(res.stopped, errCancelled) {
		return n.cancelled(j, res, now)
	}
	if res.stopped != nil {
		if !res.sent {
			return n.released(j, now, turn(j, now))
		}
		return n.uncertain(j, res, now)
	}
	f := res.failed
	o := store.Outcome{At: now, Attempt: attempt(ringback.AttemptFailed, res), Partial: res.partial}
	switch f.Verdict {
	case provider.Hold:
		o.Attempt.Outcome = ringback.AttemptRefused
		return n.refused(j, o, f, res.heldUntil)
	case provider.HoldKey:
		// It speaks of our account, unless others are answered: the job waits until
		// the key works, or until it expires, behind those not refused.
		o.Attempt.Outcome = ringback.AttemptRefused
		if res.fault {
			return n.nextModel(j, o, atFault(f))
		}
		return waitUntil(o, later(now, res.heldUntil))
	case provider.ModelMissing:
		return n.nextModel(j, o, failure(f))
	case provider.Reject:
		return n.failed(j, o, failure(f))
	default:
		o.Failed = true
		if j.Failures+1 >= j.Options.MaxAttempts {
			return n.nextModel(j, o, failure(f))
		}
		return waitUntil(o, now.Add(n.backoff(j.Failures+1)))
	}
}

// refused puts the job behind those not refused, or ends it when it has waited
// long enough since its own first refusal.
func (n *Node) refused(j store.Job, o store.Outcome, f *provider.Error, until time.Time) store.Outcome {
	if !j.FirstRefusedAt.IsZero() && !o.At.Before(j.FirstRefusedAt.Add(j.Options.MaxWait)) {
		return n.nextModel(j, o, maxWait(j, f))
	}
	o.Refused = true
	return waitUntil(o, later(o.At, until))
}

// nextModel asks the next of the fallback models, or fails. Models that the
// configuration no longer leads anywhere are passed over.
func (n *Node) nextModel(j store.Job, o store.Outcome, why reason) store.Outcome {
	for _, model := range j.Fallbacks {
		name, err := n.route(model, j.Options.Provider)
		if err == nil && n.cfg.Providers[name].Client.Protocol() == j.Protocol {
			o.NextModel, o.NextProvider = model, name
			return waitUntil(o, o.At)
		}
	}
	return n.failed(j, o, why)
}

// uncertain decides about an attempt whose process ended, or was told to stop,
// between the first byte sent and the commit of the answer.
func (n *Node) uncertain(j store.Job, res result, now time.Time) store.Outcome {
	a := attempt(ringback.AttemptUncertain, res)
	a.Error = "the process stopped before an answer was stored; the provider may have answered"
	o := store.Outcome{At: now, Attempt: a, Partial: res.partial}
	switch {
	case j.CancelRequested:
		return n.end(j, o, ringback.Cancelled, byCaller)
	case j.Unreadable != "":
		return n.failed(j, o, unreadable(j))
	case j.Options.RetryUncertain == ringback.RetryNever:
		return n.failed(j, o, reason{code: ringback.CodeUncertain,
			sentence: "the attempt's outcome is unknown and retry_uncertain is never: the provider may have answered"})
	case j.Uncertain+1 >= maxUncertain:
		return n.failed(j, o, reason{code: ringback.CodeUncertain,
			sentence: fmt.Sprintf("%d attempts ended without an outcome because the process died; the job may be what killed it", maxUncertain)})
	case j.Uncertain+1 >= store.SuspectAfter: // it waits behind all others
		return waitUntil(o, now)
	default:
		return waitUntil(o, turn(j, now))
	}
}

// turn is the run_at of a job whose attempt was interrupted: the one it had, so that it
// runs again before whatever came later.
func turn(j store.Job, now time.Time) time.Time { return earlier(j.RunAt, now) }

// released puts back a job of which no byte was sent.
func (n *Node) released(j store.Job, now, until time.Time) store.Outcome {
	o := store.Outcome{At: now, Attempt: &ringback.Attempt{Outcome: ringback.AttemptReleased}}
	if j.CancelRequested {
		return n.end(j, o, ringback.Cancelled, byCaller)
	}
	return waitUntil(o, until)
}

func (n *Node) cancelled(j store.Job, res result, now time.Time) store.Outcome {
	o := store.Outcome{At: now, Attempt: attempt(ringback.AttemptCancelled, res), Partial: res.partial}
	return n.end(j, o, ringback.Cancelled, byCaller)
}

// reason is why a job ended without an answer.
type reason struct {
	sentence   string
	code       ringback.ErrorDetailCode // "" where no error ended it
	kind       string
	statusCode int
}

// byCaller ends a cancelled job.
var byCaller = reason{sentence: "the job was cancelled"}

// unreadable ends a job whose row can't be read, so that nobody comes across it again.
func unreadable(j store.Job) reason {
	return reason{code: ringback.CodeInternal,
		sentence: "the stored job can't be read: " + j.Unreadable + "; submit it anew"}
}

func failure(f *provider.Error) reason {
	return reason{sentence: f.Message, code: f.Code, kind: f.Type, statusCode: f.StatusCode}
}

func maxWait(j store.Job, f *provider.Error) reason {
	r := reason{code: ringback.CodeMaxWait, sentence: fmt.Sprintf("the provider refused for %s, as long as max_wait_seconds allows", j.Options.MaxWait)}
	if f != nil {
		r.kind, r.statusCode = f.Type, f.StatusCode
		r.sentence += "; the last time: " + f.Message
	}
	return r
}

func (n *Node) failed(j store.Job, o store.Outcome, why reason) store.Outcome {
	return n.end(j, o, ringback.Failed, why)
}

func waitUntil(o store.Outcome, at time.Time) store.Outcome {
	o.Status, o.RunAt = ringback.Queued, at
	return o
}

// attempt is the ledger's row, less what the store knows.
func attempt(outcome ringback.AttemptOutcome, res result) *ringback.Attempt {
	a := &ringback.Attempt{Outcome: outcome}
	if f := res.failed; f != nil {
		a.StatusCode, a.Usage, a.ProviderRequestID = f.StatusCode, f.PartialUsage, f.RequestID
		a.FirstTokenAt = ringback.Time{Time: res.firstTokenAt}
		if outcome != ringback.AttemptCancelled {
			a.Error = f.Message
		}
	}
	return a
}

func packPartial(res result) store.Blob {
	if res.failed == nil || res.failed.PartialText == "" {
		return store.Blob{}
	}
	return store.Pack([]byte(res.failed.PartialText))
}

// backoff is the pause after the failures-th failed attempt: it doubles, ±20 %.
func (n *Node) backoff(failures int) time.Duration {
	d := n.cfg.RetryDelay << min(failures-1, 10)
	return backoff.Jitter(d, backoff.Fifth)
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// expired decides about a job that waited too long: behind a provider that
// refused it, or at all.
func (n *Node) expired(j store.Job, now time.Time) store.Outcome {
	o := store.Outcome{At: now}
	if j.Unreadable != "" {
		return n.failed(j, o, unreadable(j))
	}
	if now.Before(j.ExpiresAt) {
		return n.nextModel(j, o, maxWait(j, nil))
	}
	waited := n.waitReason(&j, now)
	why := reason{sentence: "expired at " + j.ExpiresAt.Format(time.RFC3339) + ": " + cmp.Or(waited, "it was still waiting")}
	if waited == reasonKey {
		why.code = ringback.CodeProviderRefusedKey
	}
	return n.end(j, o, ringback.Expired, why)
}
