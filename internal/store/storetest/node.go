package storetest

import (
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
)

// join lets a new node join, as which the world goes on.
func (w *world) join() {
	w.Helper()
	w.nodes++
	w.node = fmt.Sprintf("node-%03d", w.nodes)
	_, err := w.Store().Join(w.ctx(), store.Node{ID: w.node, API: true, Worker: true})
	w.ok(err)
}

// die ends the lease of the node as which the world claims. It goes on as another.
func (w *world) die() {
	w.Helper()
	w.TakeLease(w.node)
	w.join()
}

// sweep frees all that dead nodes held.
func (w *world) sweep(now time.Time) store.Swept {
	w.Helper()
	return w.sweepAs(w.node, now, 1000, freed(now))
}

func (w *world) sweepAs(node string, now time.Time, limit int, decide store.Decide) store.Swept {
	w.Helper()
	swept, err := w.Store().Sweep(w.ctx(), node, now, limit, decide)
	w.ok(err)
	return swept
}

func exerciseNodes(s suite) {
	s.promise("a restart frees every running job", func(w *world) {
		waiting := w.submitNew(at(0))
		running := w.running(at(0), in(slowLane))
		w.crash()
		want := waitingAgain(running, at(5))
		want.DurationMS, want.Attempts, want.Uncertain = 5000, 1, 1
		w.same("Sweep", w.sweep(at(5)).Jobs, []store.Job{want})
		w.same("Job", w.read(running.ID), want)
		w.same("Attempts", w.ledger(running.ID), []ringback.Attempt{entry(running, uncertain(at(5)))})
		w.same("a waiting job", w.read(waiting.ID), waiting)
		w.same("Sweep again", w.sweep(at(6)).Jobs, []store.Job(nil))
	})

	s.promise("what a living node holds goes on undisturbed", func(w *world) {
		lost := w.running(at(0))
		w.crash()
		kept := w.running(at(0))
		w.same("Sweep", ids(w.sweep(at(1)).Jobs), []uuid.UUID{lost.ID})
		w.same("Job", w.read(kept.ID), kept)
		w.settle(kept, completed(at(2), "hello"))
	})

	s.promise("no more are freed at once than the limit, and all are in the end", func(w *world) {
		var want []uuid.UUID
		for range 5 {
			want = append(want, w.running(at(0)).ID)
		}
		w.crash()
		w.running(at(0))
		var got []uuid.UUID
		for _, n := range []int{2, 2, 1, 0} {
			jobs := w.sweepAs(w.node, at(1), 2, freed(at(1))).Jobs
			w.same("how many", len(jobs), n)
			got = append(got, ids(jobs)...)
		}
		w.same("all", sorted(got), sorted(want))
	})

	s.promise("no more deliveries are freed at once than the limit, and all are in the end", func(w *world) {
		for i := range 4 {
			w.delivering(at(i))
		}
		lost := w.claimDeliveries(at(5), 3)
		w.crash()
		kept := w.claimDelivery(at(5))
		for _, n := range []int{2, 1, 0} {
			w.same("how many", w.sweepAs(w.node, at(6), 2, freed(at(6))).Deliveries, n)
		}
		w.settleDelivery(kept, delivered(at(7)))
		w.same("due again", sorted(deliveryIDs(w.claimDeliveries(at(8), 4))), sorted(deliveryIDs(lost)))
	})
}
