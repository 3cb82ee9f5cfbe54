package node_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/node"
	"github.com/ringback/ringback/internal/simulate"
)

func TestWhatWaitsInALaneStartsInItsOrder(t *testing.T) {
	t.Parallel()
	allThere := make(chan struct{})
	w := start(t, setup{
		node: func(c *node.Config) { c.Concurrency = 1 },
		hold: func(c simulate.Call) <-chan struct{} { return allThere },
	})
	prompts := []string{"a", "b", "c", "d", "e", "f"}
	var last ringback.Job
	for _, p := range prompts {
		last = w.ask("sim/echo", p)
	}
	close(allThere)
	w.end(last.ID)
	var order []string
	for _, c := range w.calls.Calls() {
		order = append(order, c.Prompt)
	}
	if !slices.Equal(order, prompts) {
		t.Errorf("calls: got %v, want %v", order, prompts)
	}
}

func TestALaneThatIsAloneTakesAllSlots(t *testing.T) {
	t.Parallel()
	w := start(t, setup{node: func(c *node.Config) {
		impatient(c)
		c.Concurrency = 20
	}})
	for range 30 {
		w.ask("sim/mute", "slow")
	}
	w.called("slow", 20)
	w.wantCalls("slow", 20)
}

func TestASlowLaneCannotTakeAllSlotsWhileThereAreOthers(t *testing.T) {
	t.Parallel()
	w := start(t, setup{node: func(c *node.Config) {
		impatient(c)
		c.Concurrency = 10
	}})
	w.end(w.ask("sim/echo", "the first").ID)
	for range 20 {
		w.ask("sim/mute", "slow")
	}
	w.called("slow", 9)
	for i := range 5 {
		if j := w.end(w.ask("sim/echo", fmt.Sprint("quick ", i)).ID); j.Status != ringback.Completed {
			t.Errorf("another lane: got %s, want completed", j.Status)
		}
	}
	w.wantCalls("slow", 9)
}

func TestModelsThatOnlyAPatternNamesHaveLanesOfTheirOwn(t *testing.T) {
	t.Parallel()
	w := start(t, setup{node: func(c *node.Config) {
		impatient(c)
		c.Concurrency = 10
	}})
	w.end(w.ask("sim/slow?words=1", "the first").ID)
	for range 20 {
		w.ask("sim/mute?words=1", "slow")
	}
	w.called("slow", 9)
	if j := w.end(w.ask("sim/slow?words=1", "quick").ID); j.Status != ringback.Completed {
		t.Errorf("another model of the pattern: got %s, want completed", j.Status)
	}
	w.wantCalls("slow", 9)
}

func TestAProvidersOwnLimitOfCallsHolds(t *testing.T) {
	t.Parallel()
	w := start(t, setup{node: func(c *node.Config) {
		impatient(c)
		c.Providers["simulated"] = node.Provider{Client: c.Providers["simulated"].Client, Concurrency: 2}
		c.Providers["another"] = node.Provider{Client: c.Providers["simulated"].Client}
	}})
	for range 5 {
		w.ask("sim/mute", "slow")
	}
	w.called("slow", 2)
	w.end(w.submit(ringback.Request{Provider: "another"}).ID)
	w.wantCalls("slow", 2)
}

// With one call a second, a lane on hold must not use up the one token of each second
// without calling.
func TestAModelOnHoldDoesNotEatTheRateOfOthers(t *testing.T) {
	t.Parallel()
	w := start(t, setup{node: func(c *node.Config) {
		holdsFor(time.Hour)(c)
		c.Providers["simulated"] = node.Provider{Client: c.Providers["simulated"].Client, RequestsPerMinute: 60}
	}})
	held := w.ask("sim/status-429", "held")
	w.eventually("the hold", func() bool { return w.job(held.ID).StatusReason == "provider_refused" })
	w.ask("sim/status-429", "behind")
	var last ringback.Job
	for range 3 {
		last = w.ask("sim/echo", "living")
	}
	j := w.end(last.ID)
	if took := j.EndedAt.Sub(j.CreatedAt.Time); j.Status != ringback.Completed || took > 10*time.Second {
		t.Errorf("got %s after %s, want completed after about 3 s", j.Status, took)
	}
}

