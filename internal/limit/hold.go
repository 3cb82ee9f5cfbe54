package limit

import (
	"time"

	"github.com/ringback/ringback/internal/backoff"
)

const (
	namedMin = time.Second // the least that a named time counts for
	namedMax = time.Hour   // the most
)

// hold has a time before which there are no calls; after it there are only probes.
type hold struct {
	on     bool
	until  time.Time
	reason string // of the verdict that set until
	cause  any    // of the same
	failed bool   // a failure has begun or lengthened it, not only refusals

	// How many times in a row, since the last success, a pause was made or a time was
	// named. They are counted apart, so that a provider that names short times a few times,
	// and then once none, is not paused for a quarter of an hour.
	pauses, named int
}

// apply applies the verdict of a call. fresh means that the call began in the present
// stretch; in a hold only the probe did. The rules are in the package comment.
func (g *Gate) apply(r Report, fresh bool, now time.Time) {
	if r.Verdict != Void {
		g.proven, g.verdictAt = r.Verdict == OK, now
	}
	switch {
	case r.Verdict == Refused && !r.Until.IsZero():
		g.holdNamed(r, fresh, now)
	case !fresh:
	case r.Verdict == Refused:
		g.holdPause(r, now)
	case r.Verdict == Failed:
		g.fail(r, now)
	case r.Verdict == OK:
		g.succeed(now)
	}
}

// succeed notes a success. One in a hold is the probe's.
func (g *Gate) succeed(now time.Time) {
	switch {
	case !g.hold.on:
		g.tally.succeeded(now)
	case now.Before(g.hold.until): // named while the probe was out
		g.hold.failed, g.hold.pauses, g.hold.named = false, 0, 0
	default:
		g.endHold()
	}
}

// fail notes a failure. One in a hold is the probe's.
func (g *Gate) fail(r Report, now time.Time) {
	if g.hold.on || g.tally.failed(now) {
		g.holdPause(r, now)
		g.hold.failed = true
	}
}

// holdPause begins or lengthens the hold by the next growing pause.
func (g *Gate) holdPause(r Report, now time.Time) {
	g.hold.pauses++
	g.holdUntil(now.Add(g.pause.jittered(g.hold.pauses)), r)
}

// holdNamed begins or lengthens the hold up to the time that was named. The time becomes a
// duration at once: it may come from another machine's wall clock, and from here on our own
// monotonic clock counts.
func (g *Gate) holdNamed(r Report, fresh bool, now time.Time) {
	if fresh {
		g.hold.named++
	}
	least := pause{min: namedMin, max: max(namedMin, g.pause.max)}.step(g.hold.named)
	wait := min(max(r.Until.Sub(now), least), namedMax)
	g.holdUntil(now.Add(wait), r)
}

// holdUntil begins a hold or lengthens the present one; it never shortens it.
func (g *Gate) holdUntil(until time.Time, r Report) {
	if !g.hold.on {
		g.hold.on = true
		g.stretch++
		g.tally.reset()
	}
	if until.After(g.hold.until) {
		g.hold.until, g.hold.reason, g.hold.cause = until, r.Reason, r.Cause
	}
}

// endHold opens the gate. From now on a probe that is still out is a call like any other,
// of an earlier stretch.
func (g *Gate) endHold() {
	if !g.hold.on {
		return
	}
	g.hold = hold{}
	g.probe = nil
	g.stretch++
}

// pause is a duration that doubles.
type pause struct{ min, max time.Duration }

// step returns the nth pause in a row, from 1.
func (p pause) step(n int) time.Duration {
	d := p.min
	for range n - 1 {
		if d >= p.max {
			break
		}
		d *= 2
	}
	return min(d, p.max)
}

// jittered returns the nth pause moved by up to 20 % either way, so that calls that failed
// together do not return together. It is never longer than max.
func (p pause) jittered(n int) time.Duration {
	return backoff.Jitter(min(p.step(n), p.max*5/6), backoff.Fifth)
}
