package outcome_test

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/outcome"
	"github.com/ringback/ringback/internal/provider"
	"github.com/ringback/ringback/internal/store"
)

var now = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

// after returns a time after now.
func after(d time.Duration) time.Time { return now.Add(d) }

// policy routes the models a, b and c to one provider, and other to one with another
// protocol.
func policy() *outcome.Policy {
	return &outcome.Policy{
		MaxUncertain: 10,
		RetryDelay:   5 * time.Second,
		Patience:     time.Minute,
		FaultAfter:   3,
		Route: func(model, _ string) (name, protocol string, ok bool) {
			switch model {
			case "a", "b", "c":
				return "one", "anthropic", true
			case "other":
				return "two", "openai", true
			}
			return "", "", false
		},
	}
}

// running returns a job whose first attempt is running.
func running(change ...func(*store.Job)) store.Job {
	j := store.Job{
		Project: "p", Provider: "one", Protocol: "anthropic", Model: "a", RequestedModel: "a",
		Status: ringback.Running, Fence: 1, Node: "n",
		CreatedAt: after(-time.Minute), RunAt: after(-time.Minute), StartedAt: after(-time.Second), FirstStartedAt: after(-time.Second),
		ExpiresAt: after(7 * 24 * time.Hour), EndBy: after(7 * 24 * time.Hour),
		Options: store.Options{MaxAttempts: 3, MaxWait: time.Hour, ResultTTL: 24 * time.Hour, RetryUncertain: ringback.RetryAlways},
	}
	for _, c := range change {
		c(&j)
	}
	return j
}

// waiting returns a job that has never run.
func waiting(change ...func(*store.Job)) store.Job {
	return running(append([]func(*store.Job){func(j *store.Job) {
		j.Status, j.Node, j.Fence, j.StartedAt, j.FirstStartedAt = ringback.Queued, "", 0, time.Time{}, time.Time{}
	}}, change...)...)
}

func cancelled(j *store.Job)  { j.CancelRequested = true }
func unreadable(j *store.Job) { j.Unreadable = "metadata" }
func noRepeat(j *store.Job)   { j.Options.RetryUncertain = ringback.RetryNever }

func failures(n int) func(*store.Job) {
	return func(j *store.Job) { j.Failures, j.Attempts = n, n }
}

func uncertain(n int) func(*store.Job) {
	return func(j *store.Job) { j.Uncertain, j.Attempts = n, n }
}

func refusedSince(at time.Time) func(*store.Job) {
	return func(j *store.Job) { j.FirstRefusedAt = at }
}

func fallbacks(models ...string) func(*store.Job) {
	return func(j *store.Job) { j.Fallbacks = models }
}

func answer() outcome.Result {
	r := outcome.Answered(&provider.Answer{
		Message: []byte(`{"id":"m"}`), Text: "hello", Model: "a-1", Usage: []byte(`{"input_tokens":1,"output_tokens":2}`), RequestID: "r",
	})
	r.Kept.FirstTokenAt = after(-time.Millisecond)
	return r
}

// failure returns how a call failed, after part of an answer had arrived.
func failure(v provider.Verdict, code ringback.ErrorDetailCode, status int) *provider.Error {
	return &provider.Error{
		Verdict: v, Code: code, StatusCode: status, Type: "its_type", Message: "its message",
		PartialText: "hel", PartialUsage: []byte(`{"input_tokens":1,"output_tokens":1}`), RequestID: "r", Sent: true,
	}
}

func failed(v provider.Verdict, code ringback.ErrorDetailCode, status int) outcome.Result {
	r := outcome.Failed(failure(v, code, status))
	r.Kept = outcome.Kept{FirstTokenAt: after(-time.Millisecond), Partial: store.Pack([]byte("hel")), Events: store.Pack([]byte("log"))}
	return r
}

// until returns a result with what the gates say about it.
func until(r outcome.Result, at time.Time, fault bool) outcome.Result {
	r.Refusal = outcome.Refusal{Until: at, AtFault: fault}
	return r
}

