package limit

import (
	"math"
	"testing"
	"time"
)

// The following tests are about a limit that several processes share: its part changes.
func TestAPartThatChanges(t *testing.T) {
	promise(t, "a gate of no slots lets nobody in, and no clock opens it", func(t *testing.T) {
		g := New(Config{Slots: 2})
		out := enter(t, g)
		g.Resize(0)
		refuseEntry(t, g)
		out.Done(Report{Verdict: OK})
		refuseEntry(t, g)
		if room, next := g.Room(), g.Next(); room != 0 || !next.IsZero() {
			t.Fatalf("Room and Next: got %d and %v, want 0 and the zero time", room, next)
		}
		g.Resize(1)
		enter(t, g)
		refuseEntry(t, g)
	})

	promise(t, "a gate may lose its limit", func(t *testing.T) {
		g := New(Config{})
		g.Resize(0)
		refuseEntry(t, g)
		g.Resize(math.MaxInt)
		if got := g.Room(); got != math.MaxInt {
			t.Fatalf("Room: got %d, want math.MaxInt", got)
		}
	})

	promise(t, "a rate that changes gives no token twice", func(t *testing.T) {
		g := New(Config{PerMinute: 600}) // ten a second, ten at once
		if got := drain(g); got != 10 {
			t.Fatalf("at first: got %d passes, want 10", got)
		}
		g.SetRate(300)
		g.SetRate(600)
		refuseEntry(t, g)
		g.SetRate(300)
		time.Sleep(time.Second)
		if got := drain(g); got != 5 {
			t.Fatalf("after a second at half the rate: got %d passes, want 5", got)
		}
	})

	promise(t, "a share of less than one a minute has its turn", func(t *testing.T) {
		g := New(Config{PerMinute: 1})
		g.SetRate(0.5)
		enter(t, g)
		refuseEntry(t, g)
		time.Sleep(time.Until(g.Next()))
		enter(t, g)
	})

	promise(t, "a gate without a rate gets none", func(t *testing.T) {
		g := New(Config{})
		g.SetRate(1)
		enter(t, g)
		enter(t, g)
	})
}
