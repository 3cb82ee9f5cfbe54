package storetest

import (
	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
)

func exerciseRelease(s suite) {
	s.promise("a restart frees every running job", func(w *world) {
		waiting := w.submitNew(at(0))
		running := w.running(at(0), in(slowLane))
		w.crash()
		want := waitingAgain(running, at(5))
		want.DurationMS, want.Attempts, want.Uncertain = 5000, 1, 1
		w.same("Release", w.release(freed(at(5))), []store.Job{want})
		w.same("Job", w.read(running.ID), want)
		w.same("Attempts", w.ledger(running.ID), []ringback.Attempt{entry(running, uncertain(at(5)))})
		w.same("a waiting job", w.read(waiting.ID), waiting)
		w.same("Release again", w.release(freed(at(6))), []store.Job(nil))
	})

	s.promise("what is kept goes on undisturbed", func(w *world) {
		kept, lost := w.running(at(0)), w.running(at(0))
		w.same("Release", ids(w.release(freed(at(1)), kept.Ref())), []uuid.UUID{lost.ID})
		w.same("Job", w.read(kept.ID), kept)
		w.settle(kept, completed(at(2), "hello"))
	})

	s.promise("a claim that is over keeps nothing", func(w *world) {
		running := w.running(at(0))
		w.settle(running, retried(at(1), at(1)))
		again := w.claimOne(at(2))
		w.same("Release", ids(w.release(freed(at(3)), running.Ref())), []uuid.UUID{again.ID})
	})

	s.promise("a job that was freed is claimed under a new fence", func(w *world) {
		running := w.running(at(0))
		w.release(freed(at(1)))
		w.same("Fence", w.claimOne(at(2)).Fence, running.Fence+2)
	})

	s.promise("decide may end the job instead, with its webhook", func(w *world) {
		running := w.running(at(0))
		w.release(func(j store.Job) store.Outcome {
			o := failed(at(1))
			o.Attempt.Outcome = ringback.AttemptUncertain
			o.Delivery = newDelivery(j, o.Status, o.At)
			return o
		})
		got := w.read(running.ID)
		w.same("Status", got.Status, ringback.Failed)
		w.same("Uncertain", got.Uncertain, 1)
		w.delivery(running.ID)
	})

	s.promise("no more are freed at once than the limit, and all are in the end", func(w *world) {
		kept := w.running(at(0))
		var want []uuid.UUID
		for range 5 {
			want = append(want, w.running(at(0)).ID)
		}
		var got []uuid.UUID
		for _, n := range []int{2, 2, 1, 0} {
			jobs, err := w.Store().Release(w.ctx(), []store.Ref{kept.Ref()}, 2, freed(at(1)))
			w.ok(err)
			w.same("how many", len(jobs), n)
			got = append(got, ids(jobs)...)
		}
		w.same("all", sorted(got), sorted(want))
	})
}
