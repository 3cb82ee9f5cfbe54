package limit

import (
	"sync/atomic"
	"time"
)

// Verdict is what a call said about the other side.
type Verdict int

const (
	// Void says nothing: the call was released, cancelled, or never sent. A
	// voided probe lets the next one try at once. It is the zero value.
	Void Verdict = iota

	// OK is a success. That of a probe ends the hold, unless the other side has
	// meanwhile named a later time, and makes the pauses short again.
	OK

	// Failed counts towards a hold; that of a probe lengthens it by the next
	// pause.
	Failed

	// Refused begins a hold, or lengthens it if the call was a probe or a time
	// is named.
	Refused
)

// Report is how a call ended. The zero value is Void.
type Report struct {
	Verdict Verdict

	// Until is the time before which the other side does not want to be called,
	// with Refused: Retry-After. It is cut to 1 h from now, and taken as at
	// least 1 s from now, twice that after each further refusal with a time and
	// without success between, up to Config.HoldMax: a side that says "at once"
	// for ever is not believed for ever. The zero time means that none was
	// named: a growing pause.
	Until time.Time

	// Reason is shown by [Gate.Held] and Cause by [Gate.Cause], for Failed and
	// Refused: in one word, and all that the caller knows of the call.
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

// Probe tells whether this call is to find out if a hold is over.
func (p *Permit) Probe() bool { return p.probe }

// Done gives the permit back and says how the call went. It must be called for
// every permit. Only the first call counts, so that a deferred Done(Report{}) can
// stand guard over all ways out.
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
		g.hold.until = now // what it did not wait for is over; a later time that was named meanwhile stands
	}
	g.apply(r, p.stretch == g.stretch, now)
}

// Accepted says that the other side has taken the call, although its end is
// not known yet: a provider has begun to answer. A hold that stands for nothing
// but refusals ends with that, as by OK; an answer may take ten minutes, and
// those who wait need not. A hold in which something failed waits for the end
// of the call, since what fails, fails late. For a call that is not the probe
// it does nothing.
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
		p.stretch = g.stretch // the first call of the new stretch: what becomes of it counts
	}
}
