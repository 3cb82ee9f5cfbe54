package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/cluster"
	"github.com/ringback/ringback/internal/limit"
	"github.com/ringback/ringback/internal/memory"
	"github.com/ringback/ringback/internal/provider"
	"github.com/ringback/ringback/internal/store"
)

// result is what one attempt brought.
type result struct {
	answer *provider.Answer
	failed *provider.Error
	// stopped is why we ended the call ourselves; nil if we did not. failed may
	// then hold what had come.
	stopped error
	sent    bool      // a byte may have left
	endedAt time.Time // of the call, on the one clock; zero where there was none
	// firstTokenAt is when the first piece of an answer that failed came.
	firstTokenAt time.Time
	partial      store.Blob // of failed's text
	events       store.Blob // the job's log, where it is streamed
	// heldUntil is when a refused job may come again, on the one clock.
	heldUntil time.Time
	// fault: the job was refused again and again while others were answered.
	fault bool
}

// What stops a job before its first byte.
var (
	errHeld   = errors.New("the model is on hold")
	errUnread = errors.New("the job can't be read")
)

// generate makes one attempt and settles it. The memory of an answer is given
// back when it is settled: an answer that a full disk keeps here counts.
func (n *Node) generate(j *store.Job, request []byte, t *callPermit) {
	if t.held == nil {
		t.held = n.memory.answers.Grant()
	}
	defer t.held.Release()
	n.recordStart(j, t)
	var res result
	t.trace = n.traceAttempt(j)
	defer func() { t.trace.end(&res) }()
	f := n.openLog(j)
	defer f.end()
	pushed := n.push(j, f, t)
	defer pushed.leave()
	res = n.call(j, request, t, f)
	pushed.quiet()
	res.endedAt = n.clock.Now() // before the gates hear of it: the next probe begins after this
	defer n.memory.settleAlone(t.held.Taken())()
	res.partial, res.events = packPartial(res), f.packed()
	n.report(j, &res, t)
	if errors.Is(res.stopped, errDrain) {
		n.inflight.drained(j.Ref(), res)
		return
	}
	n.settle(j, res, f)
}

// call calls the provider. A panic of ours is a failed attempt, not the end of
// the process.
func (n *Node) call(j *store.Job, request []byte, t *callPermit, f *logWriter) (res result) {
	ctx, end := context.WithCancelCause(t.session.Context())
	defer end(nil)
	n.inflight.enter(j.Ref(), end)

	var sent atomic.Bool
	defer func() {
		if v := recover(); v != nil {
			res = result{failed: internalError(n.panicked("call a provider", v, "job_id", j.ID, "attempt", j.Fence)), sent: sent.Load()}
		}
	}()

	client, request, err := n.prepare(ctx, j, request, t.held)
	if err == nil && !t.session.Leased() { // by now: another node may have the job already
		err = errUnleased
	}
	if err != nil {
		return n.unprepared(ctx, j, err)
	}
	limited, stop := context.WithTimeout(ctx, j.Options.Timeout)
	defer stop()
	var first time.Time
	t.trace.call(j, request)
	answer, err := client.Generate(limited, provider.Request{
		Body:  request,
		Model: j.Model,
		Now:   n.clock.Now,
		Grow:  func(ctx context.Context, bytes int) error { return t.held.Grow(ctx, int64(bytes)) },
		Sent:  func() { sent.Store(true) },
		Delta: f.delta(),

		Header: j.Options.ProviderHeaders,
		FirstToken: func(at time.Time) {
			first = at
			t.key.Accepted()
			t.model.Accepted()
			if n.jobs.answeredKey(t) || t.key.Probe() || t.model.Probe() {
				wake(n.wakeJobs) // the hold may be over long before the answer is
				wake(n.wakeHolds)
				n.recordHolds(j.Lane())
			}
		},
	})
	if err == nil {
		t.trace.called(answer, nil, first)
		return result{answer: answer, sent: true}
	}
	res = result{sent: sent.Load(), firstTokenAt: n.clock.Shared(first)}
	if !errors.As(err, &res.failed) {
		res.failed = internalError(err)
	}
	t.trace.called(nil, res.failed, first)
	n.recordFailed(j, res.failed)
	if res.failed.Verdict == provider.Unsent {
		n.noteShortage(res.failed.Cause)
		res.stopped = errShort
	}
	if res.failed.Verdict == provider.Stopped {
		res.stopped = stopCause(ctx)
		if res.stopped == nil {
			res.stopped = err
		}
	}
	return res
}

// prepare finds the provider, and the request where the claim did not bring it.
func (n *Node) prepare(ctx context.Context, j *store.Job, request []byte, held *memory.Grant) (*provider.Client, []byte, error) {
	if j.Unreadable != "" {
		return nil, nil, errUnreadable
	}
	p, ok := n.cfg.Providers[j.Provider]
	if !ok {
		return nil, nil, fmt.Errorf("provider %q is not set up", j.Provider)
	}
	if request == nil {
		var err error
		if request, err = n.storedRequest(ctx, j.ID, orWait(ctx, held)); err != nil {
			return nil, nil, err
		}
		if err := held.Grow(ctx, max(0, int64(len(request))*requestCost-held.Taken())); err != nil {
			return nil, nil, err
		}
	}
	return p.Client, request, nil
}

