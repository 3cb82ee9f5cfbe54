// Package limit decides whether a call may start now: how many at a time
// (slots), how many a minute (rate), and not at all for a while after the
// other side refused or failed (hold), until one call has found out that it is
// well again (probe).
//
// There is one type, [Gate], with one gate for each (provider, model), for each
// provider's key and for each receiver's host. A gate is policy on the clock
// and nothing else: it starts no goroutine, does no I/O, and does not know what
// HTTP, a job or a delivery is. What a status code means is decided by those
// who call; it arrives here as a [Verdict].
//
// What always holds:
//
//   - No more permits are out than there are slots.
//   - While a hold stands, no permit is given before its time is over, and after
//     it one at a time, the probe, until a probe has ended well. What somebody asks
//     for now, by [Gate.EnterNow], is a probe before that time.
//   - No permit is given before a time that the other side named (cut to 1 h),
//     unless the operator frees the gate or asks for one now.
//   - A permit that is given back restores what it took but for its token of the
//     rate: the call may have been sent.
//
// Together they bound a retry storm: against a side that always refuses, the
// permits are those of the first burst and one for each pause, and the pauses
// grow.
//
// # Whose word counts
//
// Calls overlap, so verdicts arrive late and out of order. Each permit remembers
// during which stretch (before, during or after which hold) it was given. A
// verdict from an earlier stretch is old news:
//
//   - An old success ends nothing. It began before the trouble did.
//   - An old failure, or an old refusal without a time, changes nothing. So the
//     many refusals of one burst are one step of the growing pause, and the
//     stragglers of a burst do not begin a new hold after the probe ended it.
//   - An old refusal that names a time is honoured all the same, since the time
//     is the other side's own word. It lengthens a hold, begins one if none
//     stands, and never shortens one.
package limit

import (
	"cmp"
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Config says what a gate lets through. The zero value limits neither number
// nor rate, and holds after ten failures in a row.
type Config struct {
	// Slots is how many permits may be out at once; 0 means no limit.
	Slots int

	// PerMinute is how many permits are given in a minute, evenly spaced, with
	// bursts of at most one second's worth; 0 means no limit.
	PerMinute int

	// BreakAfter is how many failures in a row begin a hold; 0 means 10. It is
	// also how many verdicts a minute must have before a share of 70 % failures
	// begins one.
	BreakAfter int

	// HoldMin is the first pause where no time was named; 0 means 1 s. Each
	// further one is twice as long. Every pause is then moved by up to 20 % either
	// way, and none is longer than HoldMax; 0 means 60 s.
	HoldMin, HoldMax time.Duration
}

func (c Config) pause() pause {
	return pause{min: cmp.Or(c.HoldMin, time.Second), max: cmp.Or(c.HoldMax, time.Minute)}
}

// Pause is the nth pause in a row, from 1, as a gate makes them: for what has to
// wait by itself, without a gate.
func (c Config) Pause(n int) time.Duration { return c.pause().jittered(n) }

// Longest is the longest pause.
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

// Enter takes a slot and a token of the rate. While a hold stands it returns
// nil and false; when the hold's time is over it gives one permit, the probe, and
// no other until that one is done. Whoever gets a permit owes it a [Permit.Done].
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
// end of a hold, and takes no token of the rate. While a hold stands the call is the
// probe, so it waits for one that is out.
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

// Resize changes how many permits may be out at once; with 0 none is given,
// math.MaxInt is no limit. Those that are out stay out.
func (g *Gate) Resize(slots int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.slots = max(0, slots)
}

// SetRate changes how many permits are given in a minute, more than 0, where the
// gate has a rate. What was taken stays taken: its tokens are those it had, but no
// more than a burst at the new rate.
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

// burst is a second's worth of permits.
func burst(perMinute float64) int { return max(1, int(perMinute/60)) }

// Room is how many calls of Enter would succeed right now; math.MaxInt if
// nothing limits them.
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

// Next is when Room may become positive by time alone: the end of a hold, or
// the next token of the rate. It is the present if there is room now, and the
// zero time if it is not time that stops it but a permit that is out; then the
// next Done is what to wait for.
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

// Held tells whether a hold stands, its reason as the verdict that last set its
// time gave it, and that time. A hold whose time is over stands until a probe
// has ended well.
func (g *Gate) Held() (until time.Time, reason string, held bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.hold.until, g.hold.reason, g.hold.on
}

// Cause is that of the verdict that last set the time of the hold that stands; nil if
// none stands.
func (g *Gate) Cause() any {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.hold.cause
}

// Resume begins a hold that a former process knew of, or another one knows of, up to
// the time in r, which may be over: then only a probe is let through. It is at most
// 1 h from now, and lengthens a hold that stands, if it is longer. Failed says that
// something had failed, and not only been refused: then no time was named, and it is
// no longer than the longest pause.
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

// Free ends a hold at once, whatever time it has: the operator knows better,
// for instance after a restart with a new key.
func (g *Gate) Free() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.endHold()
}

// Proven tells whether the last verdict was a success. It is false for a gate
// that has had none yet: new hosts share slots with those that failed.
func (g *Gate) Proven() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.proven
}

// Idle tells whether the gate may be dropped, so that the gates of a million
// hosts do not pile up: no permit is out, no verdict came for that long, the rate
// is whole, and no hold stands, or one that nobody has probed for an hour since
// its time was over. What a new gate would not know, that the last call went
// well or that some failed in a row, is then old.
func (g *Gate) Idle(unused time.Duration) bool {
	g.mu.Lock()
	defer g.mu.Unlock()

	now := time.Now()
	held := g.hold.on && now.Sub(g.hold.until) < time.Hour
	whole := g.rate == nil || g.rate.TokensAt(now) >= float64(g.rate.Burst())
	return g.out == 0 && !held && whole && now.Sub(g.verdictAt) >= unused && g.tally.clean(now)
}

// shut tells whether the hold keeps everybody out.
func (g *Gate) shut(now time.Time) bool {
	return g.hold.on && (g.probe != nil || now.Before(g.hold.until))
}

// nextToken is when the limiter has a whole token. The microsecond on top makes
// up for the limiter's floating point: at that time Enter does succeed.
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
