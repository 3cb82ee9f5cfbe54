package limit

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// storm is many callers that call as often as the gate lets them, and another side
// that refuses or fails each call until it recovers.
type storm struct {
	config   Config
	sick     time.Duration   // then well
	verdicts []Report        // in turn; Until is filled in from named
	named    []time.Duration // in turn; 0: no time
	calls    []time.Duration // how long each call takes, in turn
}

func drawStorm(t *rapid.T) storm {
	seconds := func(from, to int) *rapid.Generator[time.Duration] {
		return rapid.Map(rapid.IntRange(from, to), func(n int) time.Duration { return time.Duration(n) * time.Second })
	}
	return storm{
		config: Config{
			Slots:      rapid.IntRange(1, 64).Draw(t, "slots"),
			PerMinute:  rapid.SampledFrom([]int{0, 6, 600}).Draw(t, "per minute"),
			BreakAfter: rapid.IntRange(1, 12).Draw(t, "break after"),
			HoldMin:    seconds(1, 60).Draw(t, "first pause"),
			HoldMax:    seconds(60, 900).Draw(t, "longest pause"),
		},
		sick: seconds(1, 24*3600).Draw(t, "sick for"),
		verdicts: rapid.SliceOfN(rapid.Map(rapid.SampledFrom([]Verdict{Refused, Failed}), func(v Verdict) Report {
			return Report{Verdict: v}
		}), 1, 5).Draw(t, "verdicts"),
		named: rapid.SliceOfN(seconds(0, 10), 1, 5).Draw(t, "named"),
		calls: rapid.SliceOfN(seconds(0, 20), 1, 5).Draw(t, "calls"),
	}
}

// longestCall is the upper end of storm.calls.
const longestCall = 20 * time.Second

// verdict of the nth call, if it ends now.
func (s storm) verdict(n int, now time.Time) Report {
	r := s.verdicts[n%len(s.verdicts)]
	if d := s.named[n%len(s.named)]; r.Verdict == Refused && d > 0 {
		r.Until = now.Add(d)
	}
	return r
}

// most returns how many permits the growth of the pauses allows while the other side is
// sick: the first burst, and one probe for each pause.
func (s storm) most() int {
	return s.config.Slots + s.config.BreakAfter +
		pausesWithin(s.sick, 0.8, min(s.config.HoldMin, s.config.HoldMax*5/6), s.config.HoldMax*5/6) +
		pausesWithin(s.sick, 1, time.Second, s.config.HoldMax)
}

// pausesWithin counts the doubling pauses that begin within d.
func pausesWithin(d time.Duration, shrink float64, first, longest time.Duration) (n int) {
	for next := first; d >= 0; next *= 2 {
		d -= time.Duration(shrink * float64(min(next, longest)))
		next = min(next, longest)
		n++
	}
	return n
}

// blow lets the callers loose until the gate is open again. It returns the number of
// permits, and how long after the other side's recovery the gate was open for all.
func (s storm) blow(g *Gate) (permits int, open time.Duration, err error) {
	well := time.Now().Add(s.sick)
	var out []call
	defer func() {
		for _, c := range out {
			c.permit.Done(Report{})
		}
	}()
	for {
		if _, _, held := g.Held(); !held && !time.Now().Before(well) {
			return permits, time.Since(well), nil
		}
		for range g.Room() {
			p, ok := g.Enter()
			if !ok {
				return permits, 0, fmt.Errorf("Enter gave fewer passes than Room promised")
			}
			out = append(out, call{p, permits, time.Now().Add(s.calls[permits%len(s.calls)])})
			permits++
		}
		if err := s.check(g, out); err != nil {
			return permits, 0, err
		}
		out = s.wait(g.Next(), well, out)
	}
}

// call is a permit in use.
type call struct {
	permit *Permit
	number int
	ends   time.Time
}

func (s storm) check(g *Gate, out []call) error {
	probes := 0
	for _, c := range out {
		if c.permit.Probe() {
			probes++
		}
	}
	if _, ok := g.Enter(); ok {
		return fmt.Errorf("Enter gave a pass beyond Room")
	}
	if probes > 1 || len(out) > s.config.Slots {
		return fmt.Errorf("%d probes and %d passes out, of %d slots", probes, len(out), s.config.Slots)
	}
	if len(out) == 0 && g.Next().IsZero() {
		return fmt.Errorf("no pass is out and Next names no time: the gate is stuck")
	}
	return nil
}

// wait sleeps until the gate may let more through or a call ends, and ends the calls that
// are due. It returns the others.
func (s storm) wait(next, well time.Time, out []call) []call {
	for _, c := range out {
		if next.IsZero() || c.ends.Before(next) {
			next = c.ends
		}
	}
	time.Sleep(time.Until(next))
	now := time.Now()
	return slices.DeleteFunc(out, func(c call) bool {
		if c.ends.After(now) {
			return false
		}
		if now.Before(well) {
			c.permit.Done(s.verdict(c.number, now))
		} else {
			c.permit.Done(Report{Verdict: OK})
		}
		return true
	})
}

// Against a side that refuses everything, the permits are bounded by the growth
// of the pauses; when it is well again the gate opens within one pause.
func TestNoRetryStorm(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := drawStorm(rt)
		var permits, room int
		var open time.Duration
		var err error
		synctest.Test(t, func(t *testing.T) {
			g := New(s.config)
			permits, open, err = s.blow(g)
			time.Sleep(time.Minute) // the rate is whole again
			room = g.Room()
		})
		if err != nil {
			rt.Fatal(err)
		}
		// Permits of the burst after the recovery are not part of the storm.
		if most := s.most() + s.config.Slots; permits > most {
			rt.Fatalf("%d passes in %v of refusals, the pauses allow %d", permits, s.sick, most)
		}
		longest := max(s.config.HoldMax, 10*time.Second)
		if most := longest + 2*longestCall + 10*time.Second; open > most {
			rt.Fatalf("open for all %v after it was well, want within %v", open, most)
		}
		if want := restRoom(s.config); room != want {
			rt.Fatalf("room after all passes were given back: %d, want %d", room, want)
		}
	})
}

