package storetest

import (
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
)

// exerciseHistories are sequences of events about attempts, each with the rule that handles
// it.
func exerciseHistories(s suite) {
	// The start is committed before the first byte, so the attempt is on record.
	s.promise("killed between first byte and commit: the attempt is uncertain, its number not used again", func(w *world) {
		j := w.submitNew(at(0))
		lost := w.claimOne(at(1))
		w.crash() // bytes were sent; nothing of the answer is stored
		w.sweep(at(2))
		again := w.claimOne(at(3))
		w.settle(again, completed(at(4), "hello"))
		w.same("Attempts", w.ledger(j.ID), []ringback.Attempt{entry(lost, uncertain(at(2))), entry(again, completed(at(4), "hello"))})
		w.same("fences", []int64{lost.Fence, again.Fence}, []int64{1, 3})
	})

	// Each claim and each release advances the fence.
	s.promise("a zombie settles after its job was claimed again", func(w *world) {
		zombie := w.running(at(0))
		w.die()
		w.sweep(at(1))
		w.settleFenced(zombie, notified(zombie, at(2))) // while the job is waiting
		owner := w.claimOne(at(3))
		w.settleFenced(zombie, notified(zombie, at(4))) // while another node is running it
		w.same("Job", w.read(owner.ID), owner)
		ended := w.settle(owner, completed(at(5), "hello"))
		w.settleFenced(zombie, notified(zombie, at(6))) // when another has ended it
		w.same("Job", w.read(owner.ID), ended)
		w.same("Answer", string(w.content(owner.ID).Answer), "hello")
		w.noDelivery(owner.ID)
	})

	// The counter for max_attempts is not the fence.
	s.promise("a refused attempt that is freed at no cost does not come back under its number", func(w *world) {
		first := w.running(at(0))
		w.settle(first, refused(at(1), at(2)))
		second := w.claimOne(at(3))
		w.same("Attempts", second.Attempts, 0)
		w.settleFenced(first, completed(at(4), "late"))
		w.same("Job", w.read(second.ID), second)
	})

	s.promise("terminal is final: no move changes a job that has ended", terminalIsFinal)

	// max_wait counts from a job's own first refusal.
	s.promise("one refusal in the second hour does not fail the backlog behind it", func(w *world) {
		refusedJob := w.submitNew(at(0))
		backlog := w.submitNew(at(1))
		w.settle(w.claim(at(7200), lane, 1)[0], refused(at(7200), at(7300)))
		w.same("Expire, an hour later", ids(w.expire(at(7200+3600), 10, expired(at(7200+3600)))), []uuid.UUID{refusedJob.ID})
		w.same("the backlog", w.read(backlog.ID), backlog)
	})

	s.promise("a refused job is not probed again while others wait longer", func(w *world) {
		a, b := w.submitNew(at(0)), w.submitNew(at(1))
		var probes []uuid.UUID
		for i := range 4 {
			probe := w.claim(at(10*i+9), lane, 1)[0]
			probes = append(probes, probe.ID)
			w.settle(probe, refused(at(10*i+9), at(10*i+10)))
		}
		w.same("probes", probes, []uuid.UUID{a.ID, b.ID, a.ID, b.ID})
	})

	s.promise("a job that kills its process does not take its neighbours along for ever", poison)

	exerciseCancelHistories(s)
}

func terminalIsFinal(w *world) {
	running := w.running(at(0), expiresAt(at(1)))
	ended := w.settle(running, notified(running, at(1)))
	late := running
	for _, fence := range []int64{0, 1, 2} {
		late.Fence = fence
		w.settleFenced(late, failed(at(2)))
	}
	_, err := w.Store().Cancel(w.ctx(), project, running.ID, cancelled(at(3)))
	w.fails(err, store.ErrEnded)
	w.same("Expire", w.expire(at(100), 10, expired(at(100))), []store.Job(nil))
	freedJobs, err := w.Store().Release(w.ctx(), w.node, []store.Ref{running.Ref()}, freed(at(100)))
	w.ok(err)
	w.same("Release", freedJobs, []store.Job(nil))
	w.die()
	w.same("Sweep", w.sweep(at(100)).Jobs, []store.Job(nil))
	w.same("Claim", w.claim(at(100), lane, 10), []store.Job(nil))
	w.submit(store.NewJob{Job: running, Request: store.Pack([]byte("another"))})
	w.crash()
	w.same("Job", w.read(running.ID), ended)
	w.same("Request", string(w.content(running.ID).Request), string(requestOf(running)))
	w.same("how many attempts", len(w.ledger(running.ID)), 1)
	w.delivery(running.ID)
}

