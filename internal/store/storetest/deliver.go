package storetest

import (
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
)

func exerciseClaimDeliveries(s suite) {
	s.promise("a claimed delivery is in flight, and is claimed once", func(w *world) {
		j := w.delivering(at(0))
		before, _ := w.delivery(j.ID)
		got := w.claimDelivery(at(1))
		if got.Fence <= before.Fence {
			w.Errorf("Fence: got %d after %d, want a later one", got.Fence, before.Fence)
		}
		want := before
		want.InFlight, want.Node, want.Fence = true, w.node, got.Fence
		w.same("ClaimDeliveries", rested(got), rested(want))
		w.same("ClaimDeliveries again", w.claimDeliveries(at(1), 1), []store.Delivery(nil))
		w.crash()
		w.same("ClaimDeliveries after a crash", w.claimDeliveries(at(1), 1), []store.Delivery(nil))
	})

	s.promise("a delivery is never claimed before it is due", func(w *world) {
		w.delivering(at(0))
		w.settleDelivery(w.claimDelivery(at(1)), tryAgain(at(2), at(7)))
		w.same("before", w.claimDeliveries(at(7).Add(-time.Millisecond), 1), []store.Delivery(nil))
		w.claimDelivery(at(7))
	})

	s.promise("those due longest are claimed first, no more than there is room for", func(w *world) {
		third, first, second := w.delivering(at(3)), w.delivering(at(1)), w.delivering(at(2))
		idOf := func(j store.Job) uuid.UUID { return deliveryID(j.ID, ringback.EventCompleted) }
		w.same("first claim", deliveryIDs(w.claimDeliveries(at(9), 2)), []uuid.UUID{idOf(first), idOf(second)})
		w.same("second claim", deliveryIDs(w.claimDeliveries(at(9), 2)), []uuid.UUID{idOf(third)})
		w.same("a claim for none", w.claimDeliveries(at(9), 0), []store.Delivery(nil))
	})

	s.promise("each host of each project is claimed apart", func(w *world) {
		const dead = "https://dead.example:443"
		other := lane
		other.Project = "other"
		for i := range 50 {
			w.delivering(at(i/10), to(dead))
		}
		alive := w.delivering(at(6))
		foreign := w.delivering(at(6), in(other))
		got := w.claimDeliveries(at(7), 10)
		w.same("the living host", deliveryIDs(got), []uuid.UUID{deliveryID(alive.ID, ringback.EventCompleted)})
		got = w.claimHosts(at(7), store.HostWant{Host: store.Host{Project: project, Host: dead}, N: 3}, store.HostWant{Host: store.Host{Project: "other", Host: host}, N: 3})
		count := map[store.Host]int{}
		for _, d := range got {
			count[d.Key()]++
		}
		w.same("by host", count, map[store.Host]int{{Project: project, Host: dead}: 3, {Project: foreign.Project, Host: host}: 1})
	})
}

// rested leaves out what is undetermined during a try of the schedule: when the next one
// would be.
func rested(d store.Delivery) store.Delivery {
	if d.InFlight && !d.Manual {
		d.NextAt = time.Time{}
	}
	return d
}

