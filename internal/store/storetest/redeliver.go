package storetest

import (
	"crypto/sha256"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
)

func exerciseForms(s suite) {
	s.promise("a smaller form is sent at once, at the same place of the schedule, and stored with the try", func(w *world) {
		j := w.delivering(at(0), inForm(ringback.WebhookFull))
		w.settleDelivery(w.claimDelivery(at(1)), tooLarge(at(1), ringback.WebhookResult))
		w.crash()
		d := w.claimDelivery(at(1))
		w.same("Form", d.Form, ringback.WebhookResult)
		w.same("Tries", d.Tries, 0)
		w.settleDelivery(d, tryAgain(at(2), at(7)))
		d, tries := w.delivery(j.ID)
		w.same("Form behind a failure", d.Form, ringback.WebhookResult)
		w.same("Tries", d.Tries, 1)
		w.same("the form of the first try", tries[0].WebhookBody, ringback.WebhookFull)
		w.same("the form of the second try", tries[1].WebhookBody, ringback.WebhookResult)
	})

	s.promise("a redelivery that is too large is sent smaller, and stays a redelivery", func(w *world) {
		j := w.delivering(at(0), inForm(ringback.WebhookFull))
		w.settleDelivery(w.claimDelivery(at(1)), tryAgain(at(1), at(100)))
		w.redeliver(deliveryID(j.ID, ringback.EventCompleted), at(2))
		d := w.settleDelivery(w.claimDelivery(at(2)), tooLarge(at(3), ringback.WebhookThin))
		w.same("NextAt", d.NextAt, at(100))
		d = w.claimDelivery(at(3))
		w.same("Manual", d.Manual, true)
		d = w.settleDelivery(d, tryAgain(at(4), at(200)))
		w.same("NextAt", d.NextAt, at(100))
		w.same("Form", d.Form, ringback.WebhookThin)
	})

	s.promise("a try that dies with its process was of its form", func(w *world) {
		j := w.delivering(at(0), inForm(ringback.WebhookThin))
		w.releaseDelivery(w.claimDelivery(at(1)), at(2))
		_, tries := w.delivery(j.ID)
		w.same("form", tries[0].WebhookBody, ringback.WebhookThin)
	})
}

// inForm makes the webhook in a form.
func inForm(form ringback.WebhookBody) func(*store.Job) {
	return func(j *store.Job) { j.Options.WebhookBody = form }
}

func tooLarge(t time.Time, smaller ringback.WebhookBody) store.TryEnd {
	e := store.TryEnd{At: t, Try: try(t, 413), Status: ringback.DeliveryPending, NextAt: t, Smaller: smaller}
	e.Try.Error = "status"
	return e
}

func exerciseRedelivery(s suite) {
	s.promise("a redelivery may be of another form, and of larger bytes", func(w *world) {
		j := w.delivering(at(0), inForm(ringback.WebhookThin))
		id := deliveryID(j.ID, ringback.EventCompleted)
		w.settleDelivery(w.claimDelivery(at(1)), dead(at(1)))
		w.ok(w.Store().Redeliver(w.ctx(), project, id, store.Redelivery{Now: at(2), Form: ringback.WebhookFull, Body: store.Pack([]byte("larger"))}))
		w.crash()
		p, err := w.Store().Payload(w.ctx(), id)
		w.ok(err)
		w.same("Body", string(p.Body), "larger")
		w.same("Form", w.claimDelivery(at(2)).Form, ringback.WebhookFull)
	})

	s.promise("the newest redelivery for each host is listed, and claimed by its id", func(w *world) {
		const there = "https://there.example:443"
		a, b, other, c := w.delivering(at(0)), w.delivering(at(0)), w.delivering(at(0)), w.delivering(at(0), to(there))
		for _, d := range w.claimHosts(at(1), store.HostWant{Host: store.Host{Project: project, Host: host}, N: 9}, store.HostWant{Host: store.Host{Project: project, Host: there}, N: 9}) {
			w.settleDelivery(d, tryAgain(at(1), at(50)))
		}
		idOf := func(j store.Job) uuid.UUID { return deliveryID(j.ID, ringback.EventCompleted) }
		w.redeliver(idOf(b), at(3))
		w.redeliver(idOf(c), at(2))
		w.redeliver(idOf(a), at(4))
		w.crash()
		due := func(now time.Time, limit int) map[store.Host]store.DueRedelivery {
			all, err := w.Store().Redeliveries(w.ctx(), now, limit)
			w.ok(err)
			by := map[store.Host]store.DueRedelivery{}
			for _, r := range all {
				by[r.Host] = r
			}
			w.same("one for each host", len(by), len(all))
			return by
		}
		here, elsewhere := store.Host{Project: project, Host: host}, store.Host{Project: project, Host: there}
		w.same("Redeliveries", due(at(5), 10), map[store.Host]store.DueRedelivery{
			here: {ID: idOf(a), Host: here, At: at(4)}, elsewhere: {ID: idOf(c), Host: elsewhere, At: at(2)},
		})
		w.same("before the newest", due(at(3), 10)[here].ID, idOf(b))
		w.same("of the newest two", len(due(at(5), 2)), 1)

		claim := store.ClaimHosts{Node: w.node, Now: at(5), Redeliveries: []uuid.UUID{idOf(a), idOf(other), w.newID(at(0))}}
		got, err := w.Store().ClaimDeliveries(w.ctx(), claim)
		w.ok(err)
		w.same("claimed", deliveryIDs(got), []uuid.UUID{idOf(a)})
		w.same("Manual", got[0].Manual, true)
		got, err = w.Store().ClaimDeliveries(w.ctx(), claim)
		w.ok(err)
		w.same("claimed again", len(got), 0)
		w.same("what waits", w.waiting().Deliveries, 3)
	})
}

