package dispatch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/memory"
	"github.com/ringback/ringback/internal/outcome"
	"github.com/ringback/ringback/internal/protocol"
	"github.com/ringback/ringback/internal/provider"
	"github.com/ringback/ringback/internal/store"
)

// The reasons why a call is not made.
var (
	// errUnleased means that the lease ran out after the claim.
	errUnleased  = errors.New("the node's lease has run out")
	errNoRequest = errors.New("the stored request is missing")
)

// caller is the executor that calls a provider and waits for the whole answer.
type caller struct{ *Dispatcher }

// Execute calls the provider and waits for its answer.
func (c caller) Execute(ctx context.Context, j *store.Job, p *permit) outcome.Result {
	client, request, err := c.prepare(ctx, j, p)
	if err == nil && !p.session.Leased() { // by now: another node may have the job already
		err = errUnleased
	}
	if err != nil {
		return c.unprepared(ctx, j, err)
	}
	limited, stop := context.WithTimeout(ctx, j.Options.Timeout)
	defer stop()
	var first time.Time
	p.trace.call(j, request)
	answer, err := client.Generate(limited, provider.Request{
		Body:  request,
		Model: j.Model,
		Now:   c.cfg.Clock.Now,
		Grow:  func(ctx context.Context, bytes int) error { return p.held.Grow(ctx, int64(bytes)) },
		Sent:  func() { p.sent.Store(true) },
		Delta: p.progress.Delta(),
		Frame: charged(p.held, p.progress.Frame()),

		Header: j.Options.ProviderHeaders,
		FirstToken: func(at time.Time) {
			first = at
			c.accepted(j, p)
		},
	})
	if err == nil {
		p.trace.called(answer, nil, first)
		res := outcome.Answered(answer)
		res.Kept.FirstTokenAt = c.cfg.Clock.Shared(answer.FirstTokenAt)
		return res
	}
	failed, ok := errors.AsType[*provider.Error](err)
	if !ok {
		failed = internalError(err, p.sent.Load())
	}
	p.trace.called(nil, failed, first)
	c.recorder.failed(j, failed)
	res := c.unanswered(ctx, failed)
	res.Kept.FirstTokenAt = c.cfg.Clock.Shared(first)
	return res
}

// charged returns to, but takes memory for the frames first, which are kept in the log of
// the job.
func charged(g *memory.Grant, to func(protocol.Piece)) func(protocol.Piece) {
	if to == nil {
		return nil
	}
	return func(p protocol.Piece) {
		g.Force(int64(len(p.JSON)))
		to(p)
	}
}

// accepted reports to the gates that the provider has begun to answer: a hold may end long
// before the answer does.
func (c caller) accepted(j *store.Job, p *permit) {
	p.accepted()
	if c.scheduler.answeredKey(p) || p.probes() {
		c.Wake()
		c.cfg.Held()
		c.recorder.holds(j.Lane())
	}
}

// unanswered returns the result of a call that got no answer.
func (c caller) unanswered(ctx context.Context, f *provider.Error) outcome.Result {
	switch f.Verdict {
	case provider.Unsent:
		c.cfg.Supervisor.NoteShortage(f.Cause)
		return outcome.Stopped(outcome.Unstarted, f)
	case provider.Stopped:
		return outcome.Stopped(cmp.Or(c.stopCause(ctx), outcome.Interrupted), f)
	default:
		return outcome.Failed(f)
	}
}

// prepare finds the provider, and reads the request unless the permit has it.
func (c caller) prepare(ctx context.Context, j *store.Job, p *permit) (*provider.Client, []byte, error) {
	if j.Unreadable != "" {
		return nil, nil, store.ErrUnreadable
	}
	to, ok := c.cfg.Providers[j.Provider]
	if !ok {
		return nil, nil, fmt.Errorf("provider %q is not set up", j.Provider)
	}
	request := p.request
	p.request = nil // it is not needed behind the call
	if request == nil {
		take := c.cfg.Memory.ForRequest(ctx, p.held)
		var err error
		if request, err = c.storedRequest(ctx, j.ID, take); err != nil {
			return nil, nil, err
		}
		if err := take(max(0, int64(len(request))*memory.RequestCost-p.held.Taken())); err != nil {
			return nil, nil, err
		}
	}
	return to.Client, request, nil
}

// storedRequest reads a job's request. A large one takes memory first.
func (c caller) storedRequest(ctx context.Context, id uuid.UUID, take func(bytes int64) error) ([]byte, error) {
	content, err := c.cfg.Store.Content(ctx, id, store.PartRequest|store.LeaveLarge)
	switch left := content.Left[store.PartRequest]; {
	case err != nil:
		return nil, err
	case left > 0:
		return store.ReadLarge(c.cfg.Store, id, store.PartRequest, left, take)
	case content.Request == nil:
		return nil, errNoRequest
	}
	return content.Request, nil
}

// unprepared returns the result of an attempt whose call could not begin. If the store
// can't be read now, the job is not at fault: it loses no attempt.
func (c caller) unprepared(ctx context.Context, j *store.Job, err error) outcome.Result {
	if cause := c.stopCause(ctx); cause != "" {
		return outcome.Stopped(cause, nil)
	}
	switch {
	case errors.Is(err, errUnleased):
		c.cfg.Logger.Warn("attempt not begun: the lease ran out after its claim", "job_id", j.ID, "attempt", j.Fence)
		return outcome.Stopped(outcome.Interrupted, nil)
	case errors.Is(err, memory.ErrCrowded):
		return outcome.Stopped(outcome.Crowded, nil)
	case errors.Is(err, store.ErrUnavailable):
		return outcome.Stopped(outcome.Unstarted, nil)
	case errors.Is(err, store.ErrUnreadable):
		return outcome.Failed(&provider.Error{
			Verdict: provider.Reject, Code: ringback.CodeInternal, Message: outcome.Unreadable(*j), Cause: err,
		})
	}
	c.cfg.Logger.Error("attempt not begun", "job_id", j.ID, "attempt", j.Fence, "err", err)
	if errors.Is(err, errNoRequest) {
		f := internalError(err, false)
		f.Verdict = provider.Reject
		return outcome.Failed(f)
	}
	return outcome.Stopped(outcome.Unstarted, nil)
}

// stopCause returns why we ended a call ourselves; "" if we did not.
func (c caller) stopCause(ctx context.Context) outcome.Stop {
	cause := context.Cause(ctx)
	switch {
	case errors.Is(cause, ErrDrain):
		return outcome.Drained
	case errors.Is(cause, errCancelled):
		return outcome.Cancelled
	case cause != nil && c.cfg.Interrupted(cause):
		return outcome.Interrupted
	default:
		return ""
	}
}
