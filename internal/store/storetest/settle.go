package storetest

import (
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
)

func exerciseSettle(s suite) {
	s.promise("an end, its ledger row and its delivery are stored in one move", func(w *world) {
		running := w.running(at(0))
		o := notified(running, at(2))
		want := running
		want.Status, want.Node, want.EndedAt = ringback.Completed, "", at(2)
		want.AnswerModel, want.Usage = o.AnswerModel, o.Usage
		want.DurationMS, want.Attempts = 2000, 1
		want.ContentUntil = at(2 + day)
		w.same("Settle", w.settle(running, o), want)

		d := deliveryOf(want, o.Delivery)
		for range 2 { // before and after a crash
			w.same("Job", w.read(want.ID), want)
			w.same("Attempts", w.ledger(want.ID), []ringback.Attempt{entry(running, o)})
			got, tries := w.delivery(want.ID)
			w.same("delivery", got, d)
			w.same("tries", tries, []ringback.Try(nil))
			c := w.content(want.ID)
			w.same("Answer", string(c.Answer), "hello")
			w.same("Webhook", c.Webhook, &d)
			w.crash()
		}
	})

	s.promise("an end without a wanted webhook has none", func(w *world) {
		running := w.running(at(0))
		w.settle(running, completed(at(1), "hello"))
		w.noDelivery(running.ID)
		w.same("Webhook", w.content(running.ID).Webhook, (*store.Delivery)(nil))
		w.same("ContentUntil", w.read(running.ID).ContentUntil, at(1+day))
	})

	s.promise("a failed job keeps its error, and its content as a dead letter's", func(w *world) {
		running := w.running(at(0))
		o := failed(at(3))
		want := running
		want.Status, want.Node, want.EndedAt = ringback.Failed, "", at(3)
		want.Error, want.ErrorDetail = o.Error, o.ErrorDetail
		want.DurationMS, want.Attempts = 3000, 1
		want.ContentUntil = at(3).Add(retention.DeadLetters)
		w.same("Settle", w.settle(running, o), want)
		w.same("Job", w.read(want.ID), want)
		w.same("Attempts", w.ledger(want.ID), []ringback.Attempt{entry(running, o)})
	})

	s.promise("decide is shown the row as it stands in the transaction", func(w *world) {
		running := w.running(at(0))
		_, err := w.Store().Cancel(w.ctx(), project, running.ID, cancelled(at(1)))
		w.ok(err)
		var seen store.Job
		_, err = w.Store().Settle(w.ctx(), running.Ref(), func(j store.Job) store.Outcome {
			seen = j
			return cancelled(at(2))(j)
		})
		w.ok(err)
		running.CancelRequested = true
		w.same("decide's row", seen, running)
	})

	s.promise("a delivery may be claimed on insert, to be sent by whoever settled", func(w *world) {
		running := w.running(at(0))
		o := notified(running, at(1))
		o.Delivery.Node = w.node
		w.settle(running, o)
		d, _ := w.delivery(running.ID)
		w.same("InFlight", d.InFlight, true)
		w.same("Node", d.Node, w.node)
		w.same("Fence", d.Fence, int64(1))
		w.same("ClaimDeliveries", w.claimDeliveries(at(2), 1), []store.Delivery(nil))
		w.same("status after its try", w.settleDelivery(d, delivered(at(2))).Status, ringback.DeliveryDelivered)
	})

	exerciseBadDecide(s)
}

// entry returns the ledger's row of an attempt that ended, as it must read.
func entry(running store.Job, o store.Outcome) ringback.Attempt {
	a := *o.Attempt
	a.Number, a.Node, a.Provider, a.Model = running.Fence, running.Node, running.Provider, running.Model
	a.StartedAt = ringback.Time{Time: running.StartedAt}
	return a
}

// deliveryOf returns the row of a new delivery.
func deliveryOf(j store.Job, n *store.NewDelivery) store.Delivery {
	return store.Delivery{
		ID: n.ID, JobID: j.ID, Project: j.Project, Host: n.Host, URL: n.URL, Event: n.Event,
		Status: ringback.DeliveryPending, MadeAt: n.MadeAt, NextAt: n.MadeAt, Form: n.Form,
	}
}

