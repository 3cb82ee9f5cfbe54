package refusal

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/supervise"
)

// Reason is why there is no room for a submission, as the label of a metric.
type Reason string

// The reasons.
const (
	Stopping Reason = "stopping"
	Disk     Reason = "disk"
	Queue    Reason = "queue"
	Memory   Reason = "memory"
	Database Reason = "database"
	Role     Reason = "role"
)

// Refuser refuses submissions. It logs when a spell of refusals begins and when it is
// over, not each refusal.
type Refuser struct {
	log      *slog.Logger
	rejected *prometheus.CounterVec // reason
	disk     *supervise.Disk
	spells   supervise.Spells
}

// New returns a refuser that counts in rejected, by reason. disk is told of writes that
// failed because it is full.
func New(log *slog.Logger, rejected *prometheus.CounterVec, disk *supervise.Disk) *Refuser {
	for _, reason := range []Reason{Disk, Queue, Memory, Stopping, Database, Role} {
		rejected.WithLabelValues(string(reason)) // begins at 0, so that the first one is a rise
	}
	return &Refuser{log: log, rejected: rejected, disk: disk}
}

// Refuse counts a submission that there is no room for, and returns its user's error.
func (r *Refuser) Refuse(reason Reason, message string, seconds int) *ringback.Error {
	r.rejected.WithLabelValues(string(reason)).Inc()
	if r.spells.Note(string(reason), time.Now()) && reason != Stopping {
		r.log.Warn("submissions are refused", "reason", string(reason))
	}
	return &ringback.Error{Code: ringback.Unavailable, Message: message, RetryAfterSeconds: seconds}
}

// Body returns the user's error if there is no memory for the bodies of requests.
func (r *Refuser) Body() *ringback.Error {
	return r.Refuse(Memory, "the server is reading as much as its memory allows; try again in a moment", 2)
}

// Write returns the user's error for an error of a write to the store.
func (r *Refuser) Write(err error) error {
	switch {
	case errors.Is(err, store.ErrMismatch):
		return &ringback.Error{Code: ringback.IdempotencyMismatch, Message: "this Idempotency-Key was used for another request; use a new key for a new request"}
	case r.disk.NoteFull(err):
		return r.Refuse(Disk, "the server's disk is full; try again later", 30)
	case errors.Is(err, store.ErrClosed):
		return r.Refuse(Stopping, "the server is stopping; try again in a moment", 5)
	}
	if e := Unavailable(err); e != nil {
		return r.Refuse(Database, e.Message, e.RetryAfterSeconds)
	}
	return err
}

// Record logs which spells of refusals are over.
func (r *Refuser) Record(now time.Time) {
	for _, s := range r.spells.Over(now) {
		r.log.Info("submissions are refused no longer", "reason", s.Reason, "refused", s.Count, "ms", s.Took().Milliseconds())
	}
}

// Count counts a submission that was refused for its content, or because of a fault of
// ours; Refuse counts those that there is no room for.
func (r *Refuser) Count(err error) {
	if err == nil || errors.Is(err, context.Canceled) {
		return
	}
	reason := string(ringback.Internal)
	if e, ok := errors.AsType[*ringback.Error](err); ok {
		reason = string(e.Code)
	}
	if reason != string(ringback.Unavailable) {
		r.rejected.WithLabelValues(reason).Inc()
	}
}
