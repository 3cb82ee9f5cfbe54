package storetest

import (
	"cmp"
	"slices"
	"time"

	"github.com/ringback/ringback/internal/store"
)

func exerciseWaiting(s suite) {
	s.promise("nothing waits in a new store", func(w *world) {
		w.waits(store.Waiting{})
	})

	s.promise("queued jobs are counted by lane, due or not", func(w *world) {
		w.submitNew(at(5))
		w.submitNew(at(3))
		w.submitNew(at(0), runAt(at(day)), in(slowLane))
		w.running(at(0))
		w.waits(store.Waiting{Jobs: 3, Lanes: []store.LaneWaiting{{Lane: lane, Count: 2, Due: at(3)}, {Lane: slowLane, Count: 1, Due: at(day)}}})
		w.claim(at(4), lane, 1)
		w.waits(store.Waiting{Jobs: 2, Lanes: []store.LaneWaiting{{Lane: lane, Count: 1, Due: at(5)}, {Lane: slowLane, Count: 1, Due: at(day)}}})
	})

	s.promise("a lane is counted over all its priorities", func(w *world) {
		w.submitNew(at(5), priority(7))
		w.submitNew(at(3))
		w.submitNew(at(4), priority(9))
		w.waits(store.Waiting{Jobs: 3, Lanes: []store.LaneWaiting{{Lane: lane, Count: 3, Due: at(3)}}})
		w.claim(at(9), lane, 2)
		w.waits(store.Waiting{Jobs: 1, Lanes: []store.LaneWaiting{{Lane: lane, Count: 1, Due: at(3)}}})
	})

	s.promise("a job that comes back is counted from its run_at on", func(w *world) {
		w.settle(w.running(at(0)), retried(at(1), at(9)))
		w.waits(store.Waiting{Jobs: 1, Lanes: []store.LaneWaiting{{Lane: lane, Count: 1, Due: at(9)}}})
		j := w.claimOne(at(9))
		w.waits(store.Waiting{})
		w.release(j, freed(at(10)))
		w.waits(store.Waiting{Jobs: 1, Lanes: []store.LaneWaiting{{Lane: lane, Count: 1, Due: at(9)}}})
	})

	s.promise("a job that ends while it waits is counted no more", func(w *world) {
		w.cancel(w.submitNew(at(0)).ID, cancelled(at(1)))
		w.submitNew(at(0), expiresAt(at(60)))
		w.expire(at(60), 1, expired(at(60)))
		w.waits(store.Waiting{})
	})

	s.promise("suspects are counted apart from their lane", func(w *world) {
		w.suspect(at(3))
		w.suspect(at(2), in(slowLane))
		w.submitNew(at(0))
		w.waits(store.Waiting{Jobs: 3, Lanes: []store.LaneWaiting{{Lane: lane, Count: 1, Due: at(0)}}, Suspects: store.LaneWaiting{Count: 2, Due: at(2)}})
		w.claimSuspects(at(9), 1)
		w.waits(store.Waiting{Jobs: 2, Lanes: []store.LaneWaiting{{Lane: lane, Count: 1, Due: at(0)}}, Suspects: store.LaneWaiting{Count: 1, Due: at(3)}})
	})

	s.promise("deliveries are counted by host while they are not in flight", func(w *world) {
		w.delivering(at(0))
		w.delivering(at(1), to(otherHost))
		b := store.HostWaiting{Host: store.Host{Project: project, Host: otherHost}, Count: 1, Due: at(1)}
		a := store.HostWaiting{Host: store.Host{Project: project, Host: host}, Count: 1, Due: at(0)}
		w.waits(store.Waiting{Deliveries: 2, Hosts: []store.HostWaiting{a, b}})
		d := w.claimDelivery(at(2))
		w.waits(store.Waiting{Deliveries: 1, Hosts: []store.HostWaiting{b}})
		w.settleDelivery(d, tryAgain(at(3), at(8)))
		a.Due = at(8)
		w.waits(store.Waiting{Deliveries: 2, Hosts: []store.HostWaiting{a, b}})
		_, err := w.Store().ExpireDeliveries(w.ctx(), at(99), at(99), 10)
		w.ok(err)
		w.waits(store.Waiting{})
	})

	s.promise("a redelivery waits too, whatever the delivery's state", func(w *world) {
		for _, end := range []store.TryEnd{delivered(at(2)), dead(at(2)), tryAgain(at(2), at(day))} {
			w.delivering(at(0))
			d := w.settleDelivery(w.claimDelivery(at(1)), end)
			w.redeliver(d.ID, at(5))
			w.waits(store.Waiting{Deliveries: 1, Hosts: []store.HostWaiting{{Host: d.Key(), Count: 1, Due: at(5)}}})
			w.settleDelivery(w.claimDelivery(at(6)), delivered(at(6)))
			w.waits(store.Waiting{})
		}
	})
}

// waits checks these counts, before and after a crash, and that no time is later than
// these: no waiter may wake up too late.
func (w *world) waits(want store.Waiting) {
	w.Helper()
	w.sameWaiting(w.waiting(), want)
	w.ok(w.Store().Reconcile(w.ctx()))
	w.crash()
	w.sameWaiting(w.waiting(), want)
}

func (w *world) sameWaiting(got, want store.Waiting) {
	w.Helper()
	got, want = inOrder(got), inOrder(want)
	for i := range min(len(got.Lanes), len(want.Lanes)) {
		got.Lanes[i].Due = noLater(got.Lanes[i].Due, want.Lanes[i].Due)
	}
	for i := range min(len(got.Hosts), len(want.Hosts)) {
		got.Hosts[i].Due = noLater(got.Hosts[i].Due, want.Hosts[i].Due)
	}
	got.Suspects.Due = noLater(got.Suspects.Due, want.Suspects.Due)
	if want.Suspects.Count == 0 {
		got.Suspects.Due = time.Time{}
	}
	w.same("Waiting", got, want)
}

// noLater returns latest if got is no later than that.
func noLater(got, latest time.Time) time.Time {
	if got.After(latest) {
		return got
	}
	return latest
}

// inOrder sorts lanes and hosts, and leaves out those where nothing is waiting.
func inOrder(v store.Waiting) store.Waiting {
	v.Lanes = slices.DeleteFunc(slices.Clone(v.Lanes), func(l store.LaneWaiting) bool { return l.Count == 0 })
	v.Hosts = slices.DeleteFunc(slices.Clone(v.Hosts), func(h store.HostWaiting) bool { return h.Count == 0 })
	slices.SortFunc(v.Lanes, func(a, b store.LaneWaiting) int {
		return cmp.Or(cmp.Compare(a.Lane.Project, b.Lane.Project), cmp.Compare(a.Lane.Provider, b.Lane.Provider), cmp.Compare(a.Lane.Model, b.Lane.Model))
	})
	slices.SortFunc(v.Hosts, func(a, b store.HostWaiting) int {
		return cmp.Or(cmp.Compare(a.Host.Project, b.Host.Project), cmp.Compare(a.Host.Host, b.Host.Host))
	})
	return v
}
