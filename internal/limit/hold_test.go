package limit

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestNamedTimes(t *testing.T) {
	promise(t, "a time that was named is kept to the nanosecond, then there is one probe", func(t *testing.T) {
		g := New(Config{})
		until := time.Now().Add(7 * time.Second)
		enter(t, g).Done(Report{Verdict: Refused, Until: until, Reason: "rate_limited"})
		wantHold(t, g, 7*time.Second, "rate_limited")
		time.Sleep(7*time.Second - 1)
		refuseEntry(t, g)
		if !g.Next().Equal(until) {
			t.Fatalf("Next: got %v, want %v", g.Next(), until)
		}
		time.Sleep(1)
		probe := enter(t, g)
		refuseEntry(t, g)
		if !probe.Probe() {
			t.Fatal("the first pass after a hold is not a probe")
		}
		if !g.Next().IsZero() {
			t.Fatalf("Next while a probe is out: got %v, want the zero time", g.Next())
		}
		probe.Done(Report{Verdict: OK})
		wantOpen(t, g)
		if enter(t, g).Probe() {
			t.Fatal("a pass of an open gate calls itself a probe")
		}
	})

	promise(t, "a named time is cut to an hour", func(t *testing.T) {
		g := New(Config{})
		enter(t, g).Done(Report{Verdict: Refused, Until: time.Now().Add(30 * 24 * time.Hour)})
		wantHold(t, g, time.Hour, "")
	})

	promise(t, "a side that says at once for ever is asked ever more seldom", func(t *testing.T) {
		g := New(Config{})
		for _, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
			enter(t, g).Done(Report{Verdict: Refused, Until: time.Now()})
			wantHold(t, g, want*time.Second, "")
			time.Sleep(want * time.Second)
		}
	})

	promise(t, "a late refusal lengthens a hold and never shortens one", func(t *testing.T) {
		g := New(Config{})
		a, b, c := enter(t, g), enter(t, g), enter(t, g)
		a.Done(Report{Verdict: Refused, Until: time.Now().Add(time.Minute), Reason: "first"})
		b.Done(Report{Verdict: Refused, Until: time.Now().Add(time.Second), Reason: "shorter"})
		wantHold(t, g, time.Minute, "first")
		c.Done(Report{Verdict: Refused, Until: time.Now().Add(2 * time.Minute), Reason: "longer"})
		wantHold(t, g, 2*time.Minute, "longer")
	})

	promise(t, "a time that is named while the probe is out outlasts the probe's success", func(t *testing.T) {
		g := New(Config{})
		a, b := enter(t, g), enter(t, g)
		a.Done(Report{Verdict: Refused, Until: time.Now().Add(time.Second)})
		time.Sleep(time.Second)
		probe := enter(t, g)
		b.Done(Report{Verdict: Refused, Until: time.Now().Add(time.Minute)})
		probe.Accepted()
		probe.Done(Report{Verdict: OK})
		wantHold(t, g, time.Minute, "")
		refuseEntry(t, g)
	})

	promise(t, "a straggler with a named time begins a new hold after the old one", func(t *testing.T) {
		g := New(Config{})
		a, b := enter(t, g), enter(t, g)
		a.Done(Report{Verdict: Refused, Until: time.Now().Add(time.Second)})
		time.Sleep(time.Second)
		enter(t, g).Done(Report{Verdict: OK})
		b.Done(Report{Verdict: Refused, Until: time.Now().Add(time.Minute)})
		wantHold(t, g, time.Minute, "")
	})
}

