package node

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/ringback/ringback"
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

// refusalQuiet is how long nothing has been refused when a spell of refusals
// counts as over.
const refusalQuiet = 10 * time.Second

// refusals are the spells in which submissions are refused for want of room: a
// line when one begins and one when it is over, not one for each refusal.
type refusals struct {
	mu     sync.Mutex
	spells map[string]*spell // by reason
}

type spell struct {
	reason      string
	began, last time.Time
	count       int
}

// note counts a refusal and tells whether a spell begins with it.
func (r *refusals) note(reason string, now time.Time) (begins bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.spells == nil {
		r.spells = map[string]*spell{}
	}
	s := r.spells[reason]
	if s == nil {
		s, begins = &spell{reason: reason, began: now}, true
		r.spells[reason] = s
	}
	s.last = now
	s.count++
	return begins
}

// over takes the spells that are over.
func (r *refusals) over(now time.Time) (over []*spell) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for reason, s := range r.spells {
		if now.Sub(s.last) >= refusalQuiet {
			over = append(over, s)
			delete(r.spells, reason)
		}
	}
	return over
}

// refuse is the error of a submission for which there is no room.
func (n *Node) refuse(reason, message string, seconds int) *ringback.Error {
	n.metrics.rejected.WithLabelValues(reason).Inc()
	if n.refusals.note(reason, time.Now()) && reason != refusedStopping {
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
	for _, s := range n.refusals.over(now) {
		n.log.Info("submissions are refused no longer", "reason", s.reason, "refused", s.count, "ms", s.last.Sub(s.began).Milliseconds())
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