func poison(w *world) {
	good, bad := w.submitNew(at(0)), w.submitNew(at(0))
	for i := range store.SuspectAfter {
		w.same("claimed together", len(w.claim(at(i), lane, 10)), 2)
		w.crash()
		w.sweep(at(i))
	}
	w.same("Claim of the lane", w.claim(at(9), lane, 10), []store.Job(nil))
	first := w.claimSuspects(at(9), 1)
	w.same("how many at once", len(first), 1)
	w.settle(first[0], completed(at(10), "hello"))
	second := w.claimSuspects(at(10), 1)
	w.same("both in the end", sorted(append(ids(first), ids(second)...)), sorted([]uuid.UUID{good.ID, bad.ID}))
}

func exerciseCancelHistories(s suite) {
	s.promise("cancel against settle: the cancel comes first", func(w *world) {
		running := w.running(at(0))
		w.cancel(running.ID, cancelled(at(1)))
		got, err := w.Store().Settle(w.ctx(), running.Ref(), freed(at(2))) // a retry, if nobody had cancelled
		w.ok(err)
		w.same("Status", got.Status, ringback.Cancelled)
		w.same("Outcome", w.ledger(running.ID)[0].Outcome, ringback.AttemptCancelled)
	})

	s.promise("cancel against settle: the end comes first", func(w *world) {
		running := w.running(at(0))
		ended := w.settle(running, completed(at(1), "hello"))
		got, err := w.Store().Cancel(w.ctx(), project, running.ID, cancelled(at(2)))
		w.fails(err, store.ErrEnded)
		w.same("Cancel", got, ended)
	})

	s.promise("cancel against settle: a retry comes first", func(w *world) {
		running := w.running(at(0))
		w.settle(running, retried(at(1), at(9)))
		w.same("Status", w.cancel(running.ID, cancelled(at(2))).Status, ringback.Cancelled)
		w.same("Claim", w.claim(at(9), lane, 1), []store.Job(nil))
	})

	s.promise("cancel against settle: both at once", cancelAndSettleAtOnce)

	// The request is in the row: any move that frees the job sees it.
	s.promise("cancel, then crash: the job is cancelled, and never runs again", func(w *world) {
		running := w.running(at(0))
		w.cancel(running.ID, cancelled(at(1)))
		w.crash()
		w.same("how many were freed", len(w.sweep(at(2)).Jobs), 1)
		got := w.read(running.ID)
		w.same("Status", got.Status, ringback.Cancelled)
		w.same("Claim", w.claim(at(3), lane, 1), []store.Job(nil))
		w.settleFenced(running, completed(at(4), "late"))
		w.same("Job", w.read(running.ID), got)
	})
}

// exerciseWebhookHistories are sequences of events about deliveries.
func exerciseWebhookHistories(s suite) {
	s.promise("redelivery against the schedule: a late failure does not turn delivered into pending", func(w *world) {
		j := w.delivering(at(0))
		id := deliveryID(j.ID, ringback.EventCompleted)
		lost := w.claimDelivery(at(1))
		w.fails(w.Store().Redeliver(w.ctx(), project, lost.ID, store.Redelivery{Now: at(1)}), store.ErrInFlight)
		w.releaseDelivery(lost, at(2))
		w.settleDelivery(w.claimDelivery(at(2)), delivered(at(3)))
		w.redeliver(id, at(4))
		again := w.claimDelivery(at(4))
		w.same("a second one at the same time", w.claimDeliveries(at(4), 1), []store.Delivery(nil))
		got := w.settleDelivery(again, tryAgain(at(5), at(6)))
		w.same("Status", got.Status, ringback.DeliveryDelivered)
		w.same("EndedAt", got.EndedAt, at(3))
		w.same("ClaimDeliveries", w.claimDeliveries(at(day), 1), []store.Delivery(nil))
	})

	s.promise("redelivery against the schedule: it does not bring the next try forward, nor put it off", func(w *world) {
		w.delivering(at(0))
		d := w.settleDelivery(w.claimDelivery(at(1)), tryAgain(at(2), at(50)))
		w.redeliver(d.ID, at(49))
		w.settleDelivery(w.claimDelivery(at(49)), tryAgain(at(60), at(500)))
		got := w.claimDelivery(at(60))
		w.same("Manual", got.Manual, false)
		w.same("Tries", got.Tries, 1)
	})

	s.promise("a zombie's try does not end what was claimed again", func(w *world) {
		j := w.delivering(at(0))
		zombie := w.claimDelivery(at(1))
		w.die()
		w.sweep(at(2))
		owner := w.claimDelivery(at(2))
		_, err := w.Store().SettleDelivery(w.ctx(), zombie.Ref(), dead(at(3)))
		w.fails(err, store.ErrFenced)
		w.settleDelivery(owner, delivered(at(4)))
		_, err = w.Store().SettleDelivery(w.ctx(), zombie.Ref(), dead(at(5)))
		w.fails(err, store.ErrFenced)
		d, _ := w.delivery(j.ID)
		w.same("Status", d.Status, ringback.DeliveryDelivered)
	})

	s.promise("deliveries to a dead host do not stand in front of a living one's", func(w *world) {
		const deadHost = "https://dead.example:443"
		for i := range 100 {
			w.delivering(at(0).Add(time.Duration(i)*time.Millisecond), to(deadHost))
		}
		j := w.delivering(at(1))
		w.same("ClaimDeliveries", w.claimDelivery(at(1)).JobID, j.ID)
	})
}

