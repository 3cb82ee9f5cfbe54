package storetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
)

func (w *walk) claimDeliveriesAny() {
	needs(w.deliveries((*modelDelivery).waits))
	w.claimer()
	w.claimSomeDeliveries(w.number(0, 3, "webhooks to "+host), w.number(0, 3, "webhooks to "+otherHost))
}

// claimSomeDeliveries claims deliveries to both hosts, and returns how many it got.
func (w *walk) claimSomeDeliveries(n, m int) int {
	c := store.ClaimHosts{Node: w.node, Now: w.now, Hosts: []store.HostWant{
		{Host: store.Host{Project: project, Host: host}, N: n}, {Host: store.Host{Project: project, Host: otherHost}, N: m},
	}}
	got, err := w.Store().ClaimDeliveries(w.ctx(), c)
	if !w.m.mayClaim(w.node) {
		w.fails(err, store.ErrNoLease)
		w.sayf("may not claim webhooks")
		return 0
	}
	w.ok(err)
	claimed := 0
	for _, want := range c.Hosts {
		claimed += w.claimedFor(got, want)
	}
	w.same("how many deliveries were claimed", len(got), claimed)
	for _, g := range got {
		d := w.m.deliveries[g.ID]
		if g.Fence <= d.row.Fence {
			w.Fatalf("delivery %s was claimed under fence %d after %d", g.ID, g.Fence, d.row.Fence)
		}
		d.row.InFlight, d.row.Node = true, w.node
		w.sameDelivery(g, d)
		w.noteInFlight(g)
		w.touched[g.JobID] = true
		w.sayf("claimed %s", d)
	}
	return len(got)
}

// noteInFlight records a claim of a delivery that the store has granted.
func (w *walk) noteInFlight(d store.Delivery) {
	w.same("whether it may be claimed for "+d.Node, w.m.mayClaim(d.Node), true)
	w.sawClaim(w.world, d.Ref())
	w.tried = append(w.tried, claim{d.Ref(), d.Node, d.JobID})
}

// claimedFor checks that those due longest were claimed, and returns how many these are. A
// redelivery may come before or after those of the schedule.
func (w *walk) claimedFor(got []store.Delivery, want store.HostWant) int {
	due := w.m.dueDeliveries(w.now, want.Host)
	var claimed, oldest []time.Time
	n := 0
	for _, g := range got {
		d := w.m.deliveries[g.ID]
		if d == nil || !d.waits() || d.due.After(w.now) {
			w.Fatalf("delivery %s was claimed, and is not due", g.ID)
		}
		if d.row.Key() != want.Host {
			continue
		}
		n++
		if !d.row.Manual {
			claimed = append(claimed, d.due)
		}
	}
	for _, d := range due {
		if !d.row.Manual && len(oldest) < len(claimed) {
			oldest = append(oldest, d.due)
		}
	}
	w.same("since when those claimed were due", claimed, oldest)
	w.same("how many to a host", n, min(want.N, len(due)))
	return n
}

func (w *walk) settleDeliveryAny() {
	d := latest(w, w.deliveries(isInFlight), "webhook")
	w.by(d.row.Node)
	w.endTry(d, w.anyTryEnd())
}

// endTry settles a try that is in flight.
func (w *walk) endTry(d *modelDelivery, e store.TryEnd) {
	ref := d.row.Ref()
	got, err := w.Store().SettleDelivery(w.ctx(), ref, e)
	w.ok(err)
	d.settle(e)
	w.sameDelivery(got, d)
	w.touched[d.row.JobID] = true
	w.sayf("settled %s", d)
	w.repeats = append(w.repeats, repeat{fmt.Sprintf("the settle of the webhook of %s under fence %d", nameOf(d.row.JobID), ref.Fence), func() {
		got, err := w.Store().SettleDelivery(w.ctx(), ref, e)
		if e.Unbegun || w.m.erased[d.row.JobID] {
			w.fails(err, store.ErrFenced)
			return
		}
		w.ok(err)
		w.sameDelivery(got, d)
	}})
}

func (w *walk) anyTryEnd() store.TryEnd {
	next := w.now.Add(time.Duration(w.number(1, 100, "minutes until the next try")) * time.Minute)
	switch one(w, []string{"delivered", "again", "dead", "free", "unbegun"}, "what the receiver says") {
	case "delivered":
		return delivered(w.now)
	case "dead":
		return dead(w.now)
	case "free":
		e := tryAgain(w.now, next)
		e.Free = true
		return e
	case "unbegun":
		return store.TryEnd{At: w.now, Status: ringback.DeliveryPending, NextAt: next, Free: true, Unbegun: true}
	default:
		return tryAgain(w.now, next)
	}
}

