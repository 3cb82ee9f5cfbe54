package dispatch

import (
	"context"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/outcome"
	"github.com/ringback/ringback/internal/protocol"
	"github.com/ringback/ringback/internal/provider"
	"github.com/ringback/ringback/internal/store"
)

// executor makes the call of an attempt. ctx ends with the reason if the call is to be
// stopped.
type executor interface {
	Execute(ctx context.Context, j *store.Job, p *permit) outcome.Result
}

// attempt makes one attempt and settles it. The memory of an answer is given back when it
// is settled: an answer that a full disk keeps here counts.
func (d *Dispatcher) attempt(j *store.Job, p *permit) {
	if p.held == nil {
		p.held = d.cfg.Memory.Answers.Grant()
	}
	defer p.held.Release()
	d.recorder.started(j, p)
	var res outcome.Result
	p.trace = traceAttempt(d.cfg.Tracer, j)
	defer func() { p.trace.end(&res) }()
	p.progress = d.cfg.Watch(j, p.session)
	defer p.progress.End()
	res = d.execute(j, p)
	p.progress.Quiet()
	endedAt := d.cfg.Clock.Now() // before the gates get the result: the next probe begins after this
	defer d.cfg.Memory.SettleAlone(p.held.Taken())()
	res.Kept.Partial, res.Kept.Events = packPartial(res.Failure()), p.progress.Events()
	res.Refusal = d.report(j, res, p)
	if res.Stop() == outcome.Drained {
		d.inflight.drain(j.Ref(), res)
		return
	}
	d.settle(j, res, endedAt, p.progress)
}

// execute makes the call of an attempt, so that it can be stopped. A panic of ours is a
// failed attempt, not the end of the process.
func (d *Dispatcher) execute(j *store.Job, p *permit) (res outcome.Result) {
	ctx, end := context.WithCancelCause(p.session.Context())
	defer end(nil)
	d.inflight.enter(j.Ref(), end)
	defer func() {
		if v := recover(); v != nil {
			err := d.cfg.Supervisor.Panicked("call a provider", v, "job_id", j.ID, "attempt", j.Fence)
			res = outcome.Failed(internalError(err, p.sent.Load()))
		}
	}()
	return d.executor.Execute(ctx, j, p)
}

func packPartial(f *provider.Error) store.Blob {
	if f == nil || f.PartialText == "" {
		return store.Blob{}
	}
	return store.Pack([]byte(f.PartialText))
}

func internalError(err error, sent bool) *provider.Error {
	return &provider.Error{
		Verdict: provider.Retry, Code: ringback.CodeInternal, Message: "an internal error broke the attempt", Sent: sent, Cause: err,
	}
}

// Unwatched is the progress of an attempt that nobody can watch.
type Unwatched struct{}

// Frame implements Progress.
func (Unwatched) Frame() func(protocol.Piece) { return nil }

// Delta implements Progress.
func (Unwatched) Delta() func(ringback.Delta) { return nil }

// Quiet implements Progress.
func (Unwatched) Quiet() {}

// Events implements Progress.
func (Unwatched) Events() store.Blob { return store.Blob{} }

// Settled implements Progress.
func (Unwatched) Settled(*store.Job, time.Time) {}

// End implements Progress.
func (Unwatched) End() {}