func exerciseBadDecide(s suite) {
	s.promise("an invalid outcome changes nothing", func(w *world) {
		running := w.running(at(0))
		if _, err := w.Store().Settle(w.ctx(), running.Ref(), always(store.Outcome{})); err == nil {
			w.Errorf("Settle with the zero Outcome: got no error")
		}
		w.same("Job", w.read(running.ID), running)
		w.settle(running, completed(at(1), "hello"))
	})

	s.promise("an invalid outcome of a waiting job changes nothing", func(w *world) {
		waiting := w.submitNew(at(0), expiresAt(at(60)))
		if _, err := w.Store().Cancel(w.ctx(), project, waiting.ID, always(store.Outcome{})); err == nil {
			w.Errorf("Cancel with the zero Outcome: got no error")
		}
		if _, err := w.Store().Expire(w.ctx(), at(60), 10, always(store.Outcome{})); err == nil {
			w.Errorf("Expire with the zero Outcome: got no error")
		}
		w.same("Job", w.read(waiting.ID), waiting)
		w.same("Waiting", w.waiting().Jobs, 1)
	})

	s.promise("a decide that panics costs only its own move", func(w *world) {
		running := w.running(at(0))
		func() {
			defer func() { _ = recover() }() // an error or a panic: both belong to the caller
			_, err := w.Store().Settle(w.ctx(), running.Ref(), func(store.Job) store.Outcome { panic("a bug above") })
			if err == nil {
				w.Errorf("Settle with a decide that panics: got no error")
			}
		}()
		w.same("Job", w.read(running.ID), running)
		w.settle(running, completed(at(1), "hello"))
	})

	s.promise("a webhook whose id is taken fails its own move alone", func(w *world) {
		first := w.delivering(at(0))
		second := w.running(at(1))
		o := notified(second, at(2))
		o.Delivery.ID = deliveryID(first.ID, ringback.EventCompleted)
		if _, err := w.Store().Settle(w.ctx(), second.Ref(), always(o)); err == nil {
			w.Errorf("Settle with another job's delivery id: got no error")
		}
		w.same("Job", w.read(second.ID), second)
		w.same("Attempts", w.ledger(second.ID)[0].Outcome, ringback.AttemptOutcome(""))
		w.settle(second, notified(second, at(2)))
	})
}

func exerciseWaits(s suite) {
	s.promise("a retry waits under the next fence, and counts", func(w *world) {
		running := w.running(at(0))
		want := waitingAgain(running, at(9))
		want.DurationMS, want.Failures, want.Attempts = 2000, 1, 1
		o := retried(at(2), at(9))
		w.same("Settle", w.settle(running, o), want)
		w.same("Job", w.read(want.ID), want)
		w.same("Attempts", w.ledger(want.ID), []ringback.Attempt{entry(running, o)})
		w.noDelivery(want.ID)
	})

	s.promise("numbers of attempts grow, with gaps, and none comes back", func(w *world) {
		j := w.submitNew(at(0))
		for i := range 3 {
			w.settle(w.claimOne(at(10*i)), retried(at(10*i+1), at(10*i+2)))
		}
		w.claimOne(at(100))
		var numbers []int64
		for _, a := range w.ledger(j.ID) {
			numbers = append(numbers, a.Number)
		}
		w.same("numbers", numbers, []int64{1, 3, 5, 7})
	})

	s.promise("an uncertain attempt counts as one and as uncertain, not as a failure", func(w *world) {
		running := w.running(at(0))
		want := waitingAgain(running, at(2))
		want.DurationMS, want.Attempts, want.Uncertain = 2000, 1, 1
		w.same("Settle", w.settle(running, uncertain(at(2))), want)
	})

	s.promise("an attempt that sent nothing costs nothing", func(w *world) {
		running := w.running(at(0))
		want := waitingAgain(running, at(2))
		want.DurationMS = 2000
		w.same("Settle", w.settle(running, released(at(2))), want)
	})

	exerciseRefusals(s)
	exerciseFallbacks(s)
	exercisePartials(s)
}

// waitingAgain returns a job after an attempt that sent it back.
func waitingAgain(running store.Job, runAt time.Time) store.Job {
	running.Status, running.Node, running.RunAt = ringback.Queued, "", runAt
	running.Fence++
	return running
}

