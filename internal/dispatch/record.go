package dispatch

import (
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/tidwall/gjson"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/joblog"
	"github.com/ringback/ringback/internal/limit"
	"github.com/ringback/ringback/internal/metrics"
	"github.com/ringback/ringback/internal/provider"
	"github.com/ringback/ringback/internal/store"
)

// decisions remembers what was decided about jobs, so that it can be logged and counted
// once it is committed: a Decide may run twice, and its last run counts.
type decisions map[uuid.UUID]decision

type decision struct {
	before  store.Job
	outcome store.Outcome
}

// of returns a Decide that remembers what decide returns.
func (w decisions) of(decide store.Decide) store.Decide {
	return func(j store.Job) store.Outcome {
		o := decide(j)
		w[j.ID] = decision{j, o}
		return o
	}
}

// careful returns decide for the store. A panic ends only the job that it is about, the
// webhook that an end without an answer causes is added, and what was decided is
// remembered.
func (d *Dispatcher) careful(seen decisions, decide store.Decide) store.Decide {
	return seen.of(d.cfg.Supervisor.Careful(d.concluding(decide)))
}

// recorder logs and counts what becomes of jobs and attempts.
type recorder struct {
	log       *slog.Logger
	metrics   *metrics.Dispatch
	submitted *prometheus.CounterVec
	names     *modelNames
	scheduler *scheduler
	holdLog   limit.HoldLog[target]
}

// label returns a job's model as a label: there is a bounded number of them.
func (r *recorder) label(j *store.Job) string { return r.names.name(j.Model) }

// accepted logs and counts a new job.
func (r *recorder) accepted(j *store.Job) {
	r.submitted.WithLabelValues(j.Project, r.label(j)).Inc()
	joblog.Record(r.log, "job accepted", j, slog.String("status", string(j.Status)))
}

// started logs and counts that an attempt begins.
func (r *recorder) started(j *store.Job, p *permit) {
	if resumed(j) {
		joblog.Record(r.log, "attempt started", j, slog.Bool("resumed", true))
	} else {
		waited := max(0, j.StartedAt.Sub(j.RunAt))
		r.metrics.QueueWait.Observe(waited.Seconds())
		joblog.Record(r.log, "attempt started", j, slog.Int64("waited_ms", waited.Milliseconds()))
	}
	if p.probes() {
		r.log.Info("a call finds out whether the hold is over", "provider", j.Provider, "model", j.Model)
	}
}

// resumed reports whether an earlier attempt was interrupted and its job kept its turn:
// the time since its run_at is not the time that it waited.
func resumed(j *store.Job) bool {
	return j.StartedAt.After(j.FirstStartedAt) && !j.RunAt.After(j.FirstStartedAt)
}

// failed logs why a call failed. The cause is only for the log, since it may name
// addresses.
func (r *recorder) failed(j *store.Job, f *provider.Error) {
	if f.Cause != nil && f.Verdict != provider.Stopped {
		joblog.Record(r.log, "attempt failed", j, slog.String("code", string(f.Code)), slog.Any("err", f.Cause))
	}
}

// keyRefused logs that a call was refused as if for its key.
func (r *recorder) keyRefused(j *store.Job, f *provider.Error, refusal keyRefusal) {
	if refusal.until.IsZero() {
		return
	}
	attrs := []any{"provider", j.Provider, "model", j.Model, "job_id", j.ID, "status_code", f.StatusCode, "err", f}
	if refusal.hold {
		r.log.Error("the provider refuses the key; its jobs wait", attrs...)
		return
	}
	r.log.Warn("the provider refuses the key for one job; only that job waits", attrs...)
}

// moves logs and counts what has become of jobs: their attempts, their webhooks, their ends.
func (r *recorder) moves(seen decisions, jobs ...store.Job) {
	for _, after := range jobs {
		if d, ok := seen[after.ID]; ok {
			r.move(d.before, after, d.outcome)
		}
	}
}

func (r *recorder) move(before, after store.Job, o store.Outcome) {
	model := r.label(&before)
	if o.Attempt != nil {
		r.countAttempt(&before, model, o.Attempt, o.At)
		joblog.Record(r.log, "attempt ended", &before, slog.String("outcome", string(o.Attempt.Outcome)),
			slog.Int("status_code", o.Attempt.StatusCode), slog.Int64("ms", o.At.Sub(before.StartedAt).Milliseconds()))
	}
	if !after.Status.Terminal() {
		joblog.Record(r.log, "job waits for its next attempt", &after, slog.Time("run_at", after.RunAt), slog.Bool("failed", o.Failed))
		return
	}
	r.metrics.Finished.WithLabelValues(string(after.Status), model).Inc()
	if before.Unreadable != "" && after.Status == ringback.Failed {
		r.metrics.Quarantined.Inc()
		r.log.Error("job failed, since its row in the store can't be read", "job_id", after.ID, "reason", before.Unreadable)
	}
	attrs := []slog.Attr{
		slog.String("status", string(after.Status)), slog.Int("attempts", after.Attempts),
		slog.Int64("ms", after.EndedAt.Sub(after.CreatedAt).Milliseconds()),
	}
	if d := after.ErrorDetail; d != nil {
		attrs = append(attrs, slog.String("code", string(d.Code)))
	}
	joblog.Record(r.log, "job ended", &after, attrs...)
	if d := o.Delivery; d != nil {
		joblog.Record(r.log, "webhook made", &after, slog.Any("delivery_id", d.ID), slog.String("event", string(d.Event)))
	}
}

// countAttempt counts an attempt that began as j says.
func (r *recorder) countAttempt(j *store.Job, model string, a *ringback.Attempt, at time.Time) {
	m := r.metrics
	m.Attempts.WithLabelValues(j.Provider, model, string(a.Outcome)).Inc()
	if a.Outcome != ringback.AttemptUncertain { // nobody knows when that ended
		m.Attempt.WithLabelValues(j.Provider, model).Observe(at.Sub(j.StartedAt).Seconds())
	}
	if !a.FirstTokenAt.IsZero() {
		m.FirstToken.WithLabelValues(j.Provider, model).Observe(max(0, a.FirstTokenAt.Sub(j.StartedAt).Seconds()))
	}
	for _, kind := range []string{"input", "output"} {
		if n := gjson.GetBytes(a.Usage, kind+"_tokens").Float(); n > 0 {
			m.Tokens.WithLabelValues(j.Provider, model, kind).Add(n)
		}
	}
}

// holds logs what a call of a lane's model has changed.
func (r *recorder) holds(l store.Lane) {
	r.hold(target{l.Provider, anyModel})
	r.hold(target{l.Provider, l.Model})
}

func (r *recorder) hold(t target) {
	if g := r.scheduler.gateOf(t); !r.holdLog.NothingFor(g) {
		r.holdLog.Record(r.log, t, g, "provider", t.provider, "model", t.model)
	}
}

// holdsOver logs of holds that ended without a call.
func (r *recorder) holdsOver() {
	for _, t := range r.holdLog.Begun() {
		r.hold(t)
	}
}
