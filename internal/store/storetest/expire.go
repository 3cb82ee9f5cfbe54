package storetest

import (
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
)

func exerciseExpire(s suite) {
	s.promise("a waiting job expires at its end, not before, with its webhook", func(w *world) {
		waiting := w.submitNew(at(0), expiresAt(at(60)))
		decide := func(j store.Job) store.Outcome {
			o := expired(at(60))(j)
			o.Delivery = newDelivery(j, o.Status, o.At)
			return o
		}
		w.same("Expire before", w.expire(at(60).Add(-time.Millisecond), 10, decide), []store.Job(nil))
		want := waiting
		want.Status, want.EndedAt, want.Error = ringback.Expired, at(60), "The job expired while it waited."
		want.ContentUntil = at(60 + day)
		w.same("Expire", w.expire(at(60), 10, decide), []store.Job{want})
		w.same("Job", w.read(waiting.ID), want)
		d, _ := w.delivery(waiting.ID)
		w.same("delivery", d, deliveryOf(want, newDelivery(waiting, ringback.Expired, at(60))))
		w.same("Expire again", w.expire(at(61), 10, decide), []store.Job(nil))
		w.same("Claim", w.claim(at(61), lane, 1), []store.Job(nil))
	})

	s.promise("a running job does not expire", func(w *world) {
		running := w.running(at(0), expiresAt(at(60)))
		w.same("Expire", w.expire(at(100), 10, expired(at(100))), []store.Job(nil))
		w.same("Job", w.read(running.ID), running)
	})

	s.promise("a job that waits between attempts expires", func(w *world) {
		running := w.running(at(0), expiresAt(at(60)))
		w.settle(running, retried(at(1), at(90)))
		w.same("Expire", ids(w.expire(at(60), 10, expired(at(60)))), []uuid.UUID{running.ID})
	})

	s.promise("a refused job ends at the end of its max_wait", func(w *world) {
		running := w.running(at(0))
		w.settle(running, refused(at(10), at(20)))
		w.same("before", w.expire(at(10+3599), 10, expired(at(10+3599))), []store.Job(nil))
		w.same("then", ids(w.expire(at(10+3600), 10, expired(at(10+3600)))), []uuid.UUID{running.ID})
	})

	s.promise("a suspect expires like any other", func(w *world) {
		j := w.suspect(at(0), expiresAt(at(60)))
		w.same("Expire", ids(w.expire(at(60), 10, expired(at(60)))), []uuid.UUID{j.ID})
		w.same("Waiting", w.waiting().Jobs, 0)
	})

	s.promise("no more expire at once than the limit, and all do in the end", func(w *world) {
		var want []uuid.UUID
		for i := range 5 {
			want = append(want, w.submitNew(at(i), expiresAt(at(60))).ID)
		}
		var got []uuid.UUID
		for _, n := range []int{2, 2, 1, 0} {
			jobs := w.expire(at(99), 2, expired(at(99)))
			w.same("how many", len(jobs), n)
			got = append(got, ids(jobs)...)
		}
		w.same("all", sorted(got), sorted(want))
	})
}

func exerciseHasten(s suite) {
	due := func(t time.Time) store.Decide {
		return func(store.Job) store.Outcome { return store.Outcome{At: t, Status: ringback.Queued, RunAt: t} }
	}
	hasten := func(w *world, now time.Time, limit int) []uuid.UUID {
		w.Helper()
		jobs, err := w.Store().Hasten(w.ctx(), now, limit, due(now))
		w.ok(err)
		return ids(jobs)
	}
	forItsKey := func(t, again time.Time) store.Outcome {
		o := refused(t, again)
		o.Refused = false
		return o
	}

	s.promise("what a key refused can be claimed at once after it was hastened", func(w *world) {
		j := w.settle(w.running(at(0)), forItsKey(at(1), at(60)))
		w.same("Claim before", w.claim(at(2), lane, 1), []store.Job(nil))
		w.same("Hasten", hasten(w, at(2), 10), []uuid.UUID{j.ID})
		w.same("Hasten again", hasten(w, at(2), 10), []uuid.UUID(nil))
		w.same("Claim", w.claimOne(at(2)).ID, j.ID)
	})

	s.promise("what waits for another reason is not hastened", func(w *world) {
		w.settle(w.running(at(0)), refused(at(1), at(60)))
		w.settle(w.running(at(0)), retried(at(1), at(60)))
		w.submitNew(at(0), func(j *store.Job) { j.RunAt = at(60) })
		suspect := w.suspect(at(0))
		w.settle(w.claimSuspects(at(0), 1)[0], forItsKey(at(1), at(60)))
		w.same("Hasten", hasten(w, at(2), 10), []uuid.UUID(nil))
		w.same("suspect", w.read(suspect.ID).RunAt, at(60))
	})

	s.promise("no more are hastened at once than the limit", func(w *world) {
		for i := range 3 {
			w.settle(w.running(at(0)), forItsKey(at(1), at(60+i)))
		}
		w.same("at once", []int{len(hasten(w, at(2), 2)), len(hasten(w, at(2), 2))}, []int{2, 1})
	})
}

func (w *world) expire(now time.Time, limit int, decide store.Decide) []store.Job {
	w.Helper()
	jobs, err := w.Store().Expire(w.ctx(), now, limit, decide)
	w.ok(err)
	return jobs
}
