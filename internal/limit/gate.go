// Package limit decides whether a call may start now: how many at a time (slots), how many
// a minute (rate), and none for a while after the other side refused or failed (hold),
// until one call has found that it works again (probe).
//
// There is one type, [Gate], with one gate for each (provider, model), for each provider's
// key and for each receiver's host. A gate is only policy over a clock: it starts no
// goroutine, does no I/O, and does not know what HTTP, a job or a delivery is. The caller
// decides what a status code means, and passes a [Verdict].
//
// Invariants:
//
//   - No more permits are out than there are slots.
//   - During a hold no permit is granted before its time is over; after that one at a time,
//     the probe, until a probe has succeeded. A call that somebody asks for now, by
//     [Gate.EnterNow], is a probe before that time.
//   - No permit is granted before a time that the other side named (cut to 1 h), unless the
//     operator frees the gate or asks for one now.
//   - A permit that is returned restores what it took, except its token of the rate: the
//     call may have been sent.
//
// Together they bound a retry storm: against a side that always refuses, the permits are
// those of the first burst and one for each pause, and the pauses grow.
//
// # Which verdicts count
//
// Calls overlap, so verdicts arrive late and out of order. Each permit remembers the
// stretch (before, during or after which hold) in which it was granted. A verdict from an
// earlier stretch is stale:
//
//   - A stale success ends nothing. It began before the trouble did.
//   - A stale failure, or a stale refusal without a time, changes nothing. So the many
//     refusals of one burst are one step of the growing pause, and the stragglers of a
//     burst do not begin a new hold after the probe ended it.
//   - A stale refusal that names a time still counts, since the other side chose the time.
//     It lengthens a hold or begins one, and never shortens one.
package limit

import (
	"cmp"
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Config says what a gate lets through. The zero value limits neither number nor rate, and
// holds after ten failures in a row.
type Config struct {
	// Slots is how many permits may be out at once; 0 means no limit.
	Slots int

	// PerMinute is how many permits are granted in a minute, evenly spaced, with bursts of
	// at most one second's worth; 0 means no limit.
	PerMinute int

	// BreakAfter is how many failures in a row begin a hold; 0 means 10. A hold also begins
	// when 70 % of the verdicts in a minute are failures, if there are at least so many.
	BreakAfter int

	// HoldMin is the first pause where no time was named; 0 means 1 s. Each further pause
	// is twice as long. Every pause is then jittered by up to 20 % either way, and none is
	// longer than HoldMax; 0 means 60 s.
	HoldMin, HoldMax time.Duration
}

func (c Config) pause() pause {
	return pause{min: cmp.Or(c.HoldMin, time.Second), max: cmp.Or(c.HoldMax, time.Minute)}
}

// Pause returns the nth pause in a row, from 1, as a gate would make it, for code that
// waits without a gate.
func (c Config) Pause(n int) time.Duration { return c.pause().jittered(n) }

// Longest returns the longest pause.
func (c Config) Longest() time.Duration { return c.pause().max }

// Gate lets calls through or not. It is safe for concurrent use. Make one with
// [New].
type Gate struct {
	slots int
	rate  *rate.Limiter // nil: no limit; only its figures change
	pause pause

	mu        sync.Mutex // guards what follows
	out       int        // permits out
	stretch   uint64     // counted up when a hold begins and when it ends
	hold      hold
	probe     *Permit // the probe that is out; nil: none
	tally     tally
	proven    bool
	verdictAt time.Time // the last verdict
}

// New makes a gate that is open.
func New(c Config) *Gate {
	g := &Gate{
		slots: cmp.Or(c.Slots, math.MaxInt),
		pause: c.pause(),
		tally: tally{breakAfter: cmp.Or(c.BreakAfter, 10), since: time.Now()},
	}
	if c.PerMinute > 0 {
		g.rate = rate.NewLimiter(rate.Limit(float64(c.PerMinute)/60), burst(float64(c.PerMinute)))
	}
	return g
}

// Enter takes a slot and a token of the rate. During a hold it returns nil and false. Once
// the hold's time is over it grants one permit, the probe, and no other until that one is
// done. The caller must call [Permit.Done] on each permit.
func (g *Gate) Enter() (*Permit, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()

	now := time.Now()
	if g.out >= g.slots || g.shut(now) {
		return nil, false
	}
	if g.rate != nil && !g.rate.AllowN(now, 1) {
		return nil, false
	}
	p := &Permit{gate: g, stretch: g.stretch, probe: g.hold.on}
	if p.probe {
		g.probe = p
	}
	g.out++
	return p, true
}

// EnterNow is Enter for a call that somebody has asked for now: it does not wait for the
// end of a hold, and takes no token of the rate. During a hold the call is the probe, so it
// is not granted while another probe is out.
func (g *Gate) EnterNow() (*Permit, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()

	if g.out >= g.slots || g.probe != nil {
		return nil, false
	}
	p := &Permit{gate: g, stretch: g.stretch, probe: g.hold.on, early: g.hold.until}
	if p.probe {
		g.probe = p
	}
	g.out++
	return p, true
}

// Resize changes how many permits may be out at once: 0 grants none, math.MaxInt is no
// limit. Those that are out stay out.
func (g *Gate) Resize(slots int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.slots = max(0, slots)
}

// SetRate changes how many permits are granted in a minute, more than 0, if the gate has a
// rate. The gate keeps its tokens, up to a burst at the new rate.
func (g *Gate) SetRate(perMinute float64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.rate == nil {
		return
	}
	now := time.Now()
	g.rate.SetLimitAt(now, rate.Limit(perMinute/60))
	g.rate.SetBurstAt(now, burst(perMinute))
}

// burst returns a second's worth of permits.
func burst(perMinute float64) int { return max(1, int(perMinute/60)) }

// Room returns how many calls of Enter would succeed right now; math.MaxInt if nothing
// limits them.
func (g *Gate) Room() int {
	g.mu.Lock()
	defer g.mu.Unlock()

	now := time.Now()
	if g.shut(now) {
		return 0
	}
	room := g.slots
	if room != math.MaxInt {
		room = max(0, room-g.out)
	}
	if g.rate != nil {
		room = min(room, int(g.rate.TokensAt(now)))
	}
	if g.hold.on {
		room = min(room, 1)
	}
	return room
}

// Next returns when Room may become positive by time alone: the end of a hold, or the next
// token of the rate. That is the present if there is room now, and the zero time if the
// gate waits for a permit that is out: then wait for the next Done.
func (g *Gate) Next() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()

	if g.out >= g.slots || g.probe != nil {
		return time.Time{}
	}
	now := time.Now()
	next := later(now, g.hold.until)
	if g.rate != nil {
		next = later(next, nextToken(g.rate, now))
	}
	return next
}

