package storetest

import (
	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
)

func exerciseCancel(s suite) {
	s.promise("a waiting job is cancelled at once, with its webhook", func(w *world) {
		waiting := w.submitNew(at(0))
		decide := func(j store.Job) store.Outcome {
			o := cancelled(at(5))(j)
			o.Delivery = newDelivery(j, o.Status, o.At)
			return o
		}
		want := waiting
		want.Status, want.EndedAt, want.Error = ringback.Cancelled, at(5), "The job was cancelled."
		want.ContentUntil = at(5 + day)
		w.same("Cancel", w.cancel(waiting.ID, decide), want)
		w.same("Job", w.read(waiting.ID), want)
		w.same("Attempts", w.ledger(waiting.ID), []ringback.Attempt(nil))
		d, _ := w.delivery(waiting.ID)
		w.same("delivery", d, deliveryOf(want, newDelivery(waiting, ringback.Cancelled, at(5))))
		w.same("Claim", w.claim(at(6), lane, 1), []store.Job(nil))
	})

	s.promise("a running job only learns that it is to be cancelled", func(w *world) {
		want := w.running(at(0))
		asked := false
		got := w.cancel(want.ID, func(j store.Job) store.Outcome {
			asked = true
			return cancelled(at(1))(j)
		})
		want.CancelRequested = true
		w.same("Cancel", got, want)
		w.same("decide was asked", asked, false)
		w.crash()
		w.same("Job", w.read(want.ID), want)
		w.noDelivery(want.ID)
	})

	s.promise("cancelled already is success", func(w *world) {
		waiting := w.submitNew(at(0))
		first := w.cancel(waiting.ID, cancelled(at(1)))
		w.same("a waiting job, again", w.cancel(waiting.ID, cancelled(at(2))), first)

		running := w.running(at(3))
		requested := w.cancel(running.ID, cancelled(at(4)))
		w.same("a running job, again", w.cancel(running.ID, cancelled(at(5))), requested)
		ended := w.settle(running, cancelled(at(6))(running))
		w.same("after its end", w.cancel(running.ID, cancelled(at(7))), ended)
	})

	s.promise("a job that ended otherwise comes with ErrEnded", func(w *world) {
		running := w.running(at(0))
		ended := w.settle(running, completed(at(1), "hello"))
		got, err := w.Store().Cancel(w.ctx(), project, running.ID, cancelled(at(2)))
		w.fails(err, store.ErrEnded)
		w.same("Cancel", got, ended)
		w.same("Job", w.read(running.ID), ended)
	})

	s.promise("only a job of the project can be cancelled", func(w *world) {
		waiting := w.submitNew(at(0))
		_, err := w.Store().Cancel(w.ctx(), "other", waiting.ID, cancelled(at(1)))
		w.fails(err, store.ErrNotFound)
		_, err = w.Store().Cancel(w.ctx(), project, w.newID(at(0)), cancelled(at(1)))
		w.fails(err, store.ErrNotFound)
		w.same("Job", w.read(waiting.ID), waiting)
	})

	s.promise("the whole answer may come before the cancel is seen", func(w *world) {
		running := w.running(at(0))
		w.cancel(running.ID, cancelled(at(1)))
		got := w.settle(running, completed(at(2), "hello"))
		w.same("Status", got.Status, ringback.Completed)
	})
}

func (w *world) cancel(id uuid.UUID, decide store.Decide) store.Job {
	w.Helper()
	j, err := w.Store().Cancel(w.ctx(), project, id, decide)
	w.ok(err)
	return j
}
