package cluster

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/ringback/ringback/internal/store"
)

func TestOnlyWhoRenewedWithoutAGapMayEvict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		want := func(when string, m member, want bool) {
			t.Helper()
			if got := m.MayEvict(); got != want {
				t.Errorf("%s: got %v, want %v", when, got, want)
			}
		}
		m := newMember("a")
		want("before it has joined", m, false)
		for range 4 {
			m.renew("a")
			want("a member for less than a lease's time", m, false)
			next()
		}
		m.renew("a")
		want("a member for a lease's time", m, true)
		time.Sleep(5 * time.Second) // two renewals failed
		want("in a gap, while the lease stands", m, false)
		m.renew("a")
		want("after a gap", m, false)
		for range 4 {
			next()
			m.renew("a")
		}
		want("a lease's time after it", m, true)
		time.Sleep(9 * time.Second)
		want("without a lease", m, false)

		// The machine slept: its own clock has not noticed.
		m.renew("a")
		for range 4 {
			next()
			m.renew("a")
		}
		want("before it slept", m, true)
		m.renewed(time.Now(), store.Lease{Lasts: 8 * time.Second, Now: time.Now().Add(time.Minute)})
		want("after it slept", m, false)
		m.end(ErrSwept)
		want("swept", m, false)
	})
}

// leases returns a renewal that shows these nodes, all of whose leases run until then.
func leases(until time.Time, ids ...string) store.Lease {
	lease := store.Lease{Lasts: 8 * time.Second, Now: time.Now()}
	for _, id := range ids {
		lease.Nodes = append(lease.Nodes, store.Node{ID: id, Worker: true, ExpiresAt: until})
	}
	return lease
}

func TestANodeKnowsWhoWorkedBesideIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMember("me")
		soon := time.Now().Add(8 * time.Second)
		m.renewed(time.Now(), leases(soon, "me", "dead before", "beside"))
		next()
		both := leases(soon, "me", "dead before")
		both.Nodes = append(both.Nodes, leases(soon.Add(2*time.Second), "beside").Nodes...)
		m.renewed(time.Now(), both)
		for id, want := range map[string]bool{"dead before": false, "beside": true, "never seen": false} {
			if got := m.WorkedBeside(id); got != want {
				t.Errorf("whether %q worked beside it: got %v, want %v", id, got, want)
			}
		}
		next()
		m.renewed(time.Now(), leases(soon, "me"))
		if !m.WorkedBeside("beside") {
			t.Error("whose lease is over is forgotten before it is swept")
		}
		time.Sleep(time.Minute)
		m.renewed(time.Now(), leases(soon, "me"))
		if len(m.peers) > 0 {
			t.Errorf("nodes that are long gone are kept: %v", m.peers)
		}
	})
}

func TestWhoSweepsANodeHasItsPartAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newMember("a")
		a.renew("a")
		next()
		a.renew("a", "b")
		wantParts(t, "beside another", 2, a)
		a.Outlived([]string{"b"})
		wantParts(t, "when that is swept", 4, a)
	})
}
