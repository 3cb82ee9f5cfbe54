package node

import (
	"cmp"
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
	"github.com/ringback/ringback/internal/live"
	"github.com/ringback/ringback/internal/memory"
	"github.com/ringback/ringback/internal/outcome"
	"github.com/ringback/ringback/internal/protocol"
	"github.com/ringback/ringback/internal/provider"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/supervise"
)

// generate makes one attempt and settles it. The memory of an answer is given
// back when it is settled: an answer that a full disk keeps here counts.
func (n *Node) generate(j *store.Job, request []byte, t *callPermit) {
	if t.held == nil {
		t.held = n.memory.Answers.Grant()
	}
	defer t.held.Release()
	n.recordStart(j, t)
	var res outcome.Result
	t.trace = n.traceAttempt(j)
	defer func() { t.trace.end(&res) }()
	w := n.watching.OpenWriter(j)
	defer w.End()
	quiet := n.notifyReceiver(j, w, t.session)
	defer n.pusher.Push(j)()
	res = n.call(j, request, t, w)
	quiet()
	endedAt := n.clock.Now() // before the gates get the result: the next probe begins after this
	defer n.memory.SettleAlone(t.held.Taken())()
	res.Kept.Partial, res.Kept.Events = packPartial(res.Failure()), w.Events()
	res.Refusal = n.report(j, res, t)
	if res.Stop() == outcome.Drained {
		n.inflight.drained(j.Ref(), res)
		return
	}
	n.settle(j, res, endedAt, w)
}

// call calls the provider. A panic of ours is a failed attempt, not the end of
// the process.
func (n *Node) call(j *store.Job, request []byte, t *callPermit, w *live.Writer) (res outcome.Result) {
	ctx, end := context.WithCancelCause(t.session.Context())
	defer end(nil)
	n.inflight.enter(j.Ref(), end)

	var sent atomic.Bool
	defer func() {
		if v := recover(); v != nil {
			res = outcome.Failed(internalError(n.supervisor.Panicked("call a provider", v, "job_id", j.ID, "attempt", j.Fence), sent.Load()))
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
		Delta: w.Delta(),
		Frame: charged(t.held, w.Frame()),

		Header: j.Options.ProviderHeaders,
		FirstToken: func(at time.Time) {
			first = at
			t.key.Accepted()
			t.model.Accepted()
			if n.jobs.answeredKey(t) || t.key.Probe() || t.model.Probe() {
				supervise.Wake(n.wakeJobs) // the hold may be over long before the answer is
				n.holds.Wake()
				n.recordHolds(j.Lane())
			}
		},
	})
	if err == nil {
		t.trace.called(answer, nil, first)
		res = outcome.Answered(answer)
		res.Kept.FirstTokenAt = n.clock.Shared(answer.FirstTokenAt)
		return res
	}
	failed, ok := errors.AsType[*provider.Error](err)
	if !ok {
		failed = internalError(err, sent.Load())
	}
	t.trace.called(nil, failed, first)
	n.recordFailed(j, failed)
	res = n.unanswered(ctx, failed)
	res.Kept.FirstTokenAt = n.clock.Shared(first)
	return res
}

// charged takes memory for the frames that are passed on to the log of a job.
func charged(g *memory.Grant, to func(protocol.Piece)) func(protocol.Piece) {
	if to == nil {
		return nil
	}
	return func(p protocol.Piece) {
		g.Force(int64(len(p.JSON)))
		to(p)
	}
}

// unanswered is the result of a call that brought no answer.
func (n *Node) unanswered(ctx context.Context, f *provider.Error) outcome.Result {
	switch f.Verdict {
	case provider.Unsent:
		n.supervisor.NoteShortage(f.Cause)
		return outcome.Stopped(outcome.Unstarted, f)
	case provider.Stopped:
		return outcome.Stopped(cmp.Or(stopCause(ctx), outcome.Interrupted), f)
	default:
		return outcome.Failed(f)
	}
}

func packPartial(f *provider.Error) store.Blob {
	if f == nil || f.PartialText == "" {
		return store.Blob{}
	}
	return store.Pack([]byte(f.PartialText))
}