// stopped returns a call that we ended, after its first byte was sent or before it began.
func stopped(why outcome.Stop, sent bool) outcome.Result {
	if !sent {
		return outcome.Stopped(why, nil)
	}
	r := outcome.Stopped(why, failure(provider.Stopped, "", 0))
	r.Kept.Partial = store.Pack([]byte("hel"))
	return r
}

// want is what must happen to a job.
type want struct {
	status  ringback.Status
	attempt ringback.AttemptOutcome
	costs   bool // it counts against MaxAttempts
	ages    bool // max_wait counts from here on
	// Of a wait.
	runAt time.Time
	model string // the next one
	// Of an end.
	code     ringback.ErrorDetailCode
	sentence string
}

func got(o store.Outcome) want {
	w := want{status: o.Status, costs: o.Failed, ages: o.Refused, runAt: o.RunAt, model: o.NextModel, sentence: o.Error}
	if o.Attempt != nil {
		w.attempt = o.Attempt.Outcome
	}
	if o.ErrorDetail != nil {
		w.code = o.ErrorDetail.Code
	}
	return w
}

func same(t *testing.T, row store.Job, o store.Outcome, w want) {
	t.Helper()
	if err := o.Check(row); err != nil {
		t.Errorf("the store refuses the outcome: %v", err)
	}
	if w.sentence == "" { // not what this row is about
		w.sentence = o.Error
	}
	if d := cmp.Diff(w, got(o), cmp.AllowUnexported(want{})); d != "" {
		t.Errorf("outcome (-want +got):\n%s", d)
	}
}