// storedRequest reads a job's request. A large one takes memory first.
func (n *Node) storedRequest(ctx context.Context, id uuid.UUID, take func(bytes int64) error) ([]byte, error) {
	c, err := n.store.Content(ctx, id, store.PartRequest|store.LeaveLarge)
	switch left := c.Left[store.PartRequest]; {
	case err != nil:
		return nil, err
	case left > 0:
		return n.unpack(id, store.PartRequest, left, take)
	case c.Request == nil:
		return nil, errNoRequest
	}
	return c.Request, nil
}

// What keeps a job from ever being answered.
var (
	errNoRequest  = errors.New("the stored request is missing")
	errUnreadable = errors.New("the stored job can't be read")
)

// unprepared is the result of an attempt that could not begin. That the store
// can't be read now is no fault of the job: it costs no attempt.
func (n *Node) unprepared(ctx context.Context, j *store.Job, err error) result {
	if cause := stopCause(ctx); cause != nil {
		return result{stopped: cause}
	}
	if errors.Is(err, errUnleased) {
		n.log.Warn("attempt not begun: the lease ran out after its claim", "job_id", j.ID, "attempt", j.Fence)
		return result{stopped: err}
	}
	if errors.Is(err, store.ErrUnavailable) {
		return result{stopped: errUnread}
	}
	if errors.Is(err, errUnreadable) {
		why := unreadable(*j)
		return result{failed: &provider.Error{Verdict: provider.Reject, Code: why.code, Message: why.sentence, Cause: err}}
	}
	n.log.Error("attempt not begun", "job_id", j.ID, "attempt", j.Fence, "err", err)
	if errors.Is(err, errNoRequest) {
		f := internalError(err)
		f.Verdict = provider.Reject
		return result{failed: f}
	}
	return result{stopped: errUnread}
}

// stopCause is why we ended a call ourselves; nil if we did not.
func stopCause(ctx context.Context) error {
	for _, reason := range []error{errDrain, errCancelled, cluster.ErrSwept, errMoved} {
		if errors.Is(context.Cause(ctx), reason) {
			return reason
		}
	}
	return nil
}

func internalError(err error) *provider.Error {
	return &provider.Error{Verdict: provider.Retry, Code: ringback.CodeInternal, Message: "an internal error broke the attempt", Cause: err}
}

// report tells the gates what the call says about model and key, and learns
// from them when a refused job may come again.
func (n *Node) report(j *store.Job, res *result, t *callPermit) {
	f := res.failed
	model, key := limit.Report{Verdict: limit.OK}, limit.Report{Verdict: limit.OK}
	var refusal keyRefusal
	freed := false
	switch {
	case res.stopped != nil:
		model, key = limit.Report{}, limit.Report{}
	case f == nil:
		freed = n.jobs.answeredKey(t)
	default:
		model, key = reports(causeOf(j, f), f, time.Now())
		if f.Verdict == provider.HoldKey {
			refusal = n.jobs.refusedKey(t, causeOf(j, f), key.Until)
			res.fault = refusal.fault
			if !refusal.hold {
				key = limit.Report{}
			}
		}
	}
	if res.stopped == nil && (f == nil || f.Verdict != provider.HoldKey || res.fault) {
		n.jobs.forget(j.ID)
	}
	t.report(model, key)
	n.recordHolds(j.Lane())
	res.heldUntil = n.clock.Shared(n.comesAgain(j, refusal))
	n.recordKeyRefusal(j, f, refusal)
	if freed || t.probes() || mayHold(model) || mayHold(key) {
		wake(n.wakeHolds)
	}
}

// comesAgain is when a refused job may be called again, in local time. One that was
// refused for its key does not wait in its row for as long as the key's hold may
// last: that would outlast a restart with a new key.
func (n *Node) comesAgain(j *store.Job, refusal keyRefusal) time.Time {
	held := n.jobs.heldUntil(j.Lane())
	if refusal.until.IsZero() {
		return held
	}
	if longest := time.Now().Add(n.jobs.gate.Longest()); held.After(longest) {
		held = longest
	}
	return later(refusal.until, held)
}

// recordKeyRefusal logs that a call was refused as if for its key.
func (n *Node) recordKeyRefusal(j *store.Job, f *provider.Error, refusal keyRefusal) {
	if refusal.until.IsZero() {
		return
	}
	attrs := []any{"provider", j.Provider, "model", j.Model, "job_id", j.ID, "status_code", f.StatusCode, "err", f}
	if refusal.hold {
		n.log.Error("the provider refuses the key; its jobs wait", attrs...)
		return
	}
	n.log.Warn("the provider refuses the key for one job; only that job waits", attrs...)
}

// mayHold reports whether a report may begin a hold.
func mayHold(r limit.Report) bool { return r.Verdict == limit.Failed || r.Verdict == limit.Refused }

func reports(why cause, f *provider.Error, now time.Time) (model, key limit.Report) {
	var until time.Time
	if f.RetryAfter > 0 {
		until = now.Add(f.RetryAfter)
	}
	ok, void := limit.Report{Verdict: limit.OK}, limit.Report{}
	if f.Code == ringback.CodeInternal { // it says nothing of the provider
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
			return void, void // a firewall, which may stand in front of the provider
		}
		return ok, ok
	default: // it answered: the model is missing
		return ok, ok
	}
}

// Why a job waits, as status_reason shows it.
const (
	reasonRefused = "provider_refused"
	reasonKey     = "provider_refused_key"
	reasonFailing = "provider_failing"

	reasonUnreadable = "unreadable"
)