func exerciseSettleDelivery(s suite) {
	s.promise("a try and what it leads to are stored in one move", func(w *world) {
		j := w.delivering(at(0))
		claimed := w.claimDelivery(at(1))
		got := w.settleDelivery(claimed, tryAgain(at(2), at(7)))
		want := claimed
		want.InFlight, want.Node, want.NextAt, want.Tries, want.Sent, want.LastStatusCode = false, "", at(7), 1, 1, 500
		want.Fence = got.Fence
		w.same("SettleDelivery", got, want)
		w.crash()
		stored, tries := w.delivery(j.ID)
		w.same("delivery", stored, want)
		w.same("tries", tries, []ringback.Try{numbered(1, "schedule", tryAgain(at(2), at(7)).Try)})
	})

	s.promise("delivered is the end", func(w *world) {
		j := w.delivering(at(0))
		w.settleDelivery(w.claimDelivery(at(1)), tryAgain(at(2), at(7)))
		claimed := w.claimDelivery(at(7))
		got := w.settleDelivery(claimed, delivered(at(8)))
		want := claimed
		want.Status, want.EndedAt, want.NextAt = ringback.DeliveryDelivered, at(8), time.Time{}
		want.InFlight, want.Node, want.Tries, want.Sent, want.LastStatusCode, want.Fence = false, "", 2, 2, 200, got.Fence
		w.same("SettleDelivery", got, want)
		_, tries := w.delivery(j.ID)
		w.same("tries", tries, []ringback.Try{
			numbered(1, "schedule", tryAgain(at(2), at(7)).Try), numbered(2, "schedule", delivered(at(8)).Try),
		})
		w.same("ClaimDeliveries", w.claimDeliveries(at(day), 1), []store.Delivery(nil))
	})

	s.promise("a dead letter waits for nothing", func(w *world) {
		w.delivering(at(0))
		got := w.settleDelivery(w.claimDelivery(at(1)), dead(at(2)))
		w.same("Status", got.Status, ringback.DeliveryDead)
		w.same("EndedAt", got.EndedAt, at(2))
		w.same("NextAt", got.NextAt, time.Time{})
		w.same("ClaimDeliveries", w.claimDeliveries(at(day), 1), []store.Delivery(nil))
	})

	s.promise("tries at a closed address are counted", func(w *world) {
		w.delivering(at(0))
		blocked := tryAgain(at(1), at(2))
		blocked.Try.Error, blocked.Try.StatusCode = "blocked", 0
		w.same("Blocked", w.settleDelivery(w.claimDelivery(at(1)), blocked).Blocked, 1)
		w.same("Blocked later", w.settleDelivery(w.claimDelivery(at(3)), tryAgain(at(3), at(4))).Blocked, 1)
	})

	s.promise("a try that is free costs no place in the schedule", func(w *world) {
		j := w.delivering(at(0))
		free := tryAgain(at(1), at(2))
		free.Free = true
		got := w.settleDelivery(w.claimDelivery(at(1)), free)
		w.same("Tries", got.Tries, 0)
		w.same("NextAt", got.NextAt, at(2))
		_, tries := w.delivery(j.ID)
		w.same("tries", tries, []ringback.Try{numbered(1, "schedule", free.Try)})
	})

	s.promise("a claim without a try changes nothing but the fence", func(w *world) {
		unbegun := store.TryEnd{At: at(3), Status: ringback.DeliveryPending, NextAt: at(4), Free: true, Unbegun: true}
		j := w.delivering(at(0))
		got := w.settleDelivery(w.claimDelivery(at(1)), unbegun)
		w.same("NextAt", got.NextAt, at(4))
		w.same("Tries", got.Tries, 0)
		w.settleDelivery(w.claimDelivery(at(4)), delivered(at(5)))
		w.redeliver(got.ID, at(6))
		got = w.settleDelivery(w.claimDelivery(at(7)), unbegun)
		w.same("Status", got.Status, ringback.DeliveryDelivered)
		w.same("still asked for once more", got.Manual, true)
		w.same("early", w.claimDeliveries(at(3), 1), []store.Delivery(nil))
		w.same("the claim after it", w.claimDelivery(at(8)).ID, got.ID)
		_, tries := w.delivery(j.ID)
		w.same("how many tries", len(tries), 1)
	})

	s.promise("the bytes of a delivery are the same on every try", func(w *world) {
		j := w.delivering(at(0))
		want := store.Payload{
			Body: webhookOf(j, ringback.Completed, at(0)), Header: j.Options.CallbackHeaders,
			TraceParent: j.Options.TraceParent, TraceState: j.Options.TraceState, Attempt: j.Fence,
		}
		for i := range 3 {
			d := w.claimDelivery(at(i))
			got, err := w.Store().Payload(w.ctx(), d.ID)
			w.ok(err)
			w.same("Payload", got, want)
			w.settleDelivery(d, tryAgain(at(i), at(i+1)))
			w.crash()
		}
	})

	exerciseDeliveryFences(s)
}

// numbered returns a try's row as it must read.
func numbered(n int, trigger ringback.TryTrigger, t ringback.Try) ringback.Try {
	t.Number, t.Trigger, t.WebhookBody = n, trigger, ringback.WebhookFull // as all jobs of most promises want it
	return t
}