// What each verdict on a response leads to. Which response has which verdict is tested in
// package provider.
func TestWhatTheProviderSays(t *testing.T) {
	t.Parallel()
	retry := failed(provider.Retry, ringback.CodeProviderError, 500)
	hold := failed(provider.Hold, ringback.CodeProviderError, 429)
	key := failed(provider.HoldKey, ringback.CodeProviderRefusedKey, 401)
	missing := failed(provider.ModelMissing, ringback.CodeModelNotFound, 404)
	reject := failed(provider.Reject, ringback.CodeProviderRejected, 400)
	const (
		aFailed  = ringback.AttemptFailed
		aRefused = ringback.AttemptRefused
	)
	for _, c := range []struct {
		name   string
		row    store.Job
		result outcome.Result
		want   want
	}{
		{"an answer completes the job", running(), answer(), want{status: ringback.Completed, attempt: ringback.AttemptAnswered}},
		{"an answer after failures completes it too", running(failures(2)), answer(), want{status: ringback.Completed, attempt: ringback.AttemptAnswered}},

		{"a failure costs an attempt, and is retried after 5 s", running(), retry, want{status: ringback.Queued, attempt: aFailed, costs: true, runAt: after(5 * time.Second)}},
		{"the pause doubles", running(failures(1)), retry, want{status: ringback.Queued, attempt: aFailed, costs: true, runAt: after(10 * time.Second)}},
		{"the last of three failures ends the job", running(failures(2)), retry, want{status: ringback.Failed, attempt: aFailed, costs: true, code: ringback.CodeProviderError, sentence: "its message"}},
		{"a broken stream is a failure", running(failures(2)), failed(provider.Retry, ringback.CodeStreamBroken, 200), want{status: ringback.Failed, attempt: aFailed, costs: true, code: ringback.CodeStreamBroken}},
		{"silence is a failure", running(failures(2)), failed(provider.Retry, ringback.CodeIdle, 200), want{status: ringback.Failed, attempt: aFailed, costs: true, code: ringback.CodeIdle}},
		{"a timeout is a failure", running(), failed(provider.Retry, ringback.CodeTimeout, 0), want{status: ringback.Queued, attempt: aFailed, costs: true, runAt: after(5 * time.Second)}},
		{"a panic of ours is a failure", running(failures(2)), failed(provider.Retry, ringback.CodeInternal, 0), want{status: ringback.Failed, attempt: aFailed, costs: true, code: ringback.CodeInternal}},
		{"used-up attempts lead to the next model", running(failures(2), fallbacks("b", "c")), retry, want{status: ringback.Queued, attempt: aFailed, costs: true, runAt: now, model: "b"}},

		{"a refusal costs nothing, and the job waits for the hold's end", running(), until(hold, after(time.Minute), false), want{status: ringback.Queued, attempt: aRefused, ages: true, runAt: after(time.Minute)}},
		{"a refusal after which there is no hold is due at once", running(), until(hold, after(-time.Minute), false), want{status: ringback.Queued, attempt: aRefused, ages: true, runAt: now}},
		{"a refusal within max_wait waits on", running(refusedSince(after(-59 * time.Minute))), until(hold, after(time.Second), false), want{status: ringback.Queued, attempt: aRefused, ages: true, runAt: after(time.Second)}},
		{"a refusal at max_wait ends the job", running(refusedSince(after(-time.Hour))), until(hold, after(time.Second), false), want{status: ringback.Failed, attempt: aRefused, code: ringback.CodeMaxWait, sentence: "the provider refused for 1h0m0s, as long as max_wait_seconds allows; the last time: its message"}},
		{"a refusal at max_wait leads to the next model", running(refusedSince(after(-time.Hour)), fallbacks("b")), hold, want{status: ringback.Queued, attempt: aRefused, runAt: now, model: "b"}},

		{"a refused key costs nothing, and the job waits", running(), until(key, after(time.Hour), false), want{status: ringback.Queued, attempt: aRefused, runAt: after(time.Hour)}},
		{"max_wait does not count for a refused key", running(refusedSince(after(-2 * time.Hour))), until(key, after(time.Hour), false), want{status: ringback.Queued, attempt: aRefused, runAt: after(time.Hour)}},
		{"the same refusal three times while others are answered fails the job", running(), until(key, after(time.Hour), true), want{status: ringback.Failed, attempt: aRefused, code: ringback.CodeProviderRejected, sentence: "the provider refused this request 3 times while it answered others with the same key; its last error: its message"}},
		{"such a job asks its next model first", running(fallbacks("b")), until(key, after(time.Hour), true), want{status: ringback.Queued, attempt: aRefused, runAt: now, model: "b"}},

		{"a request at fault fails the job", running(fallbacks("b")), failed(provider.Reject, ringback.CodeProviderRejected, 403), want{status: ringback.Failed, attempt: aFailed, code: ringback.CodeProviderRejected}},
		{"any other 4xx fails the job", running(), reject, want{status: ringback.Failed, attempt: aFailed, code: ringback.CodeProviderRejected}},

		{"a missing model leads to the next one", running(fallbacks("b", "c")), missing, want{status: ringback.Queued, attempt: aFailed, runAt: now, model: "b"}},
		{"a missing model without another one fails the job", running(), missing, want{status: ringback.Failed, attempt: aFailed, code: ringback.CodeModelNotFound}},
		{"a model that leads nowhere is passed over", running(fallbacks("gone", "c")), missing, want{status: ringback.Queued, attempt: aFailed, runAt: now, model: "c"}},
		{"a model of another protocol is passed over", running(fallbacks("other", "c")), missing, want{status: ringback.Queued, attempt: aFailed, runAt: now, model: "c"}},
		{"where all are passed over the job fails", running(fallbacks("gone", "other")), missing, want{status: ringback.Failed, attempt: aFailed, code: ringback.CodeModelNotFound}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			same(t, c.row, policy().Decide(c.row, c.result, now), c.want)
		})
	}
}