// While all slots are taken, only a slot that is given back makes room: looking every
// millisecond would burn a core for nothing.
func TestWhileAllSlotsAreTakenTheDispatcherSleeps(t *testing.T) {
	t.Parallel()
	var watched *watchedStore
	w := start(t, setup{node: func(c *node.Config) {
		watched = &watchedStore{Store: c.Store}
		c.Store, c.Concurrency = watched, 1
	}})
	long := w.ask("sim/echo?first=700ms", "long")
	w.called("long", 1)
	next := w.ask("sim/echo", "next")
	before := watched.looks.Load()
	w.end(long.ID)
	if looks := watched.looks.Load() - before; looks > 50 {
		t.Errorf("looks at what waits within 0.7 s: got %d, want a few", looks)
	}
	w.end(next.ID)
}

// Jobs that may have killed the process three times do not take others with them.
func TestSuspectsStartOneAtATime(t *testing.T) {
	t.Parallel()
	w := start(t, setup{node: impatient})
	suspects := []ringback.Job{w.ask("sim/mute", "poison 1"), w.ask("sim/mute", "poison 2")}
	for session := 1; session <= 3; session++ {
		w.called("poison 1", session)
		w.called("poison 2", session)
		w = start(t, setup{dir: w.kill(), from: w, node: impatient})
	}
	w.call(func(c simulate.Call) bool { return c.Number > 6 })
	w.end(w.ask("sim/echo", "afterwards").ID) // slots are free, and none is for the second suspect
	if calls := len(w.calls.Of("poison 1")) + len(w.calls.Of("poison 2")); calls != 7 {
		t.Errorf("calls of both suspects: got %d, want 6 before and 1 now", calls)
	}
	for _, j := range suspects {
		w.cancel(j.ID)
		if got := w.end(j.ID); got.Status != ringback.Cancelled {
			t.Errorf("suspect: got %s, want cancelled", got.Status)
		}
	}
}

// A free slot is not enough for a suspect: no other job may be waiting for one.
func TestASuspectStartsLast(t *testing.T) {
	t.Parallel()
	ten := func(c *node.Config) {
		impatient(c)
		c.Concurrency = 10
	}
	w := start(t, setup{node: ten})
	w.ask("sim/mute", "poison")
	var others []ringback.Job
	for session := 1; session <= 3; session++ {
		w.called("poison", session)
		if session == 3 {
			w.ask("sim/mute?words=1", "of another lane")
			w.called("of another lane", 1)
			for range 20 {
				others = append(others, w.ask("sim/mute", "innocent"))
			}
			w.called("innocent", 7) // one slot stays free, and one is the suspect's
		}
		w = start(t, setup{dir: w.kill(), from: w, node: ten})
	}
	w.called("innocent", 7+8)
	w.end(w.ask("sim/echo", "a free slot").ID)
	w.wantCalls("poison", 3)
	for _, j := range others {
		w.cancel(j.ID)
	}
	w.called("poison", 4)
}

func TestASuspectWhoseProviderIsGoneDoesNotFillItsLedger(t *testing.T) {
	t.Parallel()
	w := start(t, setup{node: impatient})
	j := w.ask("sim/mute", "poison")
	for session := 1; session <= 3; session++ {
		w.called("poison", session)
		w = start(t, setup{dir: w.kill(), from: w, node: func(c *node.Config) {
			impatient(c)
			if session == 3 {
				c.Providers = map[string]node.Provider{"another": c.Providers["simulated"]}
			}
		}})
	}
	w.eventually("the look at the suspect", func() bool { return len(w.ledger(j.ID)) > 3 && w.job(j.ID).Status == ringback.Queued })
	for range 5 {
		w.end(w.submit(ringback.Request{Provider: "another"}).ID)
	}
	w.wantOutcomes(j.ID, uncertain, uncertain, uncertain, released)
	if got := w.job(j.ID); got.Status != ringback.Queued || got.StatusReason != "provider_not_configured" {
		t.Errorf("got %s %q, want waiting for its provider", got.Status, got.StatusReason)
	}
}

func TestAJobWhoseProviderIsGoneWaitsWithAReason(t *testing.T) {
	t.Parallel()
	w := start(t, setup{node: holdsFor(time.Hour)})
	j := w.ask("sim/status-429", "waits")
	w.eventually("the hold", func() bool { return w.job(j.ID).StatusReason == "provider_refused" })
	w.stop()
	w = start(t, setup{dir: w.dir, from: w, node: func(c *node.Config) {
		c.Providers = map[string]node.Provider{"another": c.Providers["simulated"]}
	}})
	w.end(w.submit(ringback.Request{Provider: "another"}).ID)
	if got := w.job(j.ID); got.Status != ringback.Queued || got.StatusReason != "provider_not_configured" {
		t.Errorf("got %s %q, want waiting for its provider", got.Status, got.StatusReason)
	}
}
