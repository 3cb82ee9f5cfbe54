package storetest

import (
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
)

func exerciseRelease(s suite) {
	s.promise("what a node gives back waits again, and its attempt is on record", func(w *world) {
		waiting := w.submitNew(at(0))
		running := w.running(at(0), in(slowLane))
		want := waitingAgain(running, at(0))
		want.DurationMS, want.Attempts, want.Uncertain = 5000, 1, 1
		w.same("Release", w.release(running, freed(at(5))), want)
		w.crash()
		w.same("Job", w.read(running.ID), want)
		w.same("Attempts", w.ledger(running.ID), []ringback.Attempt{entry(running, uncertain(at(5)))})
		w.same("a waiting job", w.read(waiting.ID), waiting)
	})

	s.promise("several are given back in one move, others go on undisturbed", func(w *world) {
		kept, a, b := w.running(at(0)), w.running(at(0)), w.running(at(0), in(slowLane))
		got := w.releaseRefs(w.node, at(1), a.Ref(), b.Ref())
		w.same("Release", sorted(got), sorted([]uuid.UUID{a.ID, b.ID}))
		w.same("Job", w.read(kept.ID), kept)
		w.settle(kept, completed(at(2), "hello"))
		w.same("Release of none", w.releaseRefs(w.node, at(3)), []uuid.UUID(nil))
	})

	s.promise("what the node does not hold any more, or never held, is not freed", func(w *world) {
		running := w.running(at(0))
		w.settle(running, retried(at(1), at(1)))
		again := w.claimOne(at(2))
		waiting := w.submitNew(at(0))
		ended := w.running(at(0))
		w.settle(ended, completed(at(1), "hello"))
		early, late := again.Ref(), again.Ref()
		early.Fence--
		late.Fence++
		refs := []store.Ref{running.Ref(), early, late, waiting.Ref(), ended.Ref(), {ID: w.newID(at(0)), Fence: 1}}
		w.same("Release", w.releaseRefs(w.node, at(3), refs...), []uuid.UUID(nil))
		w.same("Release by another node", w.releaseRefs("another", at(3), again.Ref()), []uuid.UUID(nil))
		w.same("Release by nobody", w.releaseRefs("", at(3), append(refs, again.Ref())...), []uuid.UUID(nil))
		w.same("Job", w.read(again.ID), again)
		w.same("the waiting job", w.read(waiting.ID), waiting)
	})

	s.promise("what is given back together with what is over is freed", func(w *world) {
		over, earlier := w.running(at(0)), w.running(at(0))
		w.settle(over, completed(at(1), "hello"))
		w.release(earlier, freed(at(1)))
		running := w.claimOne(at(2))
		w.same("Release", w.releaseRefs(w.node, at(2), over.Ref(), running.Ref(), earlier.Ref()), []uuid.UUID{running.ID})
	})

	s.promise("a job that was freed is claimed under a new fence", func(w *world) {
		running := w.running(at(0))
		w.release(running, freed(at(1)))
		w.same("Fence", w.claimOne(at(2)).Fence, running.Fence+2)
	})

	s.promise("what is given back keeps its turn: it is claimed before what came later", func(w *world) {
		w.keepTheirTurn(func(running []store.Job) {
			w.same("Release", len(w.releaseRefs(w.node, at(9), refsOfJobs(running)...)), len(running))
		})
	})

	s.promise("decide may end the job instead, with its webhook", func(w *world) {
		running := w.running(at(0))
		w.release(running, func(j store.Job) store.Outcome {
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

	s.promise("a job that was to be cancelled is when it is given back", func(w *world) {
		running := w.running(at(0))
		w.cancel(running.ID, cancelled(at(1)))
		w.same("Status", w.release(running, freed(at(2))).Status, ringback.Cancelled)
		w.same("Claim", w.claim(at(3), lane, 1), []store.Job(nil))
	})
}

// releaseRefs releases refs, and returns the ids of their jobs.
func (w *world) releaseRefs(node string, now time.Time, refs ...store.Ref) []uuid.UUID {
	w.Helper()
	jobs, err := w.Store().Release(w.ctx(), node, refs, freed(now))
	w.ok(err)
	return ids(jobs)
}

// keepTheirTurn checks that running jobs that interrupt sends back are claimed first, in
// the order in which they were claimed before, except after those of a higher priority.
func (w *world) keepTheirTurn(interrupt func(running []store.Job)) {
	w.Helper()
	var early, late []uuid.UUID
	for i := range 3 {
		early = append(early, w.submitNew(at(i)).ID)
	}
	running := w.claim(at(3), lane, 3)
	for i := range 30 {
		late = append(late, w.submitNew(at(3+i%3)).ID)
	}
	interrupt(running)
	high := w.submitNew(at(10), priority(1))
	jobs, err := w.Store().DueJobs(w.ctx(), at(11))
	w.ok(err)
	w.same("DueJobs", jobs.Lanes, []store.LaneWaiting{{Lane: lane, Count: 34, Due: at(0)}})
	w.same("Claim", ids(w.claim(at(11), lane, 4)), append([]uuid.UUID{high.ID}, early...))
	w.same("Claim of the rest", sorted(ids(w.claim(at(11), lane, 40))), sorted(late))
}

func refsOfJobs(jobs []store.Job) []store.Ref {
	var refs []store.Ref
	for _, j := range jobs {
		refs = append(refs, j.Ref())
	}
	return refs
}
