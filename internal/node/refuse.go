package node

import (
	"context"
	"errors"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
)

// Why there is no room for a submission, as the label of a metric.
const (
	refusedStopping = "stopping"
	refusedDisk     = "disk"
	refusedQueue    = "queue"
	refusedMemory   = "memory"
	refusedDatabase = "database"
	refusedRole     = "role"
)

// refuse is the error of a submission for which there is no room.
func (n *Node) refuse(reason, message string, seconds int) *ringback.Error {
	n.metrics.rejected.WithLabelValues(reason).Inc()
	if n.refusals.Note(reason, time.Now()) && reason != refusedStopping {
		n.log.Warn("submissions are refused", "reason", reason)
	}
	return &ringback.Error{Code: ringback.Unavailable, Message: message, RetryAfterSeconds: seconds}
}

// refuseRead is the error of a read for which there is no room.
func (n *Node) refuseRead() *ringback.Error {
	return &ringback.Error{
		Code: ringback.Unavailable, RetryAfterSeconds: 2,
		Message: "the server is sending as much as its memory allows; try again in a moment",
	}
}

// recordRefusals logs which spells of refusals are over.
func (n *Node) recordRefusals(now time.Time) {
	for _, s := range n.refusals.Over(now) {
		n.log.Info("submissions are refused no longer", "reason", s.Reason, "refused", s.Count, "ms", s.Took().Milliseconds())
	}
}

// countRejected counts a submission that was refused for what it says, or by a
// fault of ours; those for which there is no room are counted by refuse.
func (n *Node) countRejected(err error) {
	if err == nil || errors.Is(err, context.Canceled) {
		return
	}
	reason := string(ringback.Internal)
	if e, ok := errors.AsType[*ringback.Error](err); ok {
		reason = string(e.Code)
	}
	if reason != string(ringback.Unavailable) {
		n.metrics.rejected.WithLabelValues(reason).Inc()
	}
}

// Refusal is the error for users where the store can't take or find anything for
// now; nil for any other error.
func Refusal(err error) *ringback.Error {
	const again = 5
	switch {
	case errors.Is(err, store.ErrBusy):
		return &ringback.Error{Code: ringback.Unavailable, Message: "another program holds the server's database, or a part of it; try again in a moment", RetryAfterSeconds: again}
	case errors.Is(err, store.ErrFull):
		return &ringback.Error{Code: ringback.Unavailable, Message: "the server's disk is full; try again later", RetryAfterSeconds: 30}
	case errors.Is(err, store.ErrClosed):
		return &ringback.Error{Code: ringback.Unavailable, Message: "the server is stopping; try again in a moment", RetryAfterSeconds: again}
	case errors.Is(err, store.ErrUnavailable):
		return &ringback.Error{Code: ringback.Unavailable, Message: "the database can't be reached; try again in a moment", RetryAfterSeconds: again}
	case errors.Is(err, store.ErrUnknown):
		return &ringback.Error{Code: ringback.Unavailable, RetryAfterSeconds: again, Message: "the database was lost in the middle of this: " +
			"it may be done or not; try again in a moment, a new job with the same Idempotency-Key, so that it is not made twice"}
	}
	return nil
}
