package node

import (
	"log/slog"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/joblog"
	"github.com/ringback/ringback/internal/provider"
	"github.com/ringback/ringback/internal/store"
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

// record logs an event in a job's life.
func (n *Node) record(msg string, j *store.Job, attrs ...slog.Attr) {
	joblog.Record(n.log, msg, j, attrs...)
}