func TestWhatStoppedTheCallDecides(t *testing.T) {
	t.Parallel()
	const (
		aReleased  = ringback.AttemptReleased
		aUncertain = ringback.AttemptUncertain
		aCancelled = ringback.AttemptCancelled
	)
	its := after(-time.Minute) // the run_at that the job had
	for _, c := range []struct {
		name   string
		row    store.Job
		result outcome.Result
		want   want
	}{
		{"drained before the first byte: it keeps its turn", running(), stopped(outcome.Drained, false), want{status: ringback.Queued, attempt: aReleased, runAt: its}},
		{"drained after it: uncertain, and it keeps its turn", running(), stopped(outcome.Drained, true), want{status: ringback.Queued, attempt: aUncertain, runAt: its}},
		{"an answer whose settle the drain ended is uncertain", running(), answer().Drain(), want{status: ringback.Queued, attempt: aUncertain, runAt: its}},
		{"so is a failure", running(), failed(provider.Retry, ringback.CodeProviderError, 500).Drain(), want{status: ringback.Queued, attempt: aUncertain, runAt: its}},
		{"the lease was lost before the first byte", running(), stopped(outcome.Interrupted, false), want{status: ringback.Queued, attempt: aReleased, runAt: its}},
		{"the lease was lost after it", running(), stopped(outcome.Interrupted, true), want{status: ringback.Queued, attempt: aUncertain, runAt: its}},
		{"a turn in the future is now", running(func(j *store.Job) { j.RunAt = after(time.Hour) }), stopped(outcome.Drained, false), want{status: ringback.Queued, attempt: aReleased, runAt: now}},
		{"the third uncertain attempt puts the job behind all others", running(uncertain(2)), stopped(outcome.Interrupted, true), want{status: ringback.Queued, attempt: aUncertain, runAt: now}},
		{"the tenth ends it", running(uncertain(9)), stopped(outcome.Interrupted, true), want{status: ringback.Failed, attempt: aUncertain, code: ringback.CodeUncertain, sentence: "10 attempts ended without an outcome because the process died; the job may be what killed it"}},
		{"retry_uncertain never ends the job at the first", running(noRepeat), stopped(outcome.Interrupted, true), want{status: ringback.Failed, attempt: aUncertain, code: ringback.CodeUncertain}},
		{"retry_uncertain never does not matter where no byte was sent", running(noRepeat), stopped(outcome.Interrupted, false), want{status: ringback.Queued, attempt: aReleased, runAt: its}},
		{"what can't begin now is due after a pause", running(), stopped(outcome.Unstarted, false), want{status: ringback.Queued, attempt: aReleased, runAt: after(5 * time.Second)}},
		{"what finds others waiting for memory makes room for a while", running(), stopped(outcome.Crowded, false), want{status: ringback.Queued, attempt: aReleased, runAt: after(15 * time.Second)}},
		{"cancelled while it waited for memory", running(cancelled), stopped(outcome.Crowded, false), want{status: ringback.Cancelled, attempt: aReleased}},
		{"a suspect job behind a hold waits for a minute at least", running(uncertain(3)), until(stopped(outcome.OnHold, false), after(time.Second), false), want{status: ringback.Queued, attempt: aReleased, runAt: after(time.Minute)}},
		{"and for the end of a longer hold", running(uncertain(3)), until(stopped(outcome.OnHold, false), after(time.Hour), false), want{status: ringback.Queued, attempt: aReleased, runAt: after(time.Hour)}},
		{"cancelled before the first byte", running(cancelled), stopped(outcome.Cancelled, false), want{status: ringback.Cancelled, attempt: aCancelled}},
		{"cancelled after it", running(cancelled), stopped(outcome.Cancelled, true), want{status: ringback.Cancelled, attempt: aCancelled}},
		{"cancelled and drained", running(cancelled), stopped(outcome.Drained, true), want{status: ringback.Cancelled, attempt: aCancelled}},
		{"cancelled while it could not begin", running(cancelled), stopped(outcome.Unstarted, false), want{status: ringback.Cancelled, attempt: aReleased}},
		{"cancelled behind a hold", running(cancelled), stopped(outcome.OnHold, false), want{status: ringback.Cancelled, attempt: aReleased}},
		{"cancelled, and then failed", running(cancelled), failed(provider.Retry, ringback.CodeProviderError, 500), want{status: ringback.Cancelled, attempt: aCancelled}},
		{"cancelled, but the whole answer was there first", running(cancelled), answer(), want{status: ringback.Completed, attempt: ringback.AttemptAnswered}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			same(t, c.row, policy().Decide(c.row, c.result, now), c.want)
		})
	}
}

