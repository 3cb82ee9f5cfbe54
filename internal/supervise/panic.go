package supervise

import (
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/ringback/ringback/internal/store"
)

// ErrPanic is the error of a step that panicked. It has been logged.
var ErrPanic = errors.New("panic")

// Guarded runs a step. A panic ends only that step: it is logged with its stack, counted
// and returned as an error.
func (s *Supervisor) Guarded(step string, do func() error, attrs ...any) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = s.Panicked(step, v, attrs...)
		}
	}()
	return do()
}

// Panicked logs and counts a recovered panic. The deferred function that recovered it must
// call it, while the stack is still there.
func (s *Supervisor) Panicked(step string, v any, attrs ...any) error {
	s.cfg.Panics.Inc()
	s.log.Error("panic", append([]any{"step", step, "panic", fmt.Sprint(v), "stack", string(debug.Stack())}, attrs...)...)
	return fmt.Errorf("%w in %s: %v", ErrPanic, step, v)
}

// Careful returns a Decide whose panic ends the job that it is about, and no other that
// shares its transaction.
func (s *Supervisor) Careful(decide store.Decide) store.Decide {
	return func(j store.Job) (o store.Outcome) {
		defer func() {
			if v := recover(); v != nil {
				_ = s.Panicked("decide about a job", v, "job_id", j.ID, "attempt", j.Fence)
				o = s.cfg.Quarantine(j)
			}
		}()
		return decide(j)
	}
}

// Guard calls do. It returns a panic as an error like any other, with its stack.
func Guard(do func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
		}
	}()
	return do()
}
