package limit

import (
	"sync/atomic"
	"time"
)

// Verdict is what a call revealed about the other side.
type Verdict int

const (
	// Void reveals nothing: the call was released, cancelled, or never sent. A voided probe
	// lets the next one try at once. It is the zero value.
	Void Verdict = iota

	// OK is a success. A probe's success ends the hold, unless the other side has named a
	// later time meanwhile, and makes the pauses short again.
	OK

	// Failed counts towards a hold; a probe's failure lengthens it by the next pause.
	Failed

	// Refused begins a hold, or lengthens it if the call was a probe or a time is named.
	Refused
)

// Report is how a call ended. The zero value is Void.
type Report struct {
	Verdict Verdict

	// Until is the time, with Refused, before which the other side does not want to be
	// called: Retry-After. It is cut to 1 h from now. It counts as at least 1 s from now,
	// and twice that after each further refusal with a time and without a success in
	// between, up to Config.HoldMax, so that a side that always says "at once" is not
	// believed forever. The zero time means that none was named: a growing pause.
	Until time.Time

	// Reason is returned by [Gate.Held] and Cause by [Gate.Cause], for Failed and Refused:
	// one word, and all that the caller knows of the call.
	Reason string
	Cause  any
}

// Permit is the right to make one call.
type Permit struct {
	gate    *Gate
	stretch uint64 // the gate's when the permit was given; guarded by gate.mu
	probe   bool
	early   time.Time // the end of the hold that EnterNow did not wait for; zero for Enter
	done    atomic.Bool
}

// Probe reports whether this call is the probe of a hold.
func (p *Permit) Probe() bool { return p.probe }

// Done returns the permit and reports how the call went. It must be called for every
// permit. Only the first call counts, so a deferred Done(Report{}) covers all other ways
// out.
func (p *Permit) Done(r Report) {
	if p.done.Swap(true) {
		return
	}
	g := p.gate
	g.mu.Lock()
	defer g.mu.Unlock()

	g.out--
	if g.probe == p {
		g.probe = nil
	}
	now := time.Now()
	if p.probe && r.Verdict == OK && p.stretch == g.stretch && p.early.Equal(g.hold.until) {
		g.hold.until = now // the hold that it did not wait for is over; a later time that was named meanwhile still counts
	}
	g.apply(r, p.stretch == g.stretch, now)
}

// Accepted reports that the other side has accepted the call, although its outcome is not
// known yet: a provider has begun to answer. That ends a hold that was caused only by
// refusals, as OK does: an answer may take ten minutes, and the waiting calls need not wait
// for it. A hold with a failure in it lasts until the end of the call, since failures come
// late. Accepted does nothing for a call that is not the probe.
func (p *Permit) Accepted() {
	g := p.gate
	g.mu.Lock()
	defer g.mu.Unlock()

	if g.probe != p || g.hold.failed {
		return
	}
	now := time.Now()
	g.proven = true
	g.succeed(now)
	if !g.hold.on {
		p.stretch = g.stretch // the first call of the new stretch: its outcome counts
	}
}