// exerciseNodeHistories are sequences of events among nodes: one is taken for dead and
// comes back.
func exerciseNodeHistories(s suite) {
	// The start is committed before the first byte, so the sweeper finds it.
	s.promise("frozen after the first byte: another node runs the job, under the next number", func(w *world) {
		a, b := w.peers()
		w.submitNew(at(0))
		lost := w.claimOne(at(1)) // bytes are sent
		w.TakeLease(a)
		w.node = b
		w.sweep(at(9))
		again := w.claimOne(at(9))
		w.settle(again, completed(at(10), "hello"))
		w.same("Attempts", w.ledger(again.ID), []ringback.Attempt{entry(lost, uncertain(at(9))), entry(again, completed(at(10), "hello"))})
		w.same("fences", []int64{lost.Fence, again.Fence}, []int64{1, 3})
	})

	// Every release advances the fence, even one that costs nothing.
	s.promise("refused and frozen: whoever wakes up does not settle over the next owner", func(w *world) {
		a, b := w.peers()
		w.submitNew(at(0))
		frozen := w.claimOne(at(1)) // it is refused, and the node freezes before it reports that
		w.TakeLease(a)
		w.node = b
		_, err := w.Store().Sweep(w.ctx(), b, at(9), 9, always(released(at(9))))
		w.ok(err)
		owner := w.claimOne(at(10))
		w.same("Attempts", owner.Attempts, 0)
		w.settleFenced(frozen, refused(at(11), at(20)))
		w.settleFenced(frozen, notified(frozen, at(11)))
		w.same("Job", w.read(owner.ID), owner)
		w.settle(owner, completed(at(12), "hello"))
	})

	// A claim reads its lease: it comes before the sweep, and is swept, or after it.
	s.promise("frozen with a submit under way: the job is swept or refused, and never hangs", func(w *world) {
		a, b := w.peers()
		early, late := w.newJob(at(0), claimedOn(a)), w.newJob(at(0), claimedOn(a))
		w.submit(early)
		w.TakeLease(a)
		w.node = b
		w.same("Sweep", ids(w.sweep(at(9)).Jobs), []uuid.UUID{early.Job.ID})
		_, _, err := w.Store().Submit(w.ctx(), late)
		w.fails(err, store.ErrNoLease)
		late.Job.Node, late.Job.Status, late.Job.Fence = "", ringback.Queued, 0
		late.Job.StartedAt, late.Job.FirstStartedAt = time.Time{}, time.Time{}
		w.submit(late)
		w.same("Claim", sorted(ids(w.claim(at(9), lane, 9))), sorted([]uuid.UUID{early.Job.ID, late.Job.ID}))
	})

	s.promise("frozen with a settle under way: its webhook is never claimed on insert for a node that was swept", func(w *world) {
		a, b := w.peers()
		running := w.running(at(0))
		o := notified(running, at(1))
		o.Delivery.Node = b
		w.TakeLease(b)
		w.sweep(at(2))
		_, err := w.Store().Settle(w.ctx(), running.Ref(), always(o))
		w.fails(err, store.ErrNoLease)
		o.Delivery.Node = a
		w.settle(running, o)
		w.same("how much is in flight", w.sweep(at(3)).Deliveries, 0)
		d, _ := w.delivery(running.ID)
		w.settleDelivery(d, delivered(at(4)))
	})

	// The claims in the store are compared with those that the node knows.
	s.promise("a claim of which its node never heard is found, and given back", func(w *world) {
		known := w.running(at(0))
		w.submitNew(at(1))
		w.delivering(at(1))
		w.claimOne(at(2))      // the answer is lost
		w.claimDelivery(at(2)) // so is this one
		held, err := w.Store().Held(w.ctx(), w.node)
		w.ok(err)
		unknown := slices.DeleteFunc(held.Jobs, func(ref store.Ref) bool { return ref == known.Ref() })
		w.same("Release", len(w.releaseRefs(w.node, at(12), unknown...)), 1)
		n, err := w.Store().ReleaseDeliveries(w.ctx(), w.node, held.Deliveries, at(12))
		w.ok(err)
		w.same("ReleaseDeliveries", n, 1)
		w.held(w.node, store.Held{Jobs: []store.Ref{known.Ref()}})
		w.claimOne(at(12))
		w.claimDelivery(at(12))
	})

	s.promise("a claim that was given back by mistake and claimed again is not freed once more", func(w *world) {
		w.submitNew(at(0))
		first := w.claimOne(at(1))
		w.release(first, freed(at(2)))
		again := w.claimOne(at(3))
		w.same("Release", w.releaseRefs(w.node, at(4), first.Ref()), []uuid.UUID(nil))
		w.settle(again, completed(at(5), "hello"))
	})

	// All leases ran out while the database was down.
	s.promise("the first node that is back does not sweep its peers, and every answer is kept", func(w *world) {
		a, b := w.peers()
		ofA := w.running(at(0))
		w.node = b
		ofB := w.running(at(0))
		w.TakeLease(a)
		w.TakeLease(b)
		_, err := w.Store().Sweep(w.ctx(), a, at(30), 9, freed(at(30)))
		w.fails(err, store.ErrNoLease)
		w.settle(ofA, completed(at(30), "hello")) // before it could renew
		w.renew(a)
		w.renew(b)
		w.node = a
		w.same("Sweep", w.sweep(at(31)), store.Swept{})
		w.settle(ofB, completed(at(31), "hello"))
		w.living(a, b)
	})

	// Fencing covers the store: a zombie may still send, but only the same bytes.
	s.promise("a zombie that sends after its sweep sends the same bytes under the same id", func(w *world) {
		a, b := w.peers()
		running := w.running(at(0))
		o := notified(running, at(1))
		o.Delivery.Node = a
		w.settle(running, o)
		d, _ := w.delivery(running.ID)
		sent, err := w.Store().Payload(w.ctx(), d.ID)
		w.ok(err)
		w.TakeLease(a)
		w.node = b
		w.sweep(at(9))
		again := w.claimDelivery(at(9))
		resent, err := w.Store().Payload(w.ctx(), again.ID)
		w.ok(err)
		w.same("id", again.ID, d.ID)
		w.same("Payload", resent, sent)
		w.settleDelivery(again, delivered(at(10)))
		_, err = w.Store().SettleDelivery(w.ctx(), d.Ref(), dead(at(11)))
		w.fails(err, store.ErrFenced)
		got, _ := w.delivery(running.ID)
		w.same("Status", got.Status, ringback.DeliveryDelivered)
	})

	s.promise("a cancel of a job whose node is dead: the sweeper ends it, and nobody runs it", func(w *world) {
		a, b := w.peers()
		running := w.running(at(0))
		w.TakeLease(a)
		w.node = b
		w.cancel(running.ID, cancelled(at(1)))
		w.sweep(at(2))
		got := w.read(running.ID)
		w.same("Status", got.Status, ringback.Cancelled)
		w.same("Claim", w.claim(at(3), lane, 1), []store.Job(nil))
		w.settleFenced(running, completed(at(4), "late"))
		w.same("Job", w.read(running.ID), got)
	})

	// Freed slots go to waiting jobs first.
	s.promise("what a sweeper freed shows as due at once, and is claimed before what comes later", func(w *world) {
		lost := w.running(at(0))
		w.die()
		w.sweep(at(9))
		due, err := w.Store().DueJobs(w.ctx(), at(9))
		w.ok(err)
		if len(due.Lanes) != 1 || due.Lanes[0].Lane != lane || due.Lanes[0].Count == 0 {
			w.Errorf("DueJobs: got %+v, want the lane of the job that was freed", due)
		}
		w.submitNew(at(10))
		w.same("Claim", ids(w.claim(at(11), lane, 1)), []uuid.UUID{lost.ID})
	})
}
