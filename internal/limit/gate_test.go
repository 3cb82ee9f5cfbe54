package limit

import (
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// promise runs a test in a bubble, where time moves only when all wait.
func promise(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

func TestSlots(t *testing.T) {
	promise(t, "no more passes than slots are out, and a slot given back is free", func(t *testing.T) {
		g := New(Config{Slots: 2})
		a, _ := enter(t, g), enter(t, g)
		refuseEntry(t, g)
		if next := g.Next(); !next.IsZero() {
			t.Fatalf("Next with all slots taken: got %v, want the zero time: no clock frees a slot", next)
		}
		a.Done(Report{Verdict: OK})
		enter(t, g)
		refuseEntry(t, g)
	})

	promise(t, "a pass is given back once, however often Done is called", func(t *testing.T) {
		g := New(Config{Slots: 1})
		p := enter(t, g)
		p.Done(Report{Verdict: Refused, Reason: "rate_limited"})
		p.Done(Report{Verdict: OK})
		if _, _, held := g.Held(); !held {
			t.Fatal("a second Done changed the verdict of the first")
		}
		g.Free()
		if got := g.Room(); got != 1 {
			t.Fatalf("Room: got %d, want 1", got)
		}
	})

	promise(t, "without limits there is always room", func(t *testing.T) {
		g := New(Config{})
		enter(t, g)
		if got := g.Room(); got != math.MaxInt {
			t.Fatalf("Room: got %d, want math.MaxInt", got)
		}
		if got := g.Next(); !got.Equal(time.Now()) {
			t.Fatalf("Next with room: got %v, want the present", got)
		}
	})

	promise(t, "many goroutines at once never hold more than the slots, and all come through", func(t *testing.T) {
		const slots, workers, calls = 3, 20, 50
		g := New(Config{Slots: slots})
		var out, most, passed atomic.Int64
		var wg sync.WaitGroup
		for range workers {
			wg.Go(func() {
				for done := 0; done < calls; {
					p, ok := g.Enter()
					if !ok {
						time.Sleep(time.Millisecond)
						continue
					}
					n := out.Add(1)
					for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
					}
					time.Sleep(time.Microsecond)
					out.Add(-1)
					p.Done(Report{Verdict: OK})
					passed.Add(1)
					done++
				}
			})
		}
		wg.Wait()
		if most.Load() != slots || passed.Load() != workers*calls || g.Room() != slots {
			t.Fatalf("at most %d out, %d passed, room %d at the end; want %d, %d, %d",
				most.Load(), passed.Load(), g.Room(), slots, workers*calls, slots)
		}
	})
}

func TestRate(t *testing.T) {
	promise(t, "passes are spaced evenly, and Next names the moment", func(t *testing.T) {
		g := New(Config{PerMinute: 30})
		start := time.Now()
		for range 10 {
			enter(t, g).Done(Report{Verdict: OK})
			refuseEntry(t, g)
			time.Sleep(time.Until(g.Next()))
			if g.Room() != 1 {
				t.Fatalf("Room at the time that Next gave: got %d, want 1", g.Room())
			}
		}
		if took := time.Since(start).Round(time.Millisecond); took != 20*time.Second {
			t.Fatalf("10 passes of 30 a minute took %v, want 20s", took)
		}
	})

	promise(t, "at the time that Next gave there is a pass, whatever the rate", func(t *testing.T) {
		for perMinute := range 120 {
			g := New(Config{PerMinute: perMinute + 1})
			for range 20 {
				drain(g)
				time.Sleep(time.Until(g.Next()))
				if g.Room() < 1 {
					t.Fatalf("no room at the time that Next gave, at %d a minute", perMinute+1)
				}
			}
		}
	})

	promise(t, "a burst is at most a second's worth", func(t *testing.T) {
		g := New(Config{PerMinute: 600})
		time.Sleep(time.Hour)
		if got := drain(g); got != 10 {
			t.Fatalf("burst after an idle hour: got %d passes, want 10", got)
		}
	})
}

func TestForgetting(t *testing.T) {
	promise(t, "a gate is idle only when a new one would do the same", func(t *testing.T) {
		g := New(Config{Slots: 1, PerMinute: 60})
		idle := func(want bool, when string) {
			t.Helper()
			if got := g.Idle(0); got != want {
				t.Fatalf("Idle %s: got %v, want %v", when, got, want)
			}
		}
		idle(true, "when new")
		p := enter(t, g)
		time.Sleep(2 * time.Second)
		idle(false, "while a pass is out")
		p.Done(Report{Verdict: Failed})
		idle(false, "just after a failure")
		time.Sleep(61 * time.Second)
		idle(true, "a minute after a failure")
		enter(t, g).Done(Report{Verdict: OK})
		idle(false, "while a token is missing")
		time.Sleep(2 * time.Second)
		enter(t, g).Done(Report{Verdict: Refused})
		time.Sleep(2 * time.Minute)
		idle(false, "while a hold waits for its probe")
		time.Sleep(2 * time.Hour)
		idle(true, "long after a hold that nobody asked about")
	})

	promise(t, "a gate is proven by its last verdict", func(t *testing.T) {
		g := New(Config{})
		for _, c := range []struct {
			verdict Verdict
			want    bool
		}{{Void, false}, {OK, true}, {Void, true}, {Failed, false}, {OK, true}, {Refused, false}} {
			enter(t, g).Done(Report{Verdict: c.verdict})
			if got := g.Proven(); got != c.want {
				t.Fatalf("Proven after verdict %d: got %v, want %v", c.verdict, got, c.want)
			}
		}
	})
}

func enter(t *testing.T, g *Gate) *Permit {
	t.Helper()
	p, ok := g.Enter()
	if !ok {
		until, reason, held := g.Held()
		t.Fatalf("Enter: no pass (held %v until %v, %s)", held, until, reason)
	}
	return p
}

func refuseEntry(t *testing.T, g *Gate) {
	t.Helper()
	if got := g.Room(); got != 0 {
		t.Fatalf("Room: got %d, want 0", got)
	}
	if _, ok := g.Enter(); ok {
		t.Fatal("Enter gave a pass where there must be none")
	}
}

// drain takes all permits that the gate grants.
func drain(g *Gate) (n int) {
	for {
		if _, ok := g.Enter(); !ok {
			return n
		}
		n++
	}
}
