package storetest

import (
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
)

func exercisePrune(s suite) {
	s.promise("content goes at its time, not before; the row answers for 30 days more", func(w *world) {
		j := w.running(at(0), withKey("key", "hash"))
		ended := w.settle(j, completed(at(10), "hello"))
		w.same("ContentUntil", ended.ContentUntil, at(10+day))
		w.prune(at(10 + day).Add(-time.Millisecond))
		w.same("Job before", w.read(j.ID), ended)

		w.prune(at(10 + day))
		gone := w.gone(j.ID)
		w.same("what remains", remains(gone), remains(ended))
		w.same("RowUntil", gone.RowUntil, at(10+day).Add(retention.Rows))

		w.prune(gone.RowUntil.Add(-time.Millisecond))
		w.same("Job before the row's end", w.gone(j.ID), gone)
		w.prune(gone.RowUntil)
		w.notFound(j.ID)
	})

	s.promise("a job that has not ended is kept for ever", func(w *world) {
		running, waiting := w.running(at(0)), w.submitNew(at(0))
		w.prune(at(1000 * day))
		w.same("the running one", w.read(running.ID), running)
		w.same("the waiting one", w.read(waiting.ID), waiting)
		w.same("its request", string(w.content(waiting.ID).Request), string(requestOf(waiting)))
	})

	s.promise("no more is deleted at once than the limit, and all is in the end", func(w *world) {
		for i := range 5 {
			w.settle(w.running(at(i)), completed(at(i), "hello"))
		}
		for _, want := range []int{2, 2, 1, 0} {
			got, err := w.Store().Prune(w.ctx(), at(2*day), 2)
			w.ok(err)
			w.same("touched", got, want)
		}
	})

	s.promise("an idempotency key lives as long as the row", func(w *world) {
		first := w.settle(w.running(at(0), withKey("key", "hash")), completed(at(0), "hello"))
		w.prune(at(2 * day))
		got, replayed, err := w.Store().Submit(w.ctx(), w.newJob(at(2*day), withKey("key", "hash")))
		w.ok(err)
		w.same("replayed", replayed, true)
		w.same("Submit", got.ID, first.ID)
		_, _, err = w.Store().Submit(w.ctx(), w.newJob(at(2*day), withKey("key", "another")))
		w.fails(err, store.ErrMismatch)
		w.prune(at(40 * day))
		w.submitNew(at(40*day), withKey("key", "another"))
	})

	exercisePruneDeliveries(s)
	exercisePruneDeadLetters(s)
}

func exercisePruneDeliveries(s suite) {
	s.promise("content stays while its delivery is pending", func(w *world) {
		j := w.delivering(at(0))
		w.prune(at(3 * day))
		w.same("Answer", string(w.content(j.ID).Answer), "hello")
		d := w.claimDelivery(at(3 * day))
		w.prune(at(4 * day))
		_, err := w.Store().Payload(w.ctx(), d.ID)
		w.ok(err)
		w.settleDelivery(d, delivered(at(4*day+1)))
		w.prune(at(5 * day))
		w.gone(j.ID)
	})

	s.promise("content stays until the end of a late delivery", func(w *world) {
		j := w.delivering(at(0))
		w.settleDelivery(w.claimDelivery(at(2*day)), delivered(at(2*day)))
		w.same("ContentUntil", w.read(j.ID).ContentUntil, at(2*day))
	})

	s.promise("an early delivery does not shorten result_ttl", func(w *world) {
		j := w.delivering(at(0))
		w.settleDelivery(w.claimDelivery(at(1)), delivered(at(1)))
		w.same("ContentUntil", w.read(j.ID).ContentUntil, at(day))
	})

	s.promise("content stays while a redelivery is due or in flight", func(w *world) {
		j := w.delivering(at(0))
		d := w.settleDelivery(w.claimDelivery(at(1)), delivered(at(1)))
		w.redeliver(d.ID, at(day-1))
		w.prune(at(2 * day))
		d = w.claimDelivery(at(2 * day))
		w.prune(at(3 * day))
		p, err := w.Store().Payload(w.ctx(), d.ID)
		w.ok(err)
		w.same("Body", string(p.Body), string(webhookOf(j, ringback.Completed, at(0))))
	})

	s.promise("a webhook goes with its job's content", func(w *world) {
		j := w.delivering(at(0))
		d := w.settleDelivery(w.claimDelivery(at(1)), delivered(at(1)))
		w.prune(at(2 * day))
		w.gone(j.ID)
		_, err := w.Store().Payload(w.ctx(), d.ID)
		w.fails(err, store.ErrGone)
		w.fails(w.Store().Redeliver(w.ctx(), project, d.ID, store.Redelivery{Now: at(2 * day)}), store.ErrGone)
		w.same("ClaimDeliveries", w.claimDeliveries(at(3*day), 1), []store.Delivery(nil))

		w.prune(at(40 * day))
		w.notFound(j.ID)
		_, err = w.Store().Payload(w.ctx(), d.ID)
		w.fails(err, store.ErrNotFound)
		w.fails(w.Store().Redeliver(w.ctx(), project, d.ID, store.Redelivery{Now: at(40 * day)}), store.ErrNotFound)
		_, err = w.Store().SettleDelivery(w.ctx(), d.Ref(), delivered(at(40*day)))
		w.fails(err, store.ErrFenced)
	})

	s.promise("of two jobs whose ids begin alike, one goes alone", func(w *world) {
		short := w.delivering(at(0), func(j *store.Job) { j.Options.ResultTTL = time.Minute })
		long := w.delivering(at(0))
		for _, d := range w.claimDeliveries(at(1), 2) {
			w.settleDelivery(d, delivered(at(1)))
		}
		w.prune(at(100))
		w.gone(short.ID)
		d, tries := w.delivery(long.ID)
		w.same("tries", tries, []ringback.Try{numbered(1, "schedule", delivered(at(1)).Try)})
		p, err := w.Store().Payload(w.ctx(), d.ID)
		w.ok(err)
		w.same("Body", string(p.Body), string(webhookOf(long, ringback.Completed, at(0))))
	})
}