func (w *walk) settleDeliveryZombie() {
	over := slices.DeleteFunc(slices.Clone(w.tried), func(c claim) bool { return w.inFlight(c) && w.m.deliveries[c.ID].row.Fence == c.Fence })
	zombie := latest(w, favour(over, w.inFlight), "claim that is over")
	w.by(zombie.node)
	_, err := w.Store().SettleDelivery(w.ctx(), zombie.Ref, w.anyTryEnd())
	w.fails(err, store.ErrFenced)
	w.sayf("was fenced off from the webhook of %s", nameOf(zombie.job))
}

// inFlight reports whether the delivery of a claim is in flight, under any fence.
func (w *walk) inFlight(c claim) bool {
	d := w.m.deliveries[c.ID]
	return d != nil && d.row.InFlight
}

func (w *walk) redeliverAny() {
	d := latest(w, w.deliveries(func(*modelDelivery) bool { return true }), "webhook")
	w.anybody()
	err := w.Store().Redeliver(w.ctx(), project, d.row.ID, store.Redelivery{Now: w.now})
	switch {
	case d.row.InFlight:
		w.fails(err, store.ErrInFlight)
	case d.row.Gone:
		w.fails(err, store.ErrGone)
	default:
		w.ok(err)
		w.m.redeliver(d, w.now)
	}
	w.touched[d.row.JobID] = true
}

// eraseDeliveryAny deletes the bytes of a delivery, if that is allowed.
func (w *walk) eraseDeliveryAny() {
	d := latest(w, w.deliveries(func(*modelDelivery) bool { return true }), "webhook")
	w.anybody()
	err := w.Store().EraseDelivery(w.ctx(), project, d.row.ID)
	switch {
	case d.row.Gone:
		w.ok(err)
	case d.row.InFlight:
		w.fails(err, store.ErrInFlight)
	case d.row.Status != ringback.DeliveryDead:
		w.fails(err, store.ErrNotDead)
	default:
		w.ok(err)
		d.row.Gone, d.row.Manual = true, false
	}
	w.touched[d.row.JobID] = true
}

func (w *walk) expireDeliveriesAny() {
	w.anybody()
	limit, before := w.number(1, 3, "limit"), w.now.Add(-time.Duration(w.number(0, 100, "hours"))*time.Hour)
	over := w.deliveries(func(d *modelDelivery) bool {
		if d.row.Manual {
			return !d.row.InFlight && d.due.Before(before)
		}
		return d.row.Status == ringback.DeliveryPending && !d.row.InFlight && d.row.MadeAt.Before(before)
	})
	got, err := w.Store().ExpireDeliveries(w.ctx(), before, w.now, limit)
	w.ok(err)
	w.same("how many deliveries expired", len(got), min(limit, len(over)))
	for _, g := range got {
		d := w.m.deliveries[g.ID]
		if !slices.Contains(over, d) {
			w.Fatalf("delivery %s expired, and should not have", g.ID)
		}
		d.row.Manual = false
		if d.row.Status == ringback.DeliveryPending {
			d.end(ringback.DeliveryDead, ringback.DeadExpired, w.now)
		}
		w.sameDelivery(g, d)
		w.touched[g.JobID] = true
	}
}

// releaseDeliveriesAny releases some of what a node has in flight, and some that it has
// not.
func (w *walk) releaseDeliveriesAny() {
	needs(w.tried)
	w.anybody()
	refs := refsOf(w.some(favour(w.tried, func(c claim) bool { return w.inFlight(c) && w.m.deliveries[c.ID].row.Node == w.node })))
	lost := w.deliveries(func(d *modelDelivery) bool {
		return d.row.InFlight && d.row.Node == w.node && slices.Contains(refs, d.row.Ref())
	})
	node, now := w.node, w.now
	n, err := w.Store().ReleaseDeliveries(w.ctx(), node, refs, now)
	w.ok(err)
	w.same("how many tries were lost", n, len(lost))
	w.sayf("gave back %d webhooks", n)
	w.repeats = append(w.repeats, repeat{fmt.Sprintf("the release by %s of %d webhooks", node, n), func() {
		n, err := w.Store().ReleaseDeliveries(w.ctx(), node, refs, now)
		w.ok(err)
		w.same("how many are given back once more", n, 0)
	}})
	w.lost(lost, n)
}

// lost checks that n of these tries are over.
func (w *walk) lost(from []*modelDelivery, n int) {
	freedOnes := 0
	for _, d := range from {
		if got, _ := w.delivery(d.row.JobID); !got.InFlight {
			if got.Fence <= d.row.Fence {
				w.Fatalf("%s was freed, and its fence went from %d to %d", d, d.row.Fence, got.Fence)
			}
			freedOnes++
			d.lose(w.now)
			w.touched[d.row.JobID] = true
		}
	}
	w.same("how many deliveries are free again", freedOnes, n)
}
