package dispatch

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ringback/ringback/internal/store"
)

var (
	slowLane  = store.Lane{Project: "default", Provider: "p", Model: "slow"}
	quickLane = store.Lane{Project: "default", Provider: "p", Model: "quick"}
)

// newTestScheduler returns the scheduler of a node with one provider, each with a
// concurrency.
func newTestScheduler(concurrency, ofProvider int) *scheduler {
	return newScheduler(schedulerConfig{
		concurrency: concurrency, providers: map[string]Provider{"p": {Concurrency: ofProvider}}, names: newNames("slow", "quick"),
	})
}

// fill takes slots for a lane as long as there are any.
func (s *scheduler) fill(l store.Lane) (permits []*permit) {
	for t := s.take(l); t != nil; t = s.take(l) {
		permits = append(permits, t)
	}
	return permits
}

func giveAll(permits []*permit) {
	for _, t := range permits {
		t.give()
	}
}

func TestALaneAloneHasAllSlotsOfServerAndProvider(t *testing.T) {
	for _, c := range []struct{ concurrency, ofProvider, want int }{
		{1, 0, 1}, {2, 0, 2}, {20, 0, 20}, {256, 0, 256}, {256, 20, 20}, {20, 256, 20},
	} {
		if got := len(newTestScheduler(c.concurrency, c.ofProvider).fill(slowLane)); got != c.want {
			t.Errorf("of %d, and %d of the provider, a lane took %d, want %d", c.concurrency, c.ofProvider, got, c.want)
		}
	}
}

func TestBesideOthersALaneLeavesOneSlotInSixteenFree(t *testing.T) {
	for _, c := range []struct{ concurrency, want int }{{2, 1}, {10, 9}, {20, 19}, {32, 30}, {256, 240}} {
		s := newTestScheduler(c.concurrency, 0)
		s.take(quickLane).give()
		if got := len(s.fill(slowLane)); got != c.want {
			t.Errorf("of %d slots a lane beside another took %d, want %d", c.concurrency, got, c.want)
		}
		if s.take(quickLane) == nil {
			t.Errorf("of %d slots none was left for the other lane", c.concurrency)
		}
	}
	s := newTestScheduler(1, 0)
	s.take(quickLane).give()
	if got := len(s.fill(slowLane)); got != 1 {
		t.Errorf("of the only slot a lane beside another took %d, want 1", got)
	}
}

func TestSlotsAreKeptFreeForAMinuteAfterOthersHadWork(t *testing.T) {
	for name, work := range map[string]func(*scheduler){
		"a call": func(s *scheduler) { s.take(quickLane).give() },
		"jobs that wait": func(s *scheduler) {
			s.wait([]store.LaneWaiting{{Lane: slowLane, Count: 9}, {Lane: quickLane, Count: 1}})
		},
		"a submission": func(s *scheduler) { s.waits(quickLane) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newTestScheduler(20, 0)
				work(s)
				time.Sleep(time.Minute - time.Millisecond)
				permits := s.fill(slowLane)
				if len(permits) != 19 {
					t.Errorf("within the minute: got %d, want 19", len(permits))
				}
				time.Sleep(time.Millisecond)
				permits = append(permits, s.fill(slowLane)...)
				if len(permits) != 20 {
					t.Errorf("after the minute: got %d, want 20", len(permits))
				}
				giveAll(permits)
				if got := len(s.fill(quickLane)); got != 19 {
					t.Errorf("the other lane, after the first had work: got %d, want 19", got)
				}
			})
		})
	}
}

func TestWorkThatGoesOnKeepsSlotsFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestScheduler(20, 0)
		long := s.take(quickLane)
		time.Sleep(time.Hour)
		permits := s.fill(slowLane)
		if len(permits) != 18 {
			t.Errorf("beside a call of an hour: got %d, want 18", len(permits))
		}
		long.give()
		permits = append(permits, s.fill(slowLane)...)
		if len(permits) != 19 {
			t.Errorf("after the call: got %d, want 19", len(permits))
		}
	})
}

func TestForWhatCannotRunNoSlotIsKeptFree(t *testing.T) {
	s := newTestScheduler(20, 0)
	gone := store.Lane{Project: "default", Provider: "gone", Model: "quick"}
	s.wait([]store.LaneWaiting{{Lane: slowLane, Count: 30}, {Lane: gone, Count: 1}})
	if got := len(s.fill(slowLane)); got != 20 {
		t.Errorf("beside a lane without a provider: got %d, want 20", got)
	}
}

// fillWaiting is fill for jobs that wait in the store.
func (s *scheduler) fillWaiting(l store.Lane) (permits []*permit) {
	for t := s.takeWaiting(l); t != nil; t = s.takeWaiting(l) {
		permits = append(permits, t)
	}
	return permits
}

func TestSlotsAreLentForWhatADeadNodeHadBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestScheduler(10, 0)
		own := s.fill(slowLane)
		s.lend([]store.Lane{slowLane, slowLane, quickLane})
		if s.tryNow(slowLane) != nil {
			t.Error("a job that has just arrived got a slot that is lent to others")
		}
		lent := append(s.fillWaiting(slowLane), s.fillWaiting(quickLane)...)
		if len(lent) != 3 {
			t.Errorf("of three slots that are lent: got %d", len(lent))
		}
		giveAll(own[:3])
		if got := s.fillWaiting(slowLane); len(got) != 0 {
			t.Errorf("while as many calls run as there are slots: got %d more", len(got))
		}
		giveAll(lent)
		giveAll(own[3:])

		s.fill(slowLane)
		s.lend(slices.Repeat([]store.Lane{slowLane}, 100))
		if got := len(s.fillWaiting(slowLane)); got != 10 {
			t.Errorf("of slots lent for 100 jobs: got %d, want no more than there are, 10", got)
		}
	})
}

func TestSlotsThatAreLentAreVoidAfterAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestScheduler(10, 0)
		s.fill(slowLane)
		s.lend([]store.Lane{slowLane})
		time.Sleep(lendFor)
		if s.takeWaiting(slowLane) != nil {
			t.Error("a slot was still lent")
		}
	})
}

func TestALimitOfTheProviderHoldsAlsoForSlotsThatAreLent(t *testing.T) {
	s := newTestScheduler(10, 12)
	s.fill(slowLane)
	s.lend(slices.Repeat([]store.Lane{slowLane}, 10))
	if got := len(s.fillWaiting(slowLane)); got != 2 {
		t.Errorf("beside 10 calls of the provider's 12: got %d, want 2", got)
	}
}
