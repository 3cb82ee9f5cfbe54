package node

import (
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
)

// waitReason says why a job waits, in one word; "" if only for its turn.
func (n *Node) waitReason(j *store.Job, now time.Time) string {
	if j.Unreadable != "" {
		return reasonUnreadable
	}
	if _, ok := n.cfg.Providers[j.Provider]; !ok {
		return "provider_not_configured"
	}
	if j.FirstStartedAt.IsZero() && j.RunAt.After(now) {
		return "scheduled"
	}
	if reason, held := n.jobs.held(j.Lane()); held {
		return reason
	}
	if n.jobs.refusedAlone(j) {
		return reasonKey
	}
	if j.Failures > 0 {
		return "retrying"
	}
	return ""
}

// heldBy returns the call that was refused or failed so that a job waits; nil if it waits
// for something else.
func (n *Node) heldBy(j *store.Job, reason string) *ringback.HeldBy {
	switch reason {
	case reasonRefused, reasonKey, reasonFailing:
		if c, known := n.jobs.heldBy(j); known {
			return c.show(j.Project)
		}
	}
	return nil
}