// The decisions without a result.
func TestEndingsWithoutAResult(t *testing.T) {
	t.Parallel()
	p := policy()
	past := func(j *store.Job) { j.ExpiresAt = now }
	for _, c := range []struct {
		name string
		row  store.Job
		made func(row store.Job) store.Outcome
		want want
	}{
		{"expired", waiting(past), expire(p, ""), want{status: ringback.Expired, sentence: "expired at 2026-11-23T09:00:00Z: it was still waiting"}},
		{"expired for a reason", waiting(past), expire(p, "scheduled"), want{status: ringback.Expired, sentence: "expired at 2026-11-23T09:00:00Z: scheduled"}},
		{"expired behind a refused key", waiting(past), expire(p, "provider_refused_key"), want{status: ringback.Expired, code: ringback.CodeProviderRefusedKey}},
		{"waited for max_wait", waiting(refusedSince(after(-time.Hour))), expire(p, ""), want{status: ringback.Failed, code: ringback.CodeMaxWait, sentence: "the provider refused for 1h0m0s, as long as max_wait_seconds allows"}},
		{"waited for max_wait, with another model", waiting(refusedSince(after(-time.Hour)), fallbacks("b")), expire(p, ""), want{status: ringback.Queued, runAt: now, model: "b"}},
		{"can't be read", waiting(unreadable), expire(p, "unreadable"), want{status: ringback.Failed, code: ringback.CodeInternal, sentence: "the stored job can't be read: metadata; submit it anew"}},
		{"cancelled while it waits", waiting(), func(row store.Job) store.Outcome { return outcome.Cancel(row, now) }, want{status: ringback.Cancelled, sentence: "the job was cancelled"}},
		{"hastened", waiting(), func(store.Job) store.Outcome { return outcome.Hasten(now) }, want{status: ringback.Queued, runAt: now}},
		{"its node died", running(), lost(p), want{status: ringback.Queued, attempt: ringback.AttemptUncertain, runAt: after(-time.Minute)}},
		{"its node died for the tenth time", running(uncertain(9)), lost(p), want{status: ringback.Failed, attempt: ringback.AttemptUncertain, code: ringback.CodeUncertain}},
		{"its node died, and it was to be cancelled", running(cancelled), lost(p), want{status: ringback.Cancelled, attempt: ringback.AttemptUncertain}},
		{"its node died, and it can't be read", running(unreadable), lost(p), want{status: ringback.Failed, attempt: ringback.AttemptUncertain, code: ringback.CodeInternal}},
		{"its node died, and it is not to be repeated", running(noRepeat), lost(p), want{status: ringback.Failed, attempt: ringback.AttemptUncertain, code: ringback.CodeUncertain}},
		{"claimed, and never begun", running(), func(row store.Job) store.Outcome { return outcome.Release(row, now) }, want{status: ringback.Queued, attempt: ringback.AttemptReleased, runAt: after(-time.Minute)}},
		{"claimed, never begun and to be cancelled", running(cancelled), func(row store.Job) store.Outcome { return outcome.Release(row, now) }, want{status: ringback.Cancelled, attempt: ringback.AttemptReleased}},
		{"its outcome can't be stored", running(), func(row store.Job) store.Outcome { return outcome.Unstorable(row, now) }, want{status: ringback.Failed, attempt: ringback.AttemptFailed, costs: true, code: ringback.CodeInternal}},
		{"a decision about it panicked while it ran", running(), func(row store.Job) store.Outcome { return outcome.Quarantine(row, now) }, want{status: ringback.Failed, attempt: ringback.AttemptFailed, costs: true, code: ringback.CodeInternal}},
		{"a decision about it panicked while it waited", waiting(), func(row store.Job) store.Outcome { return outcome.Quarantine(row, now) }, want{status: ringback.Failed, costs: true, code: ringback.CodeInternal}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			same(t, c.row, c.made(c.row), c.want)
		})
	}
}

func expire(p *outcome.Policy, waited string) func(store.Job) store.Outcome {
	return func(row store.Job) store.Outcome { return p.Expire(row, waited, now) }
}

func lost(p *outcome.Policy) func(store.Job) store.Outcome {
	return func(row store.Job) store.Outcome { return p.Lost(row, now) }
}

