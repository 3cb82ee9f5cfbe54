package storetest

import (
	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
)

// exerciseLostCommits: the commit succeeds, but the store never learns of it. It repeats
// the move and finds it done, so the caller gets the same answer as otherwise, and nothing
// has happened twice.
func exerciseLostCommits(s suite) {
	s.promise("a submit whose commit is of unknown outcome", func(w *world) {
		n, started := w.newJob(at(0), withKey("key", "hash")), w.newJob(at(0), claimedOn(w.node))
		for _, n := range []store.NewJob{n, started} {
			w.LoseCommit()
			w.same("Submit", w.submit(n), n.Job)
			w.same("Job", w.read(n.Job.ID), n.Job)
		}
		w.same("Waiting", w.waiting().Jobs, 1)
	})

	s.promise("a claim whose commit is of unknown outcome", func(w *world) {
		for range 3 {
			w.submitNew(at(0))
		}
		w.LoseCommit()
		claimed := w.claim(at(1), lane, 2)
		w.same("running", w.list(store.Query{Project: project, Status: ringback.Running, Limit: 9}), newestFirst(claimed))
		w.same("how many", len(claimed), 2)
		for _, j := range claimed {
			w.same("Fence", j.Fence, int64(1))
			w.settle(j, completed(at(2), "hello"))
		}
		w.same("Waiting", w.waiting().Jobs, 1)
	})

	s.promise("a claim of suspects whose commit is of unknown outcome", func(w *world) {
		w.suspect(at(0))
		w.suspect(at(0))
		w.LoseCommit()
		claimed := w.claimSuspects(at(1), 1)
		w.same("running", w.list(store.Query{Project: project, Status: ringback.Running, Limit: 9}), claimed)
	})

	s.promise("a settle whose commit is of unknown outcome", func(w *world) {
		running := w.running(at(0))
		w.LoseCommit()
		ended := w.settle(running, notified(running, at(1)))
		w.same("Status", ended.Status, ringback.Completed)
		w.same("Job", w.read(running.ID), ended)
		w.same("how many attempts", len(w.ledger(running.ID)), 1)
		w.delivery(running.ID)

		running = w.running(at(2))
		w.LoseCommit()
		w.same("a retry", w.settle(running, retried(at(3), at(4))), w.read(running.ID))
		w.same("Failures", w.read(running.ID).Failures, 1)
	})

	s.promise("a settle with a log whose commit is of unknown outcome", func(w *world) {
		running := w.running(at(0))
		w.LoseCommit()
		w.settle(running, logged(retried(at(1), at(1)), "first"))
		w.events(running.ID, "first")
		w.LoseCommit()
		w.settle(w.claimOne(at(2)), logged(notified(running, at(3)), "second"))
		w.events(running.ID, "second")
	})

	s.promise("a settle of a job that is to be cancelled, whose commit is of unknown outcome", func(w *world) {
		running := w.running(at(0))
		w.cancel(running.ID, cancelled(at(1)))
		w.LoseCommit()
		ended, err := w.Store().Settle(w.ctx(), running.Ref(), freed(at(2)))
		w.ok(err)
		w.same("Job", w.read(running.ID), ended)
		w.same("Status", ended.Status, ringback.Cancelled)
	})

	s.promise("a cancel whose commit is of unknown outcome", func(w *world) {
		waiting, running := w.submitNew(at(0)), w.running(at(0))
		w.LoseCommit()
		w.same("of a waiting job", w.cancel(waiting.ID, cancelled(at(1))), w.read(waiting.ID))
		w.LoseCommit()
		w.same("of a running job", w.cancel(running.ID, cancelled(at(1))), w.read(running.ID))
	})

	exerciseLostNodes(s)
	exerciseLostSweeps(s)
	exerciseLostDeliveries(s)
}

func exerciseLostNodes(s suite) {
	s.promise("a node that joins, renews and leaves by commits of unknown outcome", func(w *world) {
		w.LoseCommit()
		a, b := w.peers()
		w.living(a, b)
		w.LoseCommit()
		w.renew(b)
		w.node = b
		w.running(at(0))
		w.LoseCommit()
		w.ok(w.Store().Leave(w.ctx(), b))
		w.living(a)
		w.isSwept(b)
	})
}

func newestFirst(jobs []store.Job) []store.Job {
	var out []store.Job
	for i := range jobs {
		out = append(out, jobs[len(jobs)-1-i])
	}
	return out
}