func exerciseRefusals(s suite) {
	s.promise("a refusal costs nothing, and max_wait counts from the first one", func(w *world) {
		running := w.running(at(0))
		want := waitingAgain(running, at(20))
		want.DurationMS = 5000
		want.FirstRefusedAt, want.EndBy = at(5), at(5+3600)
		w.same("first refusal", w.settle(running, refused(at(5), at(20))), want)

		want = waitingAgain(w.claimOne(at(21)), at(60))
		want.DurationMS = 1000
		w.same("second refusal", w.settle(store.Job{ID: want.ID, Fence: want.Fence - 1}, refused(at(22), at(60))), want)
		w.same("Job", w.read(want.ID), want)
	})

	s.promise("a refusal never puts off expires_at", func(w *world) {
		running := w.running(at(0), expiresAt(at(60)))
		w.same("EndBy", w.settle(running, refused(at(5), at(20))).EndBy, at(60))
	})

	s.promise("a failure or a crash after a refusal leaves the end of max_wait", func(w *world) {
		w.settle(w.running(at(0)), refused(at(5), at(6)))
		w.settle(w.claimOne(at(7)), retried(at(8), at(9)))
		got := w.settle(w.claimOne(at(10)), uncertain(at(11)))
		w.same("FirstRefusedAt", got.FirstRefusedAt, at(5))
		w.same("EndBy", got.EndBy, at(5+3600))
	})
}

func exerciseFallbacks(s suite) {
	s.promise("the next model takes the job to its lane, and failures begin anew", func(w *world) {
		running := w.running(at(0), func(j *store.Job) { j.Fallbacks = []string{"sim/slow", "sim/last"} })
		w.settle(running, retried(at(1), at(2)))
		running = w.claimOne(at(3))
		o := retried(at(4), at(5))
		o.NextModel, o.NextProvider = "sim/slow", "sim"
		want := waitingAgain(running, at(5))
		want.DurationMS, want.Attempts, want.Failures = 1000, 2, 0
		want.Model, want.Fallbacks = "sim/slow", []string{"sim/last"}
		w.same("Settle", w.settle(running, o), want)
		w.same("Claim of the old lane", w.claim(at(6), lane, 1), []store.Job(nil))
		w.same("Claim of the new lane", ids(w.claim(at(6), slowLane, 1)), []uuid.UUID{want.ID})
		attempts := w.ledger(want.ID)
		w.same("models in the ledger", []string{attempts[0].Model, attempts[1].Model, attempts[2].Model}, []string{"sim/echo", "sim/echo", "sim/slow"})
	})

	s.promise("the next model may be another provider's, and those in front of it are passed over", func(w *world) {
		running := w.running(at(0), func(j *store.Job) { j.Fallbacks = []string{"unknown", "b", "c"} })
		o := retried(at(1), at(2))
		o.NextModel, o.NextProvider = "b", "second"
		got := w.settle(running, o)
		w.same("where it waits", got.Lane(), store.Lane{Project: project, Provider: "second", Model: "b"})
		w.same("Fallbacks", got.Fallbacks, []string{"c"})
		w.same("Claim", ids(w.claim(at(3), got.Lane(), 1)), []uuid.UUID{got.ID})
		w.crash()
		w.same("who is asked now", w.ledger(got.ID)[1].Provider, "second")
	})

	s.promise("each model has a max_wait of its own", func(w *world) {
		running := w.running(at(0), func(j *store.Job) { j.Fallbacks = []string{"sim/slow"} })
		w.settle(running, refused(at(1), at(2)))
		o := retried(at(4), at(5))
		o.NextModel, o.NextProvider = "sim/slow", "sim"
		got := w.settle(w.claimOne(at(3)), o)
		w.same("FirstRefusedAt", got.FirstRefusedAt, time.Time{})
		w.same("EndBy", got.EndBy, got.ExpiresAt)
		got = w.settle(w.claim(at(6), slowLane, 1)[0], refused(at(7), at(8)))
		w.same("FirstRefusedAt of the next model", got.FirstRefusedAt, at(7))
		w.same("EndBy of the next model", got.EndBy, at(7+3600))
	})
}

