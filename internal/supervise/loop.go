package supervise

import (
	"context"
	"errors"
	"time"

	"github.com/ringback/ringback/internal/backoff"
	"github.com/ringback/ringback/internal/store"
)

const (
	// Idle is how long a dispatcher sleeps when nothing wakes it.
	Idle = time.Second
	// longPass is how long a pass may take without a rest of the same length after it.
	longPass = 20 * time.Millisecond
)

// Dispatch calls work at each wake, and at the time that work last returned.
func (s *Supervisor) Dispatch(ctx context.Context, step string, wake <-chan struct{}, work func(context.Context, time.Time) (time.Time, error)) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
		case <-timer.C:
		}
		began, now := time.Now(), s.cfg.Clock.Now()
		var next time.Time
		err := s.Guarded(step, func() (err error) {
			next, err = work(ctx, now)
			return err
		})
		// Don't let one long pass over a deep backlog starve everything else.
		if spent := time.Since(began); spent > longPass && !backoff.Sleep(ctx, min(spent, Idle)) {
			return nil
		}
		pause := Idle
		switch {
		case s.unclaimed(ctx, step, err):
			pause = backoff.Jitter(Idle, backoff.Half)
		case !next.IsZero():
			pause = min(pause, max(time.Millisecond, next.Sub(s.cfg.Clock.Now())))
		}
		timer.Reset(pause)
	}
}

// unclaimed reports whether a claim failed, and logs it.
func (s *Supervisor) unclaimed(ctx context.Context, step string, err error) bool {
	if !s.loggedElsewhere(ctx, step, err) && err != nil {
		s.log.Error("waiting work not claimed", "step", step, "err", err)
	}
	return err != nil
}

// loggedElsewhere reports whether nothing should be logged about a step of a loop that
// ended with err. It notes what err says about the store and the lease.
func (s *Supervisor) loggedElsewhere(ctx context.Context, step string, err error) bool {
	return ctx.Err() != nil || s.OutOfReach(step, err) || s.isHeld(step, err) || s.cfg.NoLease(err) || errors.Is(err, ErrPanic)
}

// KeepHouse runs a step of a loop that continues even if the step fails.
func (s *Supervisor) KeepHouse(ctx context.Context, step string, do func() error) {
	s.LogLoopError(ctx, step, s.Guarded(step, do))
}

// LogLoopError logs the error of a loop, which continues. Errors caused by a full disk, a
// store out of reach, a lost lease or the end of the process are logged elsewhere.
func (s *Supervisor) LogLoopError(ctx context.Context, step string, err error) {
	if s.loggedElsewhere(ctx, step, err) {
		return
	}
	if err != nil && !s.cfg.Disk.NoteFull(err) {
		s.log.Error("housekeeping failed", "step", step, "err", err)
	}
}

// RetryUntil repeats a step of the start until it succeeds, as long as it fails because the
// store can't be reached: a process that ended then would only be started again.
func (s *Supervisor) RetryUntil(ctx context.Context, step string, do func() error) error {
	const first, most = 250 * time.Millisecond, 4 * time.Second
	for pause := first; ; pause = min(2*pause, most) {
		err := do()
		if !s.OutOfReach(step, err) && !s.isHeld(step, err) && !errors.Is(err, store.ErrUnknown) {
			return err
		}
		if !backoff.Sleep(ctx, backoff.Jitter(pause, backoff.Half)) {
			return ctx.Err()
		}
	}
}

// Wake wakes the loop that receives from c, which has capacity 1. It never blocks.
func Wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
