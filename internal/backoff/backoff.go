// Package backoff is how this server waits before it tries again: the one grammar of the
// times that providers and receivers ask for, one jitter, and one sleep that a context
// ends.
package backoff

import (
	"context"
	"math/rand/v2"
	"time"
)

// The spreads in use.
const (
	// Half is for pauses that are invisible to users.
	Half = 0.5
	// Fifth is for pauses that users know of: the retries of jobs and webhooks, holds.
	Fifth = 0.2
)

// Jitter moves d by up to spread of it either way, so that calls that failed together do
// not return together. A spread is between 0 and 1.
func Jitter(d time.Duration, spread float64) time.Duration {
	return JitterBy(d, spread, rand.Float64())
}

// JitterBy is Jitter with the caller's random number, from 0 up to 1.
func JitterBy(d time.Duration, spread, random float64) time.Duration {
	return time.Duration(float64(d) * (1 - spread + 2*spread*random))
}

// Sleep waits for d and reports whether it passed before ctx ended.
func Sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