func exercisePartials(s suite) {
	partial := func(o store.Outcome, text string) store.Outcome {
		o.Partial = store.Pack([]byte(text))
		return o
	}

	s.promise("the last partial that is not empty is kept", func(w *world) {
		running := w.running(at(0))
		w.settle(running, partial(retried(at(1), at(1)), "A web"))
		w.same("after the first", string(w.content(running.ID).Partial), "A web")
		w.settle(w.claimOne(at(2)), partial(retried(at(3), at(3)), "A webhook is"))
		w.same("after the second", string(w.content(running.ID).Partial), "A webhook is")
		w.settle(w.claimOne(at(4)), retried(at(5), at(5)))
		w.same("after one without", string(w.content(running.ID).Partial), "A webhook is")
		w.settle(w.claimOne(at(6)), failed(at(7)))
		w.same("after the end", string(w.content(running.ID).Partial), "A webhook is")
	})

	s.promise("whoever decides is shown the last partial answer", func(w *world) {
		var shown []string
		look := func(decide store.Decide) store.Decide {
			return func(j store.Job) store.Outcome {
				text, _ := j.Partial.Open()
				shown = append(shown, string(text))
				return decide(j)
			}
		}
		settle := func(j store.Job, o store.Outcome) {
			_, err := w.Store().Settle(w.ctx(), j.Ref(), look(always(o)))
			w.ok(err)
		}
		settle(w.running(at(0)), partial(retried(at(1), at(1)), "A web"))
		settle(w.claimOne(at(2)), partial(retried(at(3), at(3)), "A webhook"))
		w.release(w.claimOne(at(4)), look(freed(at(5))))
		again := w.claimOne(at(6))
		w.same("Partial of a row that is read", again.Partial, store.Blob{})
		settle(again, retried(at(7), at(7)))
		w.cancel(again.ID, look(cancelled(at(8))))
		w.same("shown", shown, []string{"", "A web", "A webhook", "A webhook", "A webhook"})
	})

	s.promise("an end may bring a partial of its own", func(w *world) {
		running := w.running(at(0))
		w.settle(running, partial(cancelled(at(1))(running), "A web"))
		w.same("Partial", string(w.content(running.ID).Partial), "A web")
	})
}

func exerciseFences(s suite) {
	s.promise("settled before with the same ref is success, and stores one delivery", func(w *world) {
		running := w.running(at(0))
		ended := w.settle(running, notified(running, at(1)))
		again := notified(running, at(1))
		again.Answer, again.Delivery.Body = store.Pack([]byte("another")), store.Pack([]byte("another"))
		w.same("Settle again", w.settle(running, again), ended)
		w.same("Job", w.read(running.ID), ended)
		w.same("Answer", string(w.content(running.ID).Answer), "hello")
		w.same("ledger's length", len(w.ledger(running.ID)), 1)
		w.delivery(running.ID)
	})

	s.promise("a retry that is settled again is success, and counts once", func(w *world) {
		running := w.running(at(0))
		sentBack := w.settle(running, retried(at(1), at(2)))
		w.same("Settle again", w.settle(running, retried(at(1), at(2))), sentBack)
		claimed := w.claimOne(at(3))
		w.same("Settle once more", w.settle(running, retried(at(1), at(2))), claimed)
		w.same("Job", w.read(running.ID), claimed)
	})

	s.promise("a job that waits cannot be settled", func(w *world) {
		waiting := w.submitNew(at(0))
		w.settleFenced(waiting, completed(at(1), "hello"))
		waiting.Fence++
		w.settleFenced(waiting, completed(at(1), "hello"))
		waiting.Fence--
		w.same("Job", w.read(waiting.ID), waiting)
	})

	s.promise("a settled job cannot be settled under another fence", func(w *world) {
		running := w.running(at(0))
		ended := w.settle(running, completed(at(1), "hello"))
		for _, fence := range []int64{0, 2, 3} {
			running.Fence = fence
			w.settleFenced(running, completed(at(2), "another"))
		}
		w.same("Job", w.read(running.ID), ended)
	})

	s.promise("an unknown job cannot be settled", func(w *world) {
		w.settleFenced(w.newJob(at(0), claimedOn(w.node)).Job, completed(at(1), "hello"))
	})

	s.promise("a job that ended while it waited cannot be settled by a former owner", func(w *world) {
		running := w.running(at(0))
		w.release(running, freed(at(1)))
		cancelledJob, err := w.Store().Cancel(w.ctx(), project, running.ID, cancelled(at(2)))
		w.ok(err)
		w.settleFenced(running, completed(at(3), "late"))
		w.same("Job", w.read(running.ID), cancelledJob)
	})
}