func TestWhatIsStoredOfAnAttempt(t *testing.T) {
	t.Parallel()
	at, partial := ringback.Time{Time: after(-time.Millisecond)}, []byte(`{"input_tokens":1,"output_tokens":1}`)
	for _, c := range []struct {
		name   string
		row    store.Job
		result outcome.Result
		want   ringback.Attempt
	}{
		{"an answer", running(), answer(), ringback.Attempt{
			Outcome: ringback.AttemptAnswered, FirstTokenAt: at, Usage: []byte(`{"input_tokens":1,"output_tokens":2}`), ProviderRequestID: "r",
		}},
		{"a failure", running(), failed(provider.Retry, ringback.CodeProviderError, 500), ringback.Attempt{
			Outcome: ringback.AttemptFailed, FirstTokenAt: at, StatusCode: 500, Error: "its message", Usage: partial, ProviderRequestID: "r",
		}},
		{"a cancelled call has no error", running(cancelled), failed(provider.Retry, ringback.CodeProviderError, 500), ringback.Attempt{
			Outcome: ringback.AttemptCancelled, FirstTokenAt: at, StatusCode: 500, Usage: partial, ProviderRequestID: "r",
		}},
		{"an uncertain one has an error of ours", running(), stopped(outcome.Interrupted, true), ringback.Attempt{
			Outcome: ringback.AttemptUncertain, Usage: partial, ProviderRequestID: "r",
			Error: "the process stopped before an answer was stored; the provider may have answered",
		}},
		{"a released one has nothing", running(), stopped(outcome.Interrupted, false), ringback.Attempt{Outcome: ringback.AttemptReleased}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := policy().Decide(c.row, c.result, now)
			if d := cmp.Diff(&c.want, o.Attempt); d != "" {
				t.Errorf("attempt (-want +got):\n%s", d)
			}
			if d := cmp.Diff(c.result.Kept.Events, o.Events); d != "" {
				t.Errorf("the job's log (-want +got):\n%s", d)
			}
			kept := c.result.Kept.Partial
			if o.Attempt.Outcome == ringback.AttemptReleased {
				kept = store.Blob{}
			}
			if d := cmp.Diff(kept, o.Partial); d != "" {
				t.Errorf("the partial answer (-want +got):\n%s", d)
			}
		})
	}
}

func TestAnErrorCountsTheAttemptThatEndsTheJob(t *testing.T) {
	t.Parallel()
	row := running(failures(2))
	o := policy().Decide(row, failed(provider.Retry, ringback.CodeProviderError, 500), now)
	want := &ringback.ErrorDetail{Code: ringback.CodeProviderError, Type: "its_type", StatusCode: 500, Attempts: 3}
	if d := cmp.Diff(want, o.ErrorDetail); d != "" {
		t.Errorf("error (-want +got):\n%s", d)
	}
	if d := cmp.Diff(o.Attempt.Usage, o.Usage); d != "" {
		t.Errorf("usage (-attempt +job):\n%s", d)
	}
	o = policy().Decide(running(refusedSince(after(-time.Hour))), failed(provider.Hold, ringback.CodeProviderError, 429), now)
	if o.ErrorDetail.Attempts != 0 {
		t.Errorf("a refusal is counted: got %d attempts, want 0", o.ErrorDetail.Attempts)
	}
}

func TestPausesGrowAndVary(t *testing.T) {
	t.Parallel()
	for n, middle := range []time.Duration{5 * time.Second, 10 * time.Second, 20 * time.Second, 40 * time.Second} {
		for random, want := range map[float64]time.Duration{0: middle * 4 / 5, 0.5: middle, 1: middle * 6 / 5} {
			p := policy()
			p.Random = func() float64 { return random }
			row := running(failures(n), func(j *store.Job) { j.Options.MaxAttempts = 20 })
			o := p.Decide(row, failed(provider.Retry, ringback.CodeProviderError, 500), now)
			if d := o.RunAt.Sub(now); (d - want).Abs() > time.Microsecond {
				t.Errorf("after %d failures with %v: got %s, want %s", n+1, random, d, want)
			}
		}
	}
	p := policy()
	p.Random = func() float64 { return 0 }
	if at := p.Decide(running(), stopped(outcome.Unstarted, false), now).RunAt; !at.Equal(after(2500 * time.Millisecond)) {
		t.Errorf("the pause of what could not begin: got %s, want half of 5s", at.Sub(now))
	}
	p = policy()
	row := running(failures(18), func(j *store.Job) { j.Options.MaxAttempts = 20 })
	if d := p.Decide(row, failed(provider.Retry, ringback.CodeProviderError, 500), now).RunAt.Sub(now); d != 5120*time.Second {
		t.Errorf("the longest pause: got %s, want 1h25m20s", d)
	}
}