func exerciseDeliveryFences(s suite) {
	s.promise("a try that is settled again is success, and stands once", func(w *world) {
		j := w.delivering(at(0))
		d := w.claimDelivery(at(1))
		first := w.settleDelivery(d, tryAgain(at(2), at(7)))
		w.same("SettleDelivery again", w.settleDelivery(d, tryAgain(at(2), at(7))), first)
		_, tries := w.delivery(j.ID)
		w.same("how many tries", len(tries), 1)
	})

	s.promise("every claim and every freeing of a delivery takes a fence of its own", func(w *world) {
		j := w.delivering(at(0))
		var fences []int64
		note := func() {
			d, _ := w.delivery(j.ID)
			fences = append(fences, d.Fence)
		}
		note()
		for i := range 2 {
			d := w.claimDelivery(at(i))
			note()
			w.releaseDelivery(d, at(i))
			note()
			d = w.claimDelivery(at(i))
			note()
			w.settleDelivery(d, tryAgain(at(i), at(i)))
			note()
		}
		if len(slices.Compact(slices.Clone(fences))) != len(fences) || !slices.IsSorted(fences) {
			w.Errorf("fences: got %d, want each greater than the one before", fences)
		}
	})

	s.promise("a try cannot be settled after the delivery was claimed again", func(w *world) {
		w.delivering(at(0))
		lost := w.claimDelivery(at(1))
		w.releaseDelivery(lost, at(2))
		claimed := w.claimDelivery(at(3))
		_, err := w.Store().SettleDelivery(w.ctx(), lost.Ref(), delivered(at(4)))
		w.fails(err, store.ErrFenced)
		now, tries := w.delivery(claimed.JobID)
		w.same("delivery", rested(now), rested(claimed))
		w.same("tries", len(tries), 1)
		w.settleDelivery(claimed, delivered(at(5)))
	})

	s.promise("a delivery that waits cannot be settled", func(w *world) {
		j := w.delivering(at(0))
		before, _ := w.delivery(j.ID)
		for _, fence := range []int64{before.Fence, before.Fence + 1} {
			_, err := w.Store().SettleDelivery(w.ctx(), store.Ref{ID: before.ID, Fence: fence}, delivered(at(1)))
			w.fails(err, store.ErrFenced)
		}
		after, _ := w.delivery(j.ID)
		w.same("delivery", after, before)
	})

	s.promise("an unknown delivery cannot be settled", func(w *world) {
		_, err := w.Store().SettleDelivery(w.ctx(), store.Ref{ID: w.newID(at(0)), Fence: 1}, delivered(at(1)))
		w.fails(err, store.ErrFenced)
	})
}

func exerciseRedeliver(s suite) {
	s.promise("a redelivery is due at once, outside the schedule", func(w *world) {
		j := w.delivering(at(0))
		w.settleDelivery(w.claimDelivery(at(1)), tryAgain(at(2), at(100)))
		w.redeliver(deliveryID(j.ID, ringback.EventCompleted), at(10))
		d := w.claimDelivery(at(10))
		w.same("Manual", d.Manual, true)
		got := w.settleDelivery(d, delivered(at(11)))
		w.same("Status", got.Status, ringback.DeliveryDelivered)
		w.same("Tries", got.Tries, 1)
		w.same("Sent", got.Sent, 2)
		w.same("Manual afterwards", got.Manual, false)
		_, tries := w.delivery(j.ID)
		w.same("the second try", tries[1], numbered(2, "manual", delivered(at(11)).Try))
	})

	s.promise("a redelivery that fails leaves state and schedule as they were", func(w *world) {
		for _, end := range []store.TryEnd{tryAgain(at(11), at(12)), dead(at(11))} {
			j := w.delivering(at(0))
			before := w.settleDelivery(w.claimDelivery(at(1)), tryAgain(at(2), at(100)))
			w.redeliver(before.ID, at(10))
			got := w.settleDelivery(w.claimDelivery(at(10)), end)
			want := before
			want.Sent, want.LastStatusCode, want.Fence = 2, end.Try.StatusCode, got.Fence
			w.same("SettleDelivery", got, want)
			w.same("before the schedule's next try", w.claimDeliveries(at(99), 1), []store.Delivery(nil))
			d := w.claimDelivery(at(100))
			w.same("at the schedule's next try", d.JobID, j.ID)
			w.settleDelivery(d, delivered(at(101)))
		}
	})

	s.promise("a dead letter is revived only by a redelivery that succeeds", func(w *world) {
		j := w.delivering(at(0))
		id := deliveryID(j.ID, ringback.EventCompleted)
		w.settleDelivery(w.claimDelivery(at(1)), dead(at(2)))
		w.redeliver(id, at(10))
		w.same("after one that fails", w.settleDelivery(w.claimDelivery(at(10)), tryAgain(at(11), at(12))).Status, ringback.DeliveryDead)
		w.same("ClaimDeliveries", w.claimDeliveries(at(day), 1), []store.Delivery(nil))
		w.redeliver(id, at(20))
		w.same("after one that succeeds", w.settleDelivery(w.claimDelivery(at(20)), delivered(at(21))).Status, ringback.DeliveryDelivered)
	})

	s.promise("what was delivered stays delivered, whatever a redelivery meets", func(w *world) {
		j := w.delivering(at(0))
		before := w.settleDelivery(w.claimDelivery(at(1)), delivered(at(2)))
		w.redeliver(deliveryID(j.ID, ringback.EventCompleted), at(10))
		got := w.settleDelivery(w.claimDelivery(at(10)), dead(at(11)))
		want := before
		want.Sent, want.LastStatusCode, want.Fence = 2, 410, got.Fence
		w.same("SettleDelivery", got, want)
	})

	s.promise("a redelivery that is asked for twice is made once", func(w *world) {
		w.delivering(at(0))
		d := w.settleDelivery(w.claimDelivery(at(1)), delivered(at(2)))
		w.redeliver(d.ID, at(10))
		w.redeliver(d.ID, at(11))
		w.settleDelivery(w.claimDelivery(at(12)), delivered(at(12)))
		w.same("ClaimDeliveries", w.claimDeliveries(at(13), 1), []store.Delivery(nil))
	})

	s.promise("a redelivery while a try is in flight is refused", func(w *world) {
		w.delivering(at(0))
		d := w.claimDelivery(at(1))
		w.fails(w.Store().Redeliver(w.ctx(), project, d.ID, store.Redelivery{Now: at(2)}), store.ErrInFlight)
		got := w.settleDelivery(d, tryAgain(at(3), at(9)))
		w.same("Manual", got.Manual, false)
		w.redeliver(d.ID, at(4))
	})

	s.promise("only a delivery of the project can be redelivered", func(w *world) {
		j := w.delivering(at(0))
		w.fails(w.Store().Redeliver(w.ctx(), "other", deliveryID(j.ID, ringback.EventCompleted), store.Redelivery{Now: at(1)}), store.ErrNotFound)
		w.fails(w.Store().Redeliver(w.ctx(), project, w.newID(at(0)), store.Redelivery{Now: at(1)}), store.ErrNotFound)
		d, _ := w.delivery(j.ID)
		w.same("Manual", d.Manual, false)
	})
}

