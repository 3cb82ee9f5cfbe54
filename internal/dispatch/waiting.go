package dispatch

import (
	"context"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
)

// Why a job waits, as status_reason shows it.
const (
	reasonRefused = "provider_refused"
	reasonKey     = "provider_refused_key"
	reasonFailing = "provider_failing"

	reasonUnreadable = "unreadable"
)

// WaitReason returns why a job waits, in one word; "" if only for its turn.
func (d *Dispatcher) WaitReason(j *store.Job, now time.Time) string {
	if j.Unreadable != "" {
		return reasonUnreadable
	}
	if _, ok := d.cfg.Providers[j.Provider]; !ok {
		return "provider_not_configured"
	}
	if j.FirstStartedAt.IsZero() && j.RunAt.After(now) {
		return "scheduled"
	}
	if reason, held := d.scheduler.held(j.Lane()); held {
		return reason
	}
	if d.scheduler.refusedAlone(j) {
		return reasonKey
	}
	if j.Failures > 0 {
		return "retrying"
	}
	return ""
}

// HeldBy returns the call that was refused or failed so that a job waits for reason; nil if
// it waits for something else.
func (d *Dispatcher) HeldBy(j *store.Job, reason string) *ringback.HeldBy {
	switch reason {
	case reasonRefused, reasonKey, reasonFailing:
		if c, known := d.scheduler.heldBy(j); known {
			return c.show(j.Project)
		}
	}
	return nil
}

// Oldest returns for how long the oldest job that is due has been due.
func (d *Dispatcher) Oldest(ctx context.Context, now time.Time) (time.Duration, error) {
	w, err := d.cfg.Store.DueJobs(ctx, now)
	if err != nil {
		return 0, err
	}
	first := now
	if w.Suspects.Count > 0 && w.Suspects.Due.Before(first) {
		first = w.Suspects.Due
	}
	for _, l := range w.Lanes {
		if l.Count > 0 && l.Due.Before(first) {
			first = l.Due
		}
	}
	return now.Sub(first), nil
}
