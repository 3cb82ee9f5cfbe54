package supervise

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringback/ringback/internal/store"
)

// outage is a spell in which the store can't be reached.
type outage struct {
	mu      sync.Mutex
	since   time.Time       // zero: there is none
	failing map[string]bool // the steps whose last run failed
}

// note records how a step went. It returns whether an outage begins with it, and the
// duration of the outage that ends with it.
func (o *outage) note(step string, failed bool) (begins bool, over time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case failed && len(o.failing) == 0:
		o.failing, o.since, begins = map[string]bool{step: true}, time.Now(), true
	case failed:
		o.failing[step] = true
	case o.failing[step]:
		if delete(o.failing, step); len(o.failing) == 0 {
			over = time.Since(o.since)
		}
	}
	return begins, over
}

// end ends an outage, and returns its duration.
func (o *outage) end() (over time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.failing) > 0 {
		over = time.Since(o.since)
		clear(o.failing)
	}
	return over
}

// OutOfReach reports whether a step of a loop failed because the store can't be reached. It
// is logged here, once; the loop keeps trying.
func (s *Supervisor) OutOfReach(step string, err error) bool {
	failed := errors.Is(err, store.ErrUnavailable)
	begins, over := s.outage.note(step, failed)
	if begins {
		s.log.Warn("the database can't be reached: running calls go on, nothing new is begun", "step", step, "err", err)
	}
	s.logReached(over)
	return failed
}

// Reached ends an outage: the store has just renewed a lease. A step that still
// fails begins another one.
func (s *Supervisor) Reached() { s.logReached(s.outage.end()) }

func (s *Supervisor) logReached(over time.Duration) {
	if over > 0 {
		s.log.Info("the database is reached again", "ms", over.Milliseconds())
	}
}

// heldDatabase is a spell in which another program holds the database.
type heldDatabase struct{ since atomic.Int64 } // milliseconds since 1970; 0: it is not held

// StepExpire is the step that finds out when the database is no longer held: it writes each
// second, and waits for no row that another program has locked.
const StepExpire = "expire jobs"

// HeldSince returns since when another program has held the database; the zero time if none
// does.
func (s *Supervisor) HeldSince() time.Time {
	if since := s.held.since.Load(); since > 0 {
		return time.UnixMilli(since)
	}
	return time.Time{}
}

// isHeld reports whether a step of a loop failed because another program holds the
// database. It is logged here, once; the loop keeps trying.
func (s *Supervisor) isHeld(step string, err error) bool {
	if err == nil && step == StepExpire {
		if since := s.held.since.Swap(0); since > 0 {
			s.log.Info("the database is not held any more", "ms", time.Now().UnixMilli()-since)
		}
	}
	if !errors.Is(err, store.ErrBusy) {
		return false
	}
	if s.held.since.CompareAndSwap(0, time.Now().UnixMilli()) {
		s.log.Warn("another program holds the database: nothing can be stored until it lets go", "step", step, "err", err)
	}
	return true
}