// rows returns all combinations of what a decision depends on.
func rows() (all []store.Job) {
	keep := func(*store.Job) {}
	for _, a := range []func(*store.Job){keep, cancelled} {
		for _, b := range []func(*store.Job){keep, unreadable} {
			for _, c := range []func(*store.Job){keep, noRepeat} {
				for _, d := range []func(*store.Job){keep, fallbacks("b"), fallbacks("gone", "other")} {
					for _, e := range []func(*store.Job){keep, refusedSince(after(-time.Minute)), refusedSince(after(-2 * time.Hour))} {
						for _, f := range []func(*store.Job){keep, failures(2), uncertain(2), uncertain(9)} {
							all = append(all, running(a, b, c, d, e, f))
						}
					}
				}
			}
		}
	}
	return all
}

// results returns one result of each kind.
func results() map[string]outcome.Result {
	all := map[string]outcome.Result{"answered": answer(), "answered and drained": answer().Drain()}
	for _, v := range []provider.Verdict{provider.Retry, provider.Hold, provider.HoldKey, provider.ModelMissing, provider.Reject} {
		r := failed(v, ringback.CodeProviderError, 500)
		all[string(v)] = r
		all[string(v)+" at fault"] = until(r, after(time.Minute), true)
		all[string(v)+" and drained"] = r.Drain()
	}
	for _, s := range []outcome.Stop{outcome.Interrupted, outcome.Drained, outcome.Cancelled, outcome.Unstarted, outcome.OnHold} {
		all[string(s)] = stopped(s, false)
		if s != outcome.Unstarted && s != outcome.OnHold { // nothing is ever sent for these
			all[string(s)+" after a byte"] = stopped(s, true)
		}
	}
	return all
}

// each calls f for the decision about each row and result.
func each(f func(name string, row store.Job, r outcome.Result, o store.Outcome)) {
	p := policy()
	for kind, r := range results() {
		for i, row := range rows() {
			f(fmt.Sprintf("%s, row %d", kind, i), row, r, p.Decide(row, r, now))
		}
	}
}

func TestADecisionDependsOnItsArgumentsAloneAndChangesNone(t *testing.T) {
	t.Parallel()
	fresh := rows()
	kinds := results()
	p := policy()
	for kind, r := range kinds {
		for i, row := range rows() {
			first := p.Decide(row, r, now)
			if again := p.Decide(row, r, now); !reflect.DeepEqual(first, again) {
				t.Fatalf("%s, row %d: got %+v, then %+v", kind, i, first, again)
			}
			if !reflect.DeepEqual(row, fresh[i]) {
				t.Fatalf("%s: row %d was changed: %s", kind, i, cmp.Diff(fresh[i], row))
			}
		}
		if want := results()[kind]; !reflect.DeepEqual(r, want) {
			t.Fatalf("%s: the result was changed", kind)
		}
	}
}

// P2: every decision is an end that the store accepts, or a wait with a time.
func TestEveryDecisionIsAnEndOrAWait(t *testing.T) {
	t.Parallel()
	each(func(name string, row store.Job, r outcome.Result, o store.Outcome) {
		if err := o.Check(row); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		next := store.Apply(row, o, store.Retention{})
		switch {
		case r.Answer() != nil && o.Status != ringback.Completed:
			t.Errorf("%s: an answer is thrown away: %s", name, o.Status)
		case o.Status == ringback.Completed && r.Answer() == nil:
			t.Errorf("%s: completed without an answer", name)
		case o.Status == ringback.Queued && row.CancelRequested:
			t.Errorf("%s: a job that is to be cancelled waits again", name)
		case o.Status == ringback.Queued && o.RunAt.IsZero():
			t.Errorf("%s: it waits without a time", name)
		case o.Status == ringback.Queued && next.EndBy.IsZero():
			t.Errorf("%s: nothing ends its wait", name)
		case o.Status == ringback.Failed && (o.Error == "" || o.ErrorDetail == nil):
			t.Errorf("%s: it failed without a reason", name)
		}
	})
}