func TestGrowingPauses(t *testing.T) {
	promise(t, "pauses double from 1 s, and a success makes them short again", func(t *testing.T) {
		g := New(Config{})
		for range 2 {
			for _, want := range []time.Duration{1, 2, 4, 8, 16, 32} {
				enter(t, g).Done(Report{Verdict: Refused})
				wantPause(t, g, want*time.Second)
				time.Sleep(time.Until(g.Next()))
			}
			enter(t, g).Done(Report{Verdict: OK})
			wantOpen(t, g)
		}
	})

	promise(t, "no pause is longer than a minute, and none of the last much shorter", func(t *testing.T) {
		g := New(Config{})
		for n := range 200 {
			enter(t, g).Done(Report{Verdict: []Verdict{Refused, Failed}[n%2]})
			if wait := time.Until(g.Next()); wait > time.Minute || n > 6 && wait < 40*time.Second {
				t.Fatalf("pause %d: got %s", n+1, wait)
			}
			time.Sleep(time.Until(g.Next()))
		}
	})

	promise(t, "pauses of two gates differ", func(t *testing.T) {
		seen := map[time.Time]bool{}
		for range 20 {
			g := New(Config{})
			enter(t, g).Done(Report{Verdict: Refused})
			seen[g.Next()] = true
		}
		if len(seen) < 15 {
			t.Fatalf("20 gates refused at one moment come back at %d moments, want nearly as many as gates", len(seen))
		}
	})

	promise(t, "the many refusals of one burst are one step", func(t *testing.T) {
		g := New(Config{})
		var burst []*Permit
		for range 200 {
			burst = append(burst, enter(t, g))
		}
		for _, p := range burst {
			p.Done(Report{Verdict: Refused})
		}
		wantPause(t, g, time.Second)
		time.Sleep(time.Until(g.Next()))
		enter(t, g).Done(Report{Verdict: Refused})
		wantPause(t, g, 2*time.Second)
	})

	promise(t, "a probe that fails lengthens the hold", func(t *testing.T) {
		g := New(Config{})
		enter(t, g).Done(Report{Verdict: Refused, Reason: "overloaded"})
		time.Sleep(time.Until(g.Next()))
		enter(t, g).Done(Report{Verdict: Failed, Reason: "status 500"})
		wantPause(t, g, 2*time.Second)
		if _, reason, _ := g.Held(); reason != "status 500" {
			t.Fatalf("reason: got %q, want that of the probe", reason)
		}
	})

	promise(t, "a probe without a verdict lets the next one try at once", func(t *testing.T) {
		g := New(Config{})
		enter(t, g).Done(Report{Verdict: Refused})
		time.Sleep(time.Until(g.Next()))
		for range 3 {
			probe := enter(t, g)
			refuseEntry(t, g)
			probe.Done(Report{})
		}
		enter(t, g).Done(Report{Verdict: OK})
		wantOpen(t, g)
	})
}

func TestOldNews(t *testing.T) {
	promise(t, "the late success of a call from before the hold ends nothing", func(t *testing.T) {
		g := New(Config{})
		old, older := enter(t, g), enter(t, g)
		enter(t, g).Done(Report{Verdict: Refused})
		old.Accepted()
		old.Done(Report{Verdict: OK})
		refuseEntry(t, g)
		time.Sleep(time.Until(g.Next()))
		probe := enter(t, g)
		older.Done(Report{Verdict: OK})
		refuseEntry(t, g)
		probe.Done(Report{Verdict: Refused})
		wantPause(t, g, 2*time.Second)
	})

	promise(t, "the stragglers of a burst begin no new hold after the probe has ended it", func(t *testing.T) {
		g := New(Config{BreakAfter: 2})
		var old []*Permit
		for range 20 {
			old = append(old, enter(t, g))
		}
		enter(t, g).Done(Report{Verdict: Refused})
		time.Sleep(time.Until(g.Next()))
		enter(t, g).Done(Report{Verdict: OK})
		for i, p := range old {
			p.Done(Report{Verdict: []Verdict{Refused, Failed}[i%2]})
		}
		wantOpen(t, g)
	})

	promise(t, "a freed gate is open, and what the probe of the old hold says is old news", func(t *testing.T) {
		g := New(Config{})
		enter(t, g).Done(Report{Verdict: Refused, Until: time.Now().Add(time.Hour)})
		g.Free()
		wantOpen(t, g)
		enter(t, g).Done(Report{Verdict: Refused, Until: time.Now().Add(time.Second)})
		time.Sleep(time.Second)
		probe := enter(t, g)
		g.Free()
		wantOpen(t, g)
		probe.Done(Report{Verdict: Refused})
		wantOpen(t, g)
	})
}