func exerciseFreeDeliveries(s suite) {
	s.promise("a delivery that was made too long ago becomes a dead letter", func(w *world) {
		old, young := w.delivering(at(0)), w.delivering(at(10))
		got, err := w.Store().ExpireDeliveries(w.ctx(), at(10), at(100), 10)
		w.ok(err)
		want, _ := w.delivery(old.ID)
		w.same("ExpireDeliveries", got, []store.Delivery{want})
		w.same("Status", want.Status, ringback.DeliveryDead)
		w.same("EndedAt", want.EndedAt, at(100))
		w.same("NextAt", want.NextAt, time.Time{})
		w.same("the young one", w.claimDelivery(at(101)).JobID, young.ID)
	})

	s.promise("a delivery that somebody asked for once more is tried before it expires", func(w *world) {
		w.delivering(at(0))
		d := w.settleDelivery(w.claimDelivery(at(1)), tryAgain(at(2), at(50)))
		w.redeliver(d.ID, at(100))
		got, err := w.Store().ExpireDeliveries(w.ctx(), at(100), at(100), 10)
		w.ok(err)
		w.same("ExpireDeliveries", got, []store.Delivery(nil))
		w.settleDelivery(w.claimDelivery(at(100)), tryAgain(at(101), at(102)))
		got, err = w.Store().ExpireDeliveries(w.ctx(), at(100), at(103), 10)
		w.ok(err)
		w.same("how many expired after the try", len(got), 1)
	})

	s.promise("a redelivery does not wait for ever", func(w *world) {
		for _, end := range []store.TryEnd{tryAgain(at(2), at(3)), dead(at(2)), delivered(at(2))} {
			j := w.delivering(at(0))
			before := w.settleDelivery(w.claimDelivery(at(1)), end)
			w.redeliver(before.ID, at(10))
			got, err := w.Store().ExpireDeliveries(w.ctx(), at(11), at(100), 10)
			w.ok(err)
			w.same("how many expired", len(got), 1)
			want := before
			if before.Status == ringback.DeliveryPending {
				want.Status, want.EndedAt, want.NextAt, want.Reason = ringback.DeliveryDead, at(100), time.Time{}, ringback.DeadExpired
			}
			after, _ := w.delivery(j.ID)
			w.same("delivery", after, want)
			w.same("ClaimDeliveries", w.claimDeliveries(at(101), 1), []store.Delivery(nil))
		}
		w.waits(store.Waiting{})
	})

	s.promise("a delivery that is in flight, or has ended, does not expire", func(w *world) {
		w.delivering(at(0))
		w.settleDelivery(w.claimDelivery(at(1)), delivered(at(2)))
		w.delivering(at(3))
		inFlight := w.claimDelivery(at(4))
		got, err := w.Store().ExpireDeliveries(w.ctx(), at(100), at(100), 10)
		w.ok(err)
		w.same("ExpireDeliveries", got, []store.Delivery(nil))
		w.settleDelivery(inFlight, delivered(at(101)))
	})

	s.promise("no more deliveries expire at once than the limit, and all do in the end", func(w *world) {
		for i := range 5 {
			w.delivering(at(i))
		}
		for _, n := range []int{2, 2, 1, 0} {
			got, err := w.Store().ExpireDeliveries(w.ctx(), at(100), at(100), 2)
			w.ok(err)
			w.same("how many", len(got), n)
		}
		w.same("Waiting", w.waiting().Deliveries, 0)
	})

	exerciseReleaseDeliveries(s)
}