// prepare finds the provider, and the request where the claim did not bring it.
func (n *Node) prepare(ctx context.Context, j *store.Job, request []byte, held *memory.Grant) (*provider.Client, []byte, error) {
	if j.Unreadable != "" {
		return nil, nil, store.ErrUnreadable
	}
	p, ok := n.cfg.Providers[j.Provider]
	if !ok {
		return nil, nil, fmt.Errorf("provider %q is not set up", j.Provider)
	}
	if request == nil {
		take := n.memory.ForRequest(ctx, held)
		var err error
		if request, err = n.storedRequest(ctx, j.ID, take); err != nil {
			return nil, nil, err
		}
		if err := take(max(0, int64(len(request))*memory.RequestCost-held.Taken())); err != nil {
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
		return store.ReadLarge(n.store, id, store.PartRequest, left, take)
	case c.Request == nil:
		return nil, errNoRequest
	}
	return c.Request, nil
}

// errNoRequest keeps a job from ever being answered.
var errNoRequest = errors.New("the stored request is missing")

// unprepared is the result of an attempt that could not begin. That the store
// can't be read now is no fault of the job: it costs no attempt.
func (n *Node) unprepared(ctx context.Context, j *store.Job, err error) outcome.Result {
	if cause := stopCause(ctx); cause != "" {
		return outcome.Stopped(cause, nil)
	}
	if errors.Is(err, errUnleased) {
		n.log.Warn("attempt not begun: the lease ran out after its claim", "job_id", j.ID, "attempt", j.Fence)
		return outcome.Stopped(outcome.Interrupted, nil)
	}
	if errors.Is(err, memory.ErrCrowded) {
		return outcome.Stopped(outcome.Crowded, nil)
	}
	if errors.Is(err, store.ErrUnavailable) {
		return outcome.Stopped(outcome.Unstarted, nil)
	}
	if errors.Is(err, store.ErrUnreadable) {
		return outcome.Failed(&provider.Error{
			Verdict: provider.Reject, Code: ringback.CodeInternal, Message: outcome.Unreadable(*j), Cause: err,
		})
	}
	n.log.Error("attempt not begun", "job_id", j.ID, "attempt", j.Fence, "err", err)
	if errors.Is(err, errNoRequest) {
		f := internalError(err, false)
		f.Verdict = provider.Reject
		return outcome.Failed(f)
	}
	return outcome.Stopped(outcome.Unstarted, nil)
}

// stopCause returns why we ended a call ourselves; "" if we did not.
func stopCause(ctx context.Context) outcome.Stop {
	cause := context.Cause(ctx)
	switch {
	case errors.Is(cause, errDrain):
		return outcome.Drained
	case errors.Is(cause, errCancelled):
		return outcome.Cancelled
	case errors.Is(cause, cluster.ErrSwept), errors.Is(cause, cluster.ErrMoved):
		return outcome.Interrupted
	default:
		return ""
	}
}

func internalError(err error, sent bool) *provider.Error {
	return &provider.Error{
		Verdict: provider.Retry, Code: ringback.CodeInternal, Message: "an internal error broke the attempt", Sent: sent, Cause: err,
	}
}

// report reports to the gates what the call means for model and key, and returns what
// they say about a refused job.
func (n *Node) report(j *store.Job, res outcome.Result, t *callPermit) outcome.Refusal {
	f := res.Failure()
	model, key := limit.Report{Verdict: limit.OK}, limit.Report{Verdict: limit.OK}
	var refusal keyRefusal
	freed := false
	switch {
	case res.Stop() != "":
		model, key = limit.Report{}, limit.Report{}
	case f == nil:
		freed = n.jobs.answeredKey(t)
	default:
		model, key = reports(causeOf(j, f), f, time.Now())
		if f.Verdict == provider.HoldKey {
			refusal = n.jobs.refusedKey(t, causeOf(j, f), key.Until)
			if !refusal.hold {
				key = limit.Report{}
			}
		}
	}
	if res.Stop() == "" && (f == nil || f.Verdict != provider.HoldKey || refusal.fault) {
		n.jobs.forget(j.ID)
	}
	t.report(model, key)
	n.recordHolds(j.Lane())
	until := n.clock.Shared(n.comesAgain(j, refusal))
	n.recordKeyRefusal(j, f, refusal)
	if freed || t.probes() || mayHold(model) || mayHold(key) {
		n.holds.Wake()
	}
	return outcome.Refusal{Until: until, AtFault: refusal.fault}
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
