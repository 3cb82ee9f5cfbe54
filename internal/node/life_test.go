package node

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/ringback/ringback/internal/store"
)

func TestOnlyWhoRenewedWithoutAGapMayJudge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		want := func(when string, m member, want bool) {
			t.Helper()
			if got := m.mayJudge(); got != want {
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

		// The machine slept: its own clock knows nothing of it.
		m.renew("a")
		for range 4 {
			next()
			m.renew("a")
		}
		want("before it slept", m, true)
		m.renewed(time.Now(), store.Lease{Lasts: 8 * time.Second, Now: time.Now().Add(time.Minute)})
		want("after it slept", m, false)
		m.end(errSwept)
		want("swept", m, false)
	})
}