func exerciseReleaseDeliveries(s suite) {
	s.promise("a try that died with its process is made again, and stands as unknown", func(w *world) {
		j := w.delivering(at(0))
		w.claimDelivery(at(1))
		w.crash()
		w.same("freed", w.sweep(at(5)).Deliveries, 1)
		got, tries := w.delivery(j.ID)
		w.same("Tries", got.Tries, 0)
		w.same("Node", got.Node, "")
		w.same("the lost try", []any{len(tries), tries[0].Number, tries[0].Trigger, tries[0].Error}, []any{1, 1, ringback.TryScheduled, ringback.TryUnknown})
		got = w.settleDelivery(w.claimDelivery(at(5)), delivered(at(6)))
		w.same("Tries afterwards", got.Tries, 1)
		w.same("Sent afterwards", got.Sent, 2)
		w.same("freed again", w.sweep(at(7)).Deliveries, 0)
	})

	s.promise("a delivery that was claimed on insert is freed like any other", func(w *world) {
		running := w.running(at(0))
		o := notified(running, at(1))
		o.Delivery.Node = w.node
		w.settle(running, o)
		w.crash()
		w.same("freed", w.sweep(at(5)).Deliveries, 1)
		w.claimDelivery(at(5))
	})

	s.promise("a redelivery that died with its process is made again as one", func(w *world) {
		j := w.delivering(at(0))
		before := w.settleDelivery(w.claimDelivery(at(1)), dead(at(2)))
		w.redeliver(before.ID, at(3))
		w.claimDelivery(at(3))
		w.crash()
		w.sweep(at(5))
		got := w.settleDelivery(w.claimDelivery(at(5)), dead(at(6)))
		w.same("Status", got.Status, ringback.DeliveryDead)
		w.same("EndedAt", got.EndedAt, before.EndedAt)
		_, tries := w.delivery(j.ID)
		w.same("triggers", []ringback.TryTrigger{tries[0].Trigger, tries[1].Trigger, tries[2].Trigger}, []ringback.TryTrigger{"schedule", "manual", "manual"})
	})

	s.promise("a try that its node gives back is made again, and stands as unknown", func(w *world) {
		j := w.delivering(at(0))
		w.releaseDelivery(w.claimDelivery(at(1)), at(2))
		got, tries := w.delivery(j.ID)
		w.same("delivery", []any{got.InFlight, got.Node, got.Tries, got.Sent}, []any{false, "", 0, 1})
		w.same("the lost try", []any{len(tries), tries[0].Trigger, tries[0].Error}, []any{1, ringback.TryScheduled, ringback.TryUnknown})
		w.claimDelivery(at(2))
	})

	s.promise("only deliveries that the node has in flight under that fence are given back", func(w *world) {
		w.delivering(at(0))
		lost := w.claimDelivery(at(1))
		w.releaseDelivery(lost, at(2))
		claimed := w.claimDelivery(at(3))
		early, late := claimed.Ref(), claimed.Ref()
		early.Fence--
		late.Fence++
		refs := []store.Ref{lost.Ref(), early, late, {ID: w.newID(at(0)), Fence: 1}}
		for _, free := range []struct {
			node string
			refs []store.Ref
		}{{w.node, refs}, {"another", []store.Ref{claimed.Ref()}}, {"", []store.Ref{claimed.Ref()}}, {w.node, nil}} {
			n, err := w.Store().ReleaseDeliveries(w.ctx(), free.node, free.refs, at(4))
			w.ok(err)
			w.same("how many were freed", n, 0)
		}
		n, err := w.Store().ReleaseDeliveries(w.ctx(), w.node, append(refs, claimed.Ref(), lost.Ref()), at(5))
		w.ok(err)
		w.same("how many were freed with those that are over", n, 1)
	})
}