func TestAccepted(t *testing.T) {
	promise(t, "a probe that is being answered ends a hold of refusals, long before its end", func(t *testing.T) {
		g := New(Config{BreakAfter: 1})
		enter(t, g).Done(Report{Verdict: Refused})
		time.Sleep(time.Until(g.Next()))
		probe := enter(t, g)
		probe.Accepted()
		wantOpen(t, g)
		probe.Done(Report{Verdict: Failed})
		wantPause(t, g, time.Second)
	})

	promise(t, "an accepted probe that is still being answered does not stand in the way of the next hold's", func(t *testing.T) {
		g := New(Config{})
		enter(t, g).Done(Report{Verdict: Refused})
		time.Sleep(time.Until(g.Next()))
		old := enter(t, g)
		old.Accepted()
		enter(t, g).Done(Report{Verdict: Refused})
		time.Sleep(time.Until(g.Next()))
		old.Accepted()
		if probe := enter(t, g); !probe.Probe() {
			t.Fatal("a call that was accepted before the hold has ended it")
		}
		old.Done(Report{Verdict: OK})
		refuseEntry(t, g)
	})

	promise(t, "where something failed, the probe has to end well", func(t *testing.T) {
		g := New(Config{BreakAfter: 1})
		enter(t, g).Done(Report{Verdict: Failed})
		time.Sleep(time.Until(g.Next()))
		probe := enter(t, g)
		probe.Accepted()
		refuseEntry(t, g)
		probe.Done(Report{Verdict: OK})
		wantOpen(t, g)
	})
}

func TestBreaker(t *testing.T) {
	fail := func(t *testing.T, g *Gate, n int) {
		t.Helper()
		for range n {
			enter(t, g).Done(Report{Verdict: Failed, Reason: "failures"})
		}
	}
	succeed := func(t *testing.T, g *Gate, n int) {
		t.Helper()
		for range n {
			enter(t, g).Done(Report{Verdict: OK})
		}
	}

	promise(t, "ten failures in a row begin a hold, nine do not", func(t *testing.T) {
		g := New(Config{})
		fail(t, g, 9)
		succeed(t, g, 4)
		time.Sleep(2 * time.Minute)
		for range 9 {
			fail(t, g, 1)
			time.Sleep(time.Minute)
		}
		wantOpen(t, g)
		fail(t, g, 1)
		wantPause(t, g, time.Second)
		if _, reason, _ := g.Held(); reason != "failures" {
			t.Fatalf("reason: got %q, want that of the last failure", reason)
		}
	})

	promise(t, "seven failures of ten within a minute begin a hold", func(t *testing.T) {
		g := New(Config{})
		succeed(t, g, 3)
		fail(t, g, 6)
		wantOpen(t, g)
		time.Sleep(50 * time.Second)
		fail(t, g, 1)
		wantPause(t, g, time.Second)
	})

	promise(t, "failures that are a minute old count no more", func(t *testing.T) {
		g := New(Config{})
		fail(t, g, 8)
		succeed(t, g, 3)
		time.Sleep(time.Minute)
		fail(t, g, 8)
		wantOpen(t, g)
		succeed(t, g, 1)
		time.Sleep(90 * time.Second)
		fail(t, g, 9)
		wantOpen(t, g)
	})

	promise(t, "after a hold the counting begins anew", func(t *testing.T) {
		g := New(Config{HoldMin: time.Second})
		fail(t, g, 10)
		time.Sleep(time.Until(g.Next()))
		succeed(t, g, 1)
		fail(t, g, 9)
		wantOpen(t, g)
	})

	promise(t, "a third of failures, for hours, begins nothing", func(t *testing.T) {
		g := New(Config{})
		for range 5000 {
			fail(t, g, 1)
			time.Sleep(time.Second)
			succeed(t, g, 2)
		}
		wantOpen(t, g)
	})

	promise(t, "a call without a verdict is neither", func(t *testing.T) {
		g := New(Config{})
		for range 9 {
			fail(t, g, 1)
			enter(t, g).Done(Report{})
		}
		wantOpen(t, g)
		fail(t, g, 1)
		wantPause(t, g, time.Second)
	})
}