// Held reports whether there is a hold, and returns its end and its reason, both from the
// verdict that last set the end. A hold whose time is over lasts until a probe has
// succeeded.
func (g *Gate) Held() (until time.Time, reason string, held bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.hold.until, g.hold.reason, g.hold.on
}

// Cause returns the cause in the verdict that last set the hold's end; nil if there is no
// hold.
func (g *Gate) Cause() any {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.hold.cause
}

// Resume begins a hold that a former process, or another one, knows of. It lasts until the
// time in r, which may be over: then only a probe is let through. It ends at most 1 h from
// now, and lengthens a present hold if it is longer. The verdict Failed means that
// something had failed, rather than only been refused: then no time was named, and the hold
// is no longer than the longest pause.
func (g *Gate) Resume(r Report) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now, most := time.Now(), namedMax
	if r.Verdict == Failed {
		most = g.pause.max
	}
	g.holdUntil(now.Add(min(r.Until.Sub(now), most)), r)
	g.hold.failed = g.hold.failed || r.Verdict == Failed
	g.hold.pauses = max(g.hold.pauses, 1) // the next pause is longer than the first
}

// Free ends a hold at once, whatever its time: the operator knows better, for instance
// after a restart with a new key.
func (g *Gate) Free() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.endHold()
}

// Proven reports whether the last verdict was a success. It is false for a gate without
// verdicts: new hosts share slots with those that failed.
func (g *Gate) Proven() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.proven
}

// Idle reports whether the gate may be dropped, so that the gates of a million hosts do not
// pile up: no permit is out, no verdict came for that long, the rate's tokens are complete,
// and there is no hold, or one that has not been probed for an hour since its time was
// over. What a new gate would not know, that the last call succeeded or that some failed in
// a row, is outdated by then.
func (g *Gate) Idle(unused time.Duration) bool {
	g.mu.Lock()
	defer g.mu.Unlock()

	now := time.Now()
	held := g.hold.on && now.Sub(g.hold.until) < time.Hour
	whole := g.rate == nil || g.rate.TokensAt(now) >= float64(g.rate.Burst())
	return g.out == 0 && !held && whole && now.Sub(g.verdictAt) >= unused && g.tally.clean(now)
}

// shut reports whether the hold keeps all calls out.
func (g *Gate) shut(now time.Time) bool {
	return g.hold.on && (g.probe != nil || now.Before(g.hold.until))
}

// nextToken returns when the limiter will have a whole token. The additional microsecond
// makes up for the limiter's floating point, so that Enter does succeed at that time.
func nextToken(l *rate.Limiter, now time.Time) time.Time {
	missing := 1 - l.TokensAt(now)
	if missing <= 0 {
		return now
	}
	wait := time.Duration(missing / float64(l.Limit()) * float64(time.Second))
	return now.Add(wait + time.Microsecond)
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
