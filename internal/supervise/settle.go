package supervise

import (
	"errors"
	"time"

	"github.com/ringback/ringback/internal/backoff"
	"github.com/ringback/ringback/internal/store"
)

// StepSettle is the name of a settle as a step that may fail.
const StepSettle = "settle"

const (
	// SettleTries is the number of tries after which an outcome counts as one that can't be
	// stored, unless the store can't take anything now.
	SettleTries = 5
	// settlePause is the time between two tries of a settle that failed.
	settlePause = time.Second
	// settlePatience bounds the pause of a settle that waits for a lock of another program:
	// requesting the lock keeps others waiting.
	settlePatience = 4 * time.Second
)

// SettlePause returns the pause after that many tries of a settle that failed.
func SettlePause(tries int, err error) time.Duration {
	if !errors.Is(err, store.ErrBusy) {
		return backoff.Jitter(settlePause, backoff.Half)
	}
	return backoff.Jitter(min(settlePause<<min(tries-1, 8), settlePatience), backoff.Half)
}

// TryAgain reports whether a settle that failed may succeed later. It is tried again after
// nearly every error: nobody else would ever settle what this process holds.
func (s *Supervisor) TryAgain(err error) bool {
	s.cfg.Disk.NoteFull(err)
	return !errors.Is(err, store.ErrFenced) && !errors.Is(err, store.ErrClosed)
}

// WorthLogging reports whether a settle that failed is worth a line in the log.
func (s *Supervisor) WorthLogging(tries int, err error) bool {
	return !errors.Is(err, store.ErrBusy) || tries%10 == 1 && s.held.since.Load() == 0
}

// IsTransient reports whether an error has nothing to do with what was to be stored.
func IsTransient(err error) bool {
	for _, passing := range []error{store.ErrFull, store.ErrBusy, store.ErrUnknown, store.ErrUnavailable} {
		if errors.Is(err, passing) {
			return true
		}
	}
	return false
}