func exerciseAddDelivery(s suite) {
	s.promise("an answer is sent to one more place, with tries of its own", func(w *world) {
		const there = "https://there.example:443"
		j := w.delivering(at(0), func(j *store.Job) { j.Options.CallbackHeaders = map[string]string{"Authorization": "secret"} })
		w.settleDelivery(w.claimDelivery(at(1)), dead(at(1)))
		added := elsewhere(j, there, at(5))
		w.ok(w.Store().AddDelivery(w.ctx(), project, j.ID, added))
		w.ok(w.Store().AddDelivery(w.ctx(), project, j.ID, added)) // it already exists
		w.crash()
		w.same("what waits", w.waiting().Deliveries, 1)
		due, err := w.Store().Redeliveries(w.ctx(), at(5), 10)
		w.ok(err)
		w.same("Redeliveries", len(due), 1)
		p, err := w.Store().Payload(w.ctx(), added.ID)
		w.ok(err)
		w.same("Body", string(p.Body), "elsewhere")
		w.same("headers that are for another host", p.Header, map[string]string(nil))
		got := w.claimHosts(at(5), store.HostWant{Host: store.Host{Project: project, Host: there}, N: 9})
		w.same("claimed", deliveryIDs(got), []uuid.UUID{added.ID})
		first := w.settleDelivery(got[0], tryAgain(at(6), at(60)))
		w.same("NextAt", first.NextAt, added.NextAt)
		w.same("Tries", first.Tries, 0)
		got = w.claimHosts(at(10), store.HostWant{Host: store.Host{Project: project, Host: there}, N: 9})
		w.settleDelivery(got[0], dead(at(11)))
		ds, tries, err := w.Store().JobDeliveries(w.ctx(), project, j.ID)
		w.ok(err)
		w.same("deliveries", deliveryIDs(ds), []uuid.UUID{deliveryID(j.ID, ringback.EventCompleted), added.ID})
		w.same("tries", []int{len(tries[0]), len(tries[1])}, []int{1, 2})
		dead, err := w.Store().DeadLetters(w.ctx())
		w.ok(err)
		w.same("dead letters", dead.Deliveries, 2)
		w.ok(w.Store().Reconcile(w.ctx()))
	})

	s.promise("what was added keeps the job's content, and is erased with it", func(w *world) {
		j := w.running(at(0))
		j = w.settle(j, completed(at(1), "hello"))
		added := elsewhere(j, "https://there.example:443", at(2))
		w.ok(w.Store().AddDelivery(w.ctx(), project, j.ID, added))
		_, err := w.Store().Prune(w.ctx(), at(100*day), 10)
		w.ok(err)
		_, err = w.Store().Payload(w.ctx(), added.ID)
		w.ok(err)
		w.ok(w.Store().Erase(w.ctx(), project, j.ID, at(3)))
		_, err = w.Store().Payload(w.ctx(), added.ID)
		w.fails(err, store.ErrGone)
		w.same("what waits", w.waiting().Deliveries, 0)
		w.ok(w.Store().Reconcile(w.ctx()))
		w.fails(w.Store().AddDelivery(w.ctx(), project, j.ID, elsewhere(j, "https://late.example:443", at(4))), store.ErrGone)
	})

	s.promise("only a job of the project that has ended is sent elsewhere", func(w *world) {
		j := w.running(at(0))
		added := elsewhere(j, "https://there.example:443", at(1))
		w.fails(w.Store().AddDelivery(w.ctx(), project, j.ID, added), store.ErrLive)
		w.fails(w.Store().AddDelivery(w.ctx(), "other", j.ID, added), store.ErrNotFound)
		w.fails(w.Store().AddDelivery(w.ctx(), project, w.newID(at(0)), added), store.ErrNotFound)
	})
}

// elsewhere returns a delivery of a job's end to another host, due at once, and a second
// later by its schedule.
func elsewhere(j store.Job, host string, t time.Time) store.NewDelivery {
	sum := sha256.Sum256(append(j.ID[:], host...))
	copy(sum[:8], j.ID[:8])
	return store.NewDelivery{
		ID: uuid.UUID(sum[:16]), Event: ringback.EventCompleted, URL: host + "/hook", Host: host,
		Body: store.Pack([]byte("elsewhere")), Form: ringback.WebhookFull, MadeAt: t, NextAt: t.Add(time.Second),
	}
}
