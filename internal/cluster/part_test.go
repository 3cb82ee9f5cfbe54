package cluster

import (
	"context"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ringback/ringback/internal/store"
)

// member is a session that renews as told, with a lease as on PostgreSQL.
type member struct{ *Session }

func newMember(id string) member {
	l := &Session{id: id}
	l.calls, l.end = context.WithCancelCause(context.Background())
	return member{l}
}

// renew records a renewal that shows these workers.
func (m member) renew(workers ...string) {
	lease := store.Lease{Lasts: 8 * time.Second, Now: time.Now()}
	for _, id := range workers {
		lease.Nodes = append(lease.Nodes, store.Node{ID: id, Worker: true})
	}
	lease.Nodes = append(lease.Nodes, store.Node{ID: "api", API: true}) // takes no part
	m.renewed(time.Now(), lease)
}

// next waits until the next renewal.
func next() { time.Sleep(2 * time.Second) }

func TestALimitIsDealtAmongTheWorkersByTheirPlace(t *testing.T) {
	for _, c := range []struct{ limit, workers int }{{1, 1}, {1, 3}, {5, 3}, {6, 3}, {100, 7}, {2, 5}} {
		synctest.Test(t, func(t *testing.T) {
			all := []string{"a", "b", "c", "d", "e", "f", "g"}[:c.workers]
			sum, rate := 0, 0.0
			for _, id := range all {
				m := newMember(id)
				for range 3 {
					m.renew(all...)
					next()
				}
				sum += m.Part(c.limit)
				rate += m.Rate(c.limit)
			}
			if sum != c.limit || math.Abs(rate-float64(c.limit)) > 1e-9 {
				t.Errorf("%d among %d: got %d, and %f a minute", c.limit, c.workers, sum, rate)
			}
		})
	}
}

// wantParts compares the parts of a limit of 4.
func wantParts(t *testing.T, when string, want int, m member) {
	t.Helper()
	if got := m.Part(4); got != want {
		t.Errorf("%s: got %d, want %d", when, got, want)
	}
}

func TestASharesFallIsAtOnceAndItsRiseOneRenewalLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newMember("a")
		a.renew("a")
		wantParts(t, "alone from the start", 4, a)
		next()
		a.renew("a", "b")
		wantParts(t, "another has come", 2, a)
		next()
		a.renew("a", "b", "c")
		wantParts(t, "and another", 2, a)
		next()
		a.renew("a", "c", "d")
		next()
		a.renew("a")
		wantParts(t, "the others have gone", 2, a)
		time.Sleep(100 * time.Millisecond)
		a.renew("a") // by a signal
		wantParts(t, "a moment later", 2, a)
		next()
		a.renew("a")
		wantParts(t, "a renewal later", 4, a)
	})
}

func TestWhoIsNewAmongOthersTakesNothingUntilTheyKnow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newMember("b")
		b.renew("a", "b")
		wantParts(t, "just joined", 0, b)
		next()
		b.renew("a", "b")
		wantParts(t, "after one renewal", 0, b)
		time.Sleep(10 * time.Millisecond)
		b.renew("a", "b")
		wantParts(t, "after another, by a signal", 0, b)
		next()
		b.renew("a", "b")
		wantParts(t, "after two", 2, b)
	})
}

// Whatever nodes come and go: those that renew every two seconds never take more than there
// is, once those that saw the others go and come have renewed.
func TestSharesOfNodesThatComeAndGoNeverExceedTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 7
		all := map[string]member{}
		names := []string{"a", "b", "c", "d", "e"}
		// Each renews every two seconds, one after the other.
		for step := range 400 {
			id := names[step%len(names)]
			m, lives := all[id]
			switch turn := (step * 7919 >> 3) % 11; {
			case lives && turn == 0:
				delete(all, id)
			case lives, turn < 4:
				if !lives {
					m = newMember(id)
					all[id] = m
				}
				var living []string
				for _, name := range names {
					if _, ok := all[name]; ok {
						living = append(living, name)
					}
				}
				m.renew(living...)
			}
			time.Sleep(2 * time.Second / time.Duration(len(names)))
			sum := 0
			for _, m := range all {
				sum += m.Part(limit)
			}
			if sum > limit {
				t.Fatalf("step %d: %d are taken of %d", step, sum, limit)
			}
		}
	})
}