// exerciseLostSweeps are about moves of many jobs. What they return matters: zero would
// mean that there is nothing left, and a webhook that was inserted in flight is sent by the
// caller that gets its job.
func exerciseLostSweeps(s suite) {
	s.promise("an expiry whose commit is of unknown outcome", func(w *world) {
		want := []uuid.UUID{w.submitNew(at(0), expiresAt(at(60))).ID, w.submitNew(at(0), expiresAt(at(60))).ID}
		w.submitNew(at(0), expiresAt(at(61)))
		w.LoseCommit()
		w.same("Expire", sorted(ids(w.expire(at(99), 2, expired(at(99))))), sorted(want))
		w.same("Waiting", w.waiting().Jobs, 1)
	})

	s.promise("a release whose commit is of unknown outcome", func(w *world) {
		running := w.running(at(0))
		w.LoseCommit()
		w.same("Release", w.release(running, freed(at(1))).ID, running.ID)
		w.same("Uncertain", w.read(running.ID).Uncertain, 1)
		w.same("how many attempts", len(w.ledger(running.ID)), 1)
	})

	s.promise("a sweep whose commit is of unknown outcome", func(w *world) {
		var want []uuid.UUID
		for range 2 {
			want = append(want, w.running(at(0)).ID)
		}
		j := w.delivering(at(0))
		w.claimDelivery(at(0))
		w.die()
		w.LoseCommit()
		got := w.sweepAtMost(2, at(1))
		w.same("Jobs", sorted(ids(got.Jobs)), sorted(want))
		w.same("Deliveries", got.Deliveries, 1)
		for _, id := range want {
			w.same("Uncertain", w.read(id).Uncertain, 1)
			w.same("how many attempts", len(w.ledger(id)), 1)
		}
		_, tries := w.delivery(j.ID)
		w.same("how many tries", len(tries), 1)
		w.same("Sweep again", w.sweep(at(2)), store.Swept{})
	})

	s.promise("a retention whose commit is of unknown outcome", func(w *world) {
		j := w.running(at(0))
		w.settle(j, completed(at(0), "hello"))
		w.LoseCommit()
		n, err := w.Store().Prune(w.ctx(), at(2*day), 1)
		w.ok(err)
		w.same("touched", n, 1)
		w.gone(j.ID)
	})
}

func exerciseLostDeliveries(s suite) {
	s.promise("a claim of deliveries whose commit is of unknown outcome", func(w *world) {
		for i := range 3 {
			w.delivering(at(i))
		}
		w.LoseCommit()
		claimed := w.claimDeliveries(at(9), 2)
		w.same("how many", len(claimed), 2)
		for _, d := range claimed {
			w.settleDelivery(d, delivered(at(10)))
		}
		w.same("Waiting", w.waiting().Deliveries, 1)
	})

	s.promise("a delivery's settle whose commit is of unknown outcome", func(w *world) {
		for _, end := range []store.TryEnd{delivered(at(2)), tryAgain(at(2), at(day)), dead(at(2))} {
			j := w.delivering(at(0))
			d := w.claimDelivery(at(1))
			w.LoseCommit()
			settled := w.settleDelivery(d, end)
			got, tries := w.delivery(j.ID)
			w.same("delivery", got, settled)
			w.same("tries", tries, []ringback.Try{numbered(1, "schedule", end.Try)})
		}
	})

	s.promise("a redelivery whose commit is of unknown outcome", func(w *world) {
		w.delivering(at(0))
		d := w.settleDelivery(w.claimDelivery(at(1)), delivered(at(2)))
		w.LoseCommit()
		w.redeliver(d.ID, at(3))
		w.settleDelivery(w.claimDelivery(at(4)), delivered(at(5)))
		w.same("ClaimDeliveries", w.claimDeliveries(at(6), 1), []store.Delivery(nil))
	})

	s.promise("an expiry of deliveries whose commit is of unknown outcome", func(w *world) {
		j := w.delivering(at(0))
		w.LoseCommit()
		got, err := w.Store().ExpireDeliveries(w.ctx(), at(9), at(9), 10)
		w.ok(err)
		d, _ := w.delivery(j.ID)
		w.same("ExpireDeliveries", got, []store.Delivery{d})
	})

	s.promise("a release of deliveries whose commit is of unknown outcome", func(w *world) {
		j := w.delivering(at(0))
		d := w.claimDelivery(at(1))
		w.LoseCommit()
		w.releaseDelivery(d, at(2))
		_, tries := w.delivery(j.ID)
		w.same("how many tries", len(tries), 1)
		w.claimDelivery(at(3))
	})
}