// P2: a job reaches an end, whatever happens to its attempts, again and again, and
// nothing is decided about it afterwards.
func TestEveryJobReachesOneEnd(t *testing.T) {
	t.Parallel()
	p := policy()
	for kind, r := range results() {
		for i, row := range rows() {
			end, at := run(p, row, r)
			if !end.Status.Terminal() {
				t.Errorf("%s, row %d: still %s at %s", kind, i, end.Status, at)
				continue
			}
			if err := p.Decide(end, r, at).Check(end); err == nil {
				t.Errorf("%s, row %d: the store takes a second end", kind, i)
			}
		}
	}
}

// run repeats a result until the job has ended, or should have.
func run(p *outcome.Policy, j store.Job, r outcome.Result) (end store.Job, at time.Time) {
	at = now
	for range 100_000 {
		j = store.Apply(j, p.Decide(j, r, at), store.Retention{})
		if j.Status.Terminal() {
			break
		}
		at = at.Add(20 * time.Minute)
		if j.RunAt.After(at) {
			at = j.RunAt
		}
		if !at.Before(j.EndBy) {
			j = store.Apply(j, p.Expire(j, "", at), store.Retention{})
		}
		if j.Status.Terminal() {
			break
		}
		j.Status, j.Node, j.StartedAt, j.Fence = ringback.Running, "n", at, j.Fence+1
	}
	return j, at
}

// P3: every end of a job is one outcome with the ledger's row, to which the caller adds the
// webhook. An attempt that is not the last one is no end.
func TestAnEndAndItsAttemptAreOneOutcome(t *testing.T) {
	t.Parallel()
	each(func(name string, row store.Job, _ outcome.Result, o store.Outcome) {
		if o.Attempt == nil || o.Attempt.Outcome == "" {
			t.Errorf("%s: the ledger has no row of the attempt", name)
		}
		if o.Delivery != nil {
			t.Errorf("%s: a decision has made a webhook", name)
		}
		left := row.Failures+1 < row.Options.MaxAttempts
		if o.Failed && left && o.Status.Terminal() {
			t.Errorf("%s: it ended as %s while attempts were left", name, o.Status)
		}
		if o.Failed && !left && o.Status == ringback.Queued && o.NextModel == "" {
			t.Errorf("%s: it goes on although its attempts are used up", name)
		}
	})
}

// P4: the provider is called again only for a retry that is in the ledger, or for an
// uncertain attempt, if the caller wants it repeated.
func TestTheProviderIsCalledAgainOnlyForAReason(t *testing.T) {
	t.Parallel()
	free := []ringback.AttemptOutcome{ringback.AttemptReleased, ringback.AttemptRefused, ringback.AttemptUncertain}
	each(func(name string, row store.Job, r outcome.Result, o store.Outcome) {
		a := o.Attempt.Outcome
		switch {
		case a == ringback.AttemptReleased && r.Sent():
			t.Errorf("%s: released although a byte was sent", name)
		case a == ringback.AttemptUncertain && !r.Sent():
			t.Errorf("%s: uncertain although no byte was sent", name)
		case a == ringback.AttemptUncertain && r.Stop() == "":
			t.Errorf("%s: uncertain although the provider's answer is known", name)
		case o.Failed && slices.Contains(free, a):
			t.Errorf("%s: %s costs an attempt", name, a)
		}
		if o.Status != ringback.Queued {
			return
		}
		switch {
		case a == ringback.AttemptUncertain && row.Options.RetryUncertain == ringback.RetryNever:
			t.Errorf("%s: repeated although retry_uncertain is never", name)
		case a == ringback.AttemptUncertain && row.Uncertain+1 >= 10:
			t.Errorf("%s: repeated after %d uncertain attempts", name, row.Uncertain+1)
		case a == ringback.AttemptFailed && !o.Failed && o.NextModel == "":
			t.Errorf("%s: repeated at no cost", name)
		case a == ringback.AttemptAnswered, a == ringback.AttemptCancelled:
			t.Errorf("%s: repeated after it was %s", name, a)
		}
	})
}
