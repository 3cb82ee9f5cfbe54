package storetest

import (
	"github.com/google/uuid"

	"github.com/ringback/ringback/internal/store"
)

// exerciseEvents is about the log of a streamed job.
func exerciseEvents(s suite) {
	s.promise("the last log that a settle has brought is there for the next attempt", func(w *world) {
		running := w.running(at(0))
		w.noEvents(running.ID)
		w.settle(running, logged(retried(at(1), at(1)), "first"))
		w.crash()
		w.events(running.ID, "first")
		again := w.claimOne(at(2))
		w.events(running.ID, "first")
		w.settle(again, logged(refused(at(3), at(3)), "first, second"))
		w.events(running.ID, "first, second")
		w.settle(w.claimOne(at(4)), released(at(5)))
		w.events(running.ID, "first, second")
		w.settle(w.claimOne(at(6)), logged(notified(running, at(7)), "first, second, third"))
		w.crash()
		w.events(running.ID, "first, second, third")
		w.same("Answer", string(w.content(running.ID).Answer), "hello")
	})

	s.promise("each end may bring a log", func(w *world) {
		for _, o := range []store.Outcome{completed(at(1), "hello"), failed(at(1)), cancelled(at(1))(w.running(at(0)))} {
			running := w.running(at(0))
			w.settle(running, logged(o, string(o.Status)))
			w.events(running.ID, string(o.Status))
		}
	})

	s.promise("an end that brings no log keeps the one before", func(w *world) {
		for _, o := range []store.Outcome{completed(at(3), "hello"), failed(at(3))} {
			running := w.running(at(0))
			w.settle(running, logged(retried(at(1), at(1)), "first"))
			w.settle(w.claimOne(at(2)), o)
			w.events(running.ID, "first")
		}
	})

	exerciseKeptEvents(s)
	exerciseLostEvents(s)
}

// exerciseKeptEvents is about callers that move a job without knowing its log.
func exerciseKeptEvents(s suite) {
	// broken makes a job that has been waiting for its second attempt since the given time.
	broken := func(w *world, now int) store.Job {
		running := w.running(at(now), expiresAt(at(60)))
		return w.settle(running, logged(retried(at(now), at(now)), "first"))
	}

	s.promise("a log is kept by a cancel, and by an expiry", func(w *world) {
		j := broken(w, 0)
		w.cancel(j.ID, cancelled(at(1)))
		w.events(j.ID, "first")
		j = broken(w, 2)
		w.expire(at(60), 1, expired(at(60)))
		w.events(j.ID, "first")
	})

	s.promise("a log is kept by a release, and by a sweep", func(w *world) {
		j := broken(w, 0)
		w.release(w.claimOne(at(1)), freed(at(2)))
		w.events(j.ID, "first")
		w.claimOne(at(3))
		w.die()
		w.sweep(at(4))
		w.events(j.ID, "first")
	})

	s.promise("a release may bring a log", func(w *world) {
		j := broken(w, 0)
		w.release(w.claimOne(at(1)), always(logged(uncertain(at(2)), "first, second")))
		w.events(j.ID, "first, second")
	})

	s.promise("a replay has a log of its own", func(w *world) {
		old := w.running(at(0))
		w.settle(old, logged(failed(at(1)), "first"))
		j, err := w.Store().Replay(w.ctx(), w.newJob(at(2), replayOf(old)))
		w.ok(err)
		w.noEvents(j.ID)
		w.events(old.ID, "first")
	})
}

// exerciseLostEvents is about logs that must no longer be visible, or never were.
func exerciseLostEvents(s suite) {
	s.promise("who has lost a job does not write its log", func(w *world) {
		running := w.running(at(0))
		w.settle(running, logged(retried(at(1), at(1)), "first"))
		w.settle(running, logged(retried(at(1), at(1)), "the same settle again"))
		w.events(running.ID, "first")
		w.claimOne(at(2))
		w.settleFenced(running, logged(retried(at(3), at(3)), "another settle"))
		w.events(running.ID, "first")
	})

	s.promise("a log goes with the content, erased or after its time", func(w *world) {
		for _, end := range []func(uuid.UUID){
			func(id uuid.UUID) { w.erase(id, at(10)) },
			func(uuid.UUID) { w.prune(at(2 * day)) },
		} {
			running := w.running(at(0))
			w.settle(running, logged(completed(at(1), "hello"), "first"))
			end(running.ID)
			w.gone(running.ID)
			w.noEvents(running.ID)
		}
	})
}

// events checks a job's log.
func (w *world) events(id uuid.UUID, want string) {
	w.Helper()
	_, c, err := w.Store().Job(w.ctx(), project, id, store.PartEvents)
	w.ok(err)
	w.same("Events of Job", string(c.Events), want)
	c, err = w.Store().Content(w.ctx(), id, store.PartEvents)
	w.ok(err)
	w.same("Content", c, store.Content{Events: []byte(want)})
}

// noEvents checks that a job has no log.
func (w *world) noEvents(id uuid.UUID) {
	w.Helper()
	c, err := w.Store().Content(w.ctx(), id, store.PartEvents)
	w.ok(err)
	w.same("Content", c, store.Content{})
}