// restRoom returns the room of a gate that has not been used for long.
func restRoom(c Config) int {
	if c.PerMinute == 0 {
		return c.Slots
	}
	return min(c.Slots, max(1, c.PerMinute/60))
}

// step is one thing that happens to a gate in a random walk.
type step struct {
	do    string
	which int           // of the permits that are out
	d     time.Duration // to wait, or the named time
	v     Verdict
}

var steps = rapid.Custom(func(t *rapid.T) step {
	return step{
		do:    rapid.SampledFrom([]string{"fill", "enter", "enter", "done", "done", "done", "accepted", "wait", "next", "free"}).Draw(t, "do"),
		which: rapid.IntRange(0, 20).Draw(t, "which"),
		d:     time.Duration(rapid.SampledFrom([]int64{0, 0, 1, 5, 30, 90, 4000}).Draw(t, "seconds")) * time.Second,
		v:     rapid.SampledFrom([]Verdict{Void, OK, OK, Failed, Failed, Refused}).Draw(t, "verdict"),
	}
})

// walk is a gate and what is expected of it.
type walk struct {
	g      *Gate
	slots  int
	out    []*Permit
	probes map[*Permit]bool // out, of the present hold
	closed time.Time        // no permit may be granted before: the latest named time
}

func (w *walk) enter() (bool, error) {
	room := w.g.Room()
	_, _, held := w.g.Held()
	p, ok := w.g.Enter()
	switch {
	case ok != (room > 0):
		return ok, fmt.Errorf("Room %d, but Enter gave a pass: %v", room, ok)
	case !ok:
		return false, nil
	case time.Now().Before(w.closed):
		return true, fmt.Errorf("a pass %v before the time that was named", time.Until(w.closed))
	case p.Probe() != held:
		return true, fmt.Errorf("held %v, but the pass calls itself a probe: %v", held, p.Probe())
	}
	w.out = append(w.out, p)
	if held {
		w.probes[p] = true
	}
	if len(w.out) > w.slots || len(w.probes) > 1 {
		return true, fmt.Errorf("%d passes and %d probes out, of %d slots", len(w.out), len(w.probes), w.slots)
	}
	return true, nil
}

func (w *walk) fill() error {
	room := w.g.Room()
	for n := 0; ; n++ {
		ok, err := w.enter()
		if err != nil {
			return err
		}
		if !ok {
			if n != room {
				return fmt.Errorf("Room said %d, Enter gave %d", room, n)
			}
			return nil
		}
	}
}

func (w *walk) done(s step) {
	i := s.which % len(w.out)
	p, r := w.out[i], Report{Verdict: s.v}
	if s.v == Refused && s.d > 0 {
		r.Until = time.Now().Add(s.d)
		w.closed = later(w.closed, time.Now().Add(min(s.d, time.Hour)))
	}
	p.Done(r)
	w.out = append(w.out[:i], w.out[i+1:]...)
	delete(w.probes, p)
}

func (w *walk) do(s step) error {
	var err error
	switch {
	case s.do == "fill":
		err = w.fill()
	case s.do == "enter":
		_, err = w.enter()
	case s.do == "done" && len(w.out) > 0:
		w.done(s)
	case s.do == "accepted" && len(w.out) > 0:
		w.out[s.which%len(w.out)].Accepted()
	case s.do == "wait":
		time.Sleep(s.d)
	case s.do == "next" && !w.g.Next().IsZero():
		time.Sleep(time.Until(w.g.Next()))
		if w.g.Room() == 0 {
			err = fmt.Errorf("no room at the time that Next gave")
		}
	case s.do == "free":
		w.g.Free()
		w.closed = time.Time{}
	}
	if _, _, held := w.g.Held(); !held {
		clear(w.probes)
	}
	return err
}

// Whatever happens in whatever order: slots are never exceeded, there is one probe at a
// time, a named time is kept, Room is right, and what was taken is returned.
func TestRandomWalk(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := Config{
			Slots:      rapid.IntRange(1, 8).Draw(rt, "slots"),
			PerMinute:  rapid.SampledFrom([]int{0, 0, 20, 300}).Draw(rt, "per minute"),
			BreakAfter: rapid.IntRange(1, 4).Draw(rt, "break after"),
		}
		plan := rapid.SliceOfN(steps, 1, 200).Draw(rt, "plan")
		var err error
		synctest.Test(t, func(t *testing.T) { err = takeWalk(c, plan) })
		if err != nil {
			rt.Fatal(err)
		}
	})
}

func takeWalk(c Config, plan []step) error {
	w := &walk{g: New(c), slots: c.Slots, probes: map[*Permit]bool{}}
	for i, s := range plan {
		if err := w.do(s); err != nil {
			return fmt.Errorf("step %d, %+v: %w", i, s, err)
		}
	}
	for len(w.out) > 0 {
		w.done(step{})
	}
	w.g.Free()
	time.Sleep(time.Minute)
	if got, want := w.g.Room(), restRoom(c); got != want {
		return fmt.Errorf("room when all is given back: got %d, want %d", got, want)
	}
	return nil
}