func wantOpen(t *testing.T, g *Gate) {
	t.Helper()
	if until, reason, held := g.Held(); held {
		t.Fatalf("held until %v (%s), want an open gate", until, reason)
	}
}

// wantHold checks that there is a hold of exactly this length from now.
func wantHold(t *testing.T, g *Gate, want time.Duration, reason string) {
	t.Helper()
	until, why, held := g.Held()
	if got := time.Until(until); !held || got != want || why != reason {
		t.Fatalf("held %v for %v (%q), want %v (%q)", held, got, why, want, reason)
	}
}

// wantPause checks that there is a hold of this length from now, give or take 20 %.
func wantPause(t *testing.T, g *Gate, want time.Duration) {
	t.Helper()
	until, _, held := g.Held()
	got := time.Until(until)
	if !held || got < want*8/10 || got > want*12/10 {
		t.Fatalf("held %v for %v, want %v ± 20 %%", held, got, want)
	}
	refuseEntry(t, g)
}

func TestAHoldOfAFormerProcessIsResumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Config{HoldMin: 10 * time.Second})
		g.Resume(Report{Verdict: Refused, Until: time.Now().Add(time.Minute), Reason: "refused"})
		refuseEntry(t, g)
		time.Sleep(time.Minute)
		p, ok := g.Enter()
		if !ok || !p.Probe() {
			t.Fatalf("after its time: got a pass %v, want the probe", ok)
		}
		p.Done(Report{Verdict: Refused, Reason: "refused"})
		wantPause(t, g, 20*time.Second) // it keeps growing
	})
	synctest.Test(t, func(t *testing.T) {
		g := New(Config{})
		g.Resume(Report{Verdict: Refused, Until: time.Now().Add(-time.Hour), Reason: "refused"})
		p, ok := g.Enter()
		if _, again := g.Enter(); !ok || !p.Probe() || again {
			t.Fatal("one whose time is over lets one probe through, and no more")
		}
		p.Done(Report{Verdict: OK})
		if _, _, held := g.Held(); held {
			t.Fatal("held after a probe that went well")
		}
	})
	synctest.Test(t, func(t *testing.T) {
		g := New(Config{})
		g.Resume(Report{Verdict: Refused, Until: time.Now().Add(24 * time.Hour), Reason: "refused"})
		if until, _, _ := g.Held(); time.Until(until) != time.Hour {
			t.Fatalf("until: got %s from now, want an hour at most", time.Until(until))
		}
	})
}

// Two processes inform each other of their holds.
func TestAHoldOfAnotherProcessLengthensOurs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Config{HoldMin: time.Minute, HoldMax: 2 * time.Minute, BreakAfter: 1})
		enter(t, g).Done(Report{Verdict: Failed, Reason: "failing"})
		g.Resume(Report{Verdict: Refused, Until: time.Now().Add(time.Second), Reason: "refused"})
		if until, reason, _ := g.Held(); time.Until(until) < 40*time.Second || reason != "failing" {
			t.Errorf("after a shorter one: got %s for %q, want ours", time.Until(until), reason)
		}
		g.Resume(Report{Verdict: Refused, Until: time.Now().Add(5 * time.Minute), Reason: "refused"})
		if until, reason, _ := g.Held(); time.Until(until) != 5*time.Minute || reason != "refused" {
			t.Errorf("after a longer one: got %s for %q, want that", time.Until(until), reason)
		}
		time.Sleep(5 * time.Minute)
		p := enter(t, g)
		p.Accepted()
		if _, _, held := g.Held(); !held {
			t.Error("what had failed here is not over before the end of the probe")
		}
		p.Done(Report{Verdict: OK})
	})
}
