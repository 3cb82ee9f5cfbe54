package limit

import (
	"testing"
	"time"
)

func TestEnterNow(t *testing.T) {
	held := func(t *testing.T, r Report) *Gate {
		t.Helper()
		g := New(Config{Slots: 2, HoldMin: time.Minute, HoldMax: time.Hour, BreakAfter: 1})
		enter(t, g).Done(r)
		if _, _, held := g.Held(); !held {
			t.Fatal("there is no hold")
		}
		refuseEntry(t, g)
		return g
	}
	enterNow := func(t *testing.T, g *Gate) *Permit {
		t.Helper()
		p, ok := g.EnterNow()
		if !ok {
			t.Fatal("EnterNow gave no pass")
		}
		return p
	}

	promise(t, "a call that is asked for now is the probe, and its success ends the hold before its time", func(t *testing.T) {
		for _, r := range []Report{{Verdict: Failed}, {Verdict: Refused}, {Verdict: Refused, Until: time.Now().Add(time.Hour)}} {
			g := held(t, r)
			p := enterNow(t, g)
			if !p.Probe() {
				t.Fatal("it is no probe")
			}
			if _, ok := g.EnterNow(); ok {
				t.Fatal("a second probe was let through")
			}
			p.Done(Report{Verdict: OK})
			if _, _, held := g.Held(); held {
				t.Fatalf("after %+v and a success the hold is still in effect", r)
			}
			enter(t, g)
		}
	})

	promise(t, "its failure leaves the hold", func(t *testing.T) {
		g := held(t, Report{Verdict: Failed})
		before, _, _ := g.Held()
		enterNow(t, g).Done(Report{Verdict: Failed})
		if after, _, on := g.Held(); !on || after.Before(before) {
			t.Fatalf("the hold ends at %v, before at %v", after, before)
		}
		refuseEntry(t, g)
		enterNow(t, g).Done(Report{}) // it never left
		refuseEntry(t, g)
	})

	promise(t, "a later time that was named while it was out stands", func(t *testing.T) {
		g := New(Config{Slots: 3, HoldMin: time.Minute, BreakAfter: 1})
		straggler := enter(t, g)
		enter(t, g).Done(Report{Verdict: Failed})
		p := enterNow(t, g)
		straggler.Done(Report{Verdict: Refused, Until: time.Now().Add(30 * time.Minute)})
		p.Done(Report{Verdict: OK})
		if until, _, on := g.Held(); !on || time.Until(until) < 29*time.Minute {
			t.Fatalf("the hold ends in %v, want the time that was named", time.Until(until))
		}
	})

	promise(t, "without a hold it is a call like any other, within the slots", func(t *testing.T) {
		g := New(Config{Slots: 1})
		p := enterNow(t, g)
		if p.Probe() {
			t.Fatal("it is a probe of no hold")
		}
		if _, ok := g.EnterNow(); ok {
			t.Fatal("it was let through beyond the slots")
		}
		p.Done(Report{Verdict: OK})
		enterNow(t, g)
	})
}