func exercisePruneDeadLetters(s suite) {
	s.promise("a failed job is kept as a dead letter, 14 days", func(w *world) {
		j := w.running(at(0))
		w.settle(j, failed(at(1)))
		w.prune(at(1 + 14*day - 1))
		w.read(j.ID)
		w.prune(at(1 + 14*day))
		w.gone(j.ID)
	})

	s.promise("a result_ttl that is longer than a dead letter's counts", func(w *world) {
		j := w.running(at(0), func(j *store.Job) { j.Options.ResultTTL = 30 * 24 * time.Hour })
		w.same("ContentUntil", w.settle(j, failed(at(1))).ContentUntil, at(1+30*day))
	})

	s.promise("a dead delivery keeps its job's content 14 days more", func(w *world) {
		j := w.delivering(at(0))
		w.settleDelivery(w.claimDelivery(at(1)), dead(at(3*day)))
		w.same("ContentUntil", w.read(j.ID).ContentUntil, at(17*day))
	})

	s.promise("so does a delivery that expired", func(w *world) {
		j := w.delivering(at(0))
		_, err := w.Store().ExpireDeliveries(w.ctx(), at(4*day), at(4*day), 1)
		w.ok(err)
		w.same("ContentUntil", w.read(j.ID).ContentUntil, at(18*day))
	})
}

// prune deletes until there is nothing left to delete at that time.
func (w *world) prune(now time.Time) {
	w.Helper()
	for range 1000 {
		n, err := w.Store().Prune(w.ctx(), now, 3)
		w.ok(err)
		if n > 3 {
			w.Fatalf("Prune: got %d, want at most 3", n)
		}
		if n == 0 {
			return
		}
	}
	w.Fatalf("Prune does not come to an end")
}

// gone checks that a job has no content, and returns what is left of its row.
func (w *world) gone(id uuid.UUID) store.Job {
	w.Helper()
	j, c, err := w.Store().Job(w.ctx(), project, id, allParts&^store.PartWebhook)
	w.fails(err, store.ErrGone)
	w.same("Content", c, store.Content{})
	w.same("ContentGone", j.ContentGone, true)
	return j
}

func (w *world) notFound(id uuid.UUID) {
	w.Helper()
	_, _, err := w.Store().Job(w.ctx(), project, id, allParts)
	w.fails(err, store.ErrNotFound)
}

// remains returns what is kept of a job whose content has been deleted: id, state, times,
// usage, idempotency key.
func remains(j store.Job) store.Job {
	return store.Job{
		ID: j.ID, Project: j.Project, Status: j.Status, Fence: j.Fence,
		CreatedAt: j.CreatedAt, FirstStartedAt: j.FirstStartedAt, StartedAt: j.StartedAt, EndedAt: j.EndedAt,
		Usage: j.Usage, DurationMS: j.DurationMS, IdempotencyKey: j.IdempotencyKey, IdempotencyHash: j.IdempotencyHash,
		ReplayOf: j.ReplayOf, ReplayedBy: j.ReplayedBy,
	}
}
