package node

import (
	"context"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/metrics"
	"github.com/ringback/ringback/internal/provider"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/telemetry"
	"github.com/ringback/ringback/internal/webhook"
)

// decisions remembers what was decided about jobs, so that it can be told and
// counted once it is committed: a Decide may run twice, and its last run counts.
type decisions map[uuid.UUID]decision

type decision struct {
	before  store.Job
	outcome store.Outcome
}

func (w decisions) of(decide store.Decide) store.Decide {
	return func(j store.Job) store.Outcome {
		o := decide(j)
		w[j.ID] = decision{j, o}
		return o
	}
}

// recordMoves logs and counts what has become of jobs: their attempts, their
// webhooks, their ends.
func (n *Node) recordMoves(w decisions, jobs ...store.Job) {
	for _, after := range jobs {
		if d, ok := w[after.ID]; ok {
			n.recordMove(d.before, after, d.outcome)
		}
	}
}

func (n *Node) recordMove(before, after store.Job, o store.Outcome) {
	model := n.modelLabel(before.Lane())
	if o.Attempt != nil {
		countAttempt(&n.metrics.Dispatch, &before, model, o.Attempt, o.At)
		n.record("attempt ended", &before, slog.String("outcome", string(o.Attempt.Outcome)),
			slog.Int("status_code", o.Attempt.StatusCode), slog.Int64("ms", o.At.Sub(before.StartedAt).Milliseconds()))
	}
	if !after.Status.Terminal() {
		n.record("job waits for its next attempt", &after, slog.Time("run_at", after.RunAt), slog.Bool("failed", o.Failed))
		return
	}
	n.metrics.Dispatch.Finished.WithLabelValues(string(after.Status), model).Inc()
	if before.Unreadable != "" && after.Status == ringback.Failed {
		n.metrics.Dispatch.Quarantined.Inc()
		n.log.Error("job failed, since its row in the store can't be read", "job_id", after.ID, "reason", before.Unreadable)
	}
	attrs := []slog.Attr{
		slog.String("status", string(after.Status)), slog.Int("attempts", after.Attempts),
		slog.Int64("ms", after.EndedAt.Sub(after.CreatedAt).Milliseconds()),
	}
	if d := after.ErrorDetail; d != nil {
		attrs = append(attrs, slog.String("code", string(d.Code)))
	}
	n.record("job ended", &after, attrs...)
	if d := o.Delivery; d != nil {
		n.record("webhook made", &after, slog.Any("delivery_id", d.ID), slog.String("event", string(d.Event)))
	}
}

// recordAccepted logs and counts a new job.
func (n *Node) recordAccepted(j *store.Job) {
	n.metrics.Intake.Submitted.WithLabelValues(j.Project, n.modelLabel(j.Lane())).Inc()
	n.record("job accepted", j, slog.String("status", string(j.Status)))
}

// recordStart logs and counts that an attempt begins.
func (n *Node) recordStart(j *store.Job, t *callPermit) {
	if resumed(j) {
		n.record("attempt started", j, slog.Bool("resumed", true))
	} else {
		waited := max(0, j.StartedAt.Sub(j.RunAt))
		n.metrics.Dispatch.QueueWait.Observe(waited.Seconds())
		n.record("attempt started", j, slog.Int64("waited_ms", waited.Milliseconds()))
	}
	if t.probes() {
		n.recordProbe("provider", j.Provider, "model", j.Model)
	}
}

// resumed reports whether an earlier attempt was interrupted and its job kept its turn:
// the time since its run_at is not the time that it waited.
func resumed(j *store.Job) bool {
	return j.StartedAt.After(j.FirstStartedAt) && !j.RunAt.After(j.FirstStartedAt)
}

// recordFailed logs what broke a call. The cause is for the log alone, since it may
// name addresses.
func (n *Node) recordFailed(j *store.Job, f *provider.Error) {
	if f.Cause != nil && f.Verdict != provider.Stopped {
		n.record("attempt failed", j, slog.String("code", string(f.Code)), slog.Any("err", f.Cause))
	}
}

// record logs an event in a job's life, which is for those who look for it: at
// debug. What it says never holds a body, a header or a URL.
func (n *Node) record(msg string, j *store.Job, attrs ...slog.Attr) {
	ctx := context.Background()
	if !n.log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	all := append(make([]slog.Attr, 0, 5+len(attrs)), slog.Any("job_id", j.ID), slog.Int64("attempt", j.Fence),
		slog.String("provider", j.Provider), slog.String("model", j.Model))
	if id := telemetry.TraceID(j.Options.TraceParent); id != "" {
		all = append(all, slog.String("trace_id", id))
	}
	n.log.LogAttrs(ctx, slog.LevelDebug, msg, append(all, attrs...)...) //nolint:sloglint // its callers give constants
}

// recordTry logs and counts a try of a webhook that is over.
func (n *Node) recordTry(s *send, res webhook.Result) {
	d := s.delivery
	n.metrics.Delivery.Try.Observe(res.Took.Seconds())
	if !n.log.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	attrs := []any{"delivery_id", d.ID, "job_id", d.JobID, "status_code", res.StatusCode, "ms", res.Took.Milliseconds()}
	if id := telemetry.TraceID(s.payload.TraceParent); id != "" {
		attrs = append(attrs, "trace_id", id)
	}
	if res.Verdict == webhook.Delivered {
		n.log.Debug("webhook delivered", attrs...)
		return
	}
	n.log.Debug("webhook not delivered", append(attrs, "host", d.Host, "error", res.Class, "remote", res.Remote, "err", res.Cause)...)
}

// recordTried logs and counts what a try has led to, once that is stored.
func (n *Node) recordTried(before, after store.Delivery, end store.TryEnd) {
	countTry(&n.metrics.Delivery, &before, &after, end)
	switch {
	case after.Status == ringback.DeliveryDead && !before.Manual:
		n.log.Warn("webhook is a dead letter", "delivery_id", after.ID, "job_id", after.JobID, "tries", after.Sent)
	case after.Status == ringback.DeliveryPending && n.log.Enabled(context.Background(), slog.LevelDebug):
		n.log.Debug("webhook waits for its next try", "delivery_id", after.ID, "job_id", after.JobID, "next_at", after.NextAt.Truncate(time.Millisecond))
	}
}

// recordExpired logs and counts a delivery whose time is over.
func (n *Node) recordExpired(d *store.Delivery) {
	n.metrics.Delivery.Tries.WithLabelValues(metrics.TryDead).Inc()
	n.log.Warn("webhook is a dead letter: its time is over", "delivery_id", d.ID, "job_id", d.JobID, "tries", d.Sent)
}
