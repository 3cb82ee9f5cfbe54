package dispatch

import (
	"net/http"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/limit"
	"github.com/ringback/ringback/internal/outcome"
	"github.com/ringback/ringback/internal/provider"
	"github.com/ringback/ringback/internal/store"
)

// report reports to the gates what the call means for model and key, and returns what
// they say about a refused job.
func (d *Dispatcher) report(j *store.Job, res outcome.Result, p *permit) outcome.Refusal {
	f := res.Failure()
	model, key := limit.Report{Verdict: limit.OK}, limit.Report{Verdict: limit.OK}
	var refusal keyRefusal
	freed := false
	switch {
	case res.Stop() != "":
		model, key = limit.Report{}, limit.Report{}
	case f == nil:
		freed = d.scheduler.answeredKey(p)
	default:
		model, key = reports(causeOf(j, f), f, time.Now())
		if f.Verdict == provider.HoldKey {
			refusal = d.scheduler.refusedKey(p, causeOf(j, f), key.Until)
			if !refusal.hold {
				key = limit.Report{}
			}
		}
	}
	if res.Stop() == "" && (f == nil || f.Verdict != provider.HoldKey || refusal.fault) {
		d.scheduler.forget(j.ID)
	}
	p.report(model, key)
	d.recorder.holds(j.Lane())
	until := d.cfg.Clock.Shared(d.comesAgain(j, refusal))
	d.recorder.keyRefused(j, f, refusal)
	if freed || p.probes() || mayHold(model) || mayHold(key) {
		d.cfg.Held()
	}
	return outcome.Refusal{Until: until, AtFault: refusal.fault}
}

// comesAgain returns when a refused job may be called again, in local time. One that was
// refused for its key does not wait in its row for as long as the key's hold may
// last: that would outlast a restart with a new key.
func (d *Dispatcher) comesAgain(j *store.Job, refusal keyRefusal) time.Time {
	held := d.scheduler.heldUntil(j.Lane())
	if refusal.until.IsZero() {
		return held
	}
	if longest := time.Now().Add(d.scheduler.gate.Longest()); held.After(longest) {
		held = longest
	}
	return later(refusal.until, held)
}

// mayHold reports whether a report may begin a hold.
func mayHold(r limit.Report) bool { return r.Verdict == limit.Failed || r.Verdict == limit.Refused }

// reports returns what a failure says about the model and about the key.
func reports(why cause, f *provider.Error, now time.Time) (model, key limit.Report) {
	var until time.Time
	if f.RetryAfter > 0 {
		until = now.Add(f.RetryAfter)
	}
	ok, void := limit.Report{Verdict: limit.OK}, limit.Report{}
	if f.Code == ringback.CodeInternal { // it says nothing about the provider
		return void, void
	}
	switch f.Verdict {
	case provider.Hold:
		return limit.Report{Verdict: limit.Refused, Until: until, Reason: reasonRefused, Cause: why}, void
	case provider.HoldKey:
		return void, limit.Report{Verdict: limit.Refused, Until: until, Reason: reasonKey, Cause: why}
	case provider.Retry:
		return limit.Report{Verdict: limit.Failed, Reason: reasonFailing, Cause: why}, void
	case provider.Reject:
		if f.StatusCode == http.StatusForbidden {
			return void, void // a firewall, perhaps one in front of the provider
		}
		return ok, ok
	default: // it answered: the model is missing
		return ok, ok
	}
}
