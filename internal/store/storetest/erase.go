package storetest

import (
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
)

func (w *world) erase(id uuid.UUID, now time.Time) {
	w.Helper()
	w.ok(w.Store().Erase(w.ctx(), project, id, now))
}

func exerciseErase(s suite) {
	s.promise("an erased job is a row without content, as after its time", func(w *world) {
		j := w.delivering(at(0), withKey("key", "hash"))
		w.settleDelivery(w.claimDelivery(at(1)), delivered(at(2)))
		w.erase(j.ID, at(10))
		w.crash()
		c, err := w.Store().Content(w.ctx(), j.ID, allParts&^store.PartWebhook)
		w.ok(err)
		w.same("Content", c, store.Content{})
		gone := w.gone(j.ID)
		w.same("what remains", remains(gone), remains(j))
		w.same("RowUntil", gone.RowUntil, at(10).Add(retention.Rows))
		w.same("what the provider said", w.ledger(j.ID)[0].Error, "")
		d, tries := w.delivery(j.ID)
		w.same("what is left of the webhook", []any{d.Status, d.URL, d.Host, d.Gone, tries[0].Response}, []any{ringback.DeliveryDelivered, "", "", true, ""})
		w.fails(w.Store().Redeliver(w.ctx(), project, d.ID, store.Redelivery{Now: at(11)}), store.ErrGone)
		w.erase(j.ID, at(20)) // once more is success
		w.same("RowUntil", w.gone(j.ID).RowUntil, gone.RowUntil)
	})

	s.promise("an unsent webhook dies as erased", func(w *world) {
		j := w.delivering(at(0))
		w.erase(j.ID, at(10))
		d, _ := w.delivery(j.ID)
		w.same("delivery", []any{d.Status, d.Reason, d.EndedAt}, []any{ringback.DeliveryDead, ringback.DeadErased, at(10)})
		w.same("ClaimDeliveries", w.claimDeliveries(at(day), 1), []store.Delivery(nil))
		w.waits(store.Waiting{})
	})

	s.promise("a try in flight is fenced off, and nothing of it is stored", func(w *world) {
		j := w.delivering(at(0))
		inFlight := w.claimDelivery(at(1))
		w.erase(j.ID, at(2))
		_, err := w.Store().SettleDelivery(w.ctx(), inFlight.Ref(), delivered(at(3)))
		w.fails(err, store.ErrFenced)
		d, tries := w.delivery(j.ID)
		w.same("delivery", []any{d.Status, d.Reason, d.InFlight, d.Node, len(tries)}, []any{ringback.DeliveryDead, ringback.DeadErased, false, "", 0})
		w.waits(store.Waiting{})
	})

	s.promise("a redelivery that is due goes with the content; delivered stays delivered", func(w *world) {
		j := w.delivering(at(0))
		d := w.settleDelivery(w.claimDelivery(at(1)), delivered(at(2)))
		w.redeliver(d.ID, at(3))
		w.erase(j.ID, at(4))
		got, _ := w.delivery(j.ID)
		w.same("Status", got.Status, ringback.DeliveryDelivered)
		w.waits(store.Waiting{})
	})

	s.promise("a job that has not ended cannot be erased, nor that of another project", func(w *world) {
		w.fails(w.Store().Erase(w.ctx(), project, w.submitNew(at(0)).ID, at(1)), store.ErrLive)
		w.fails(w.Store().Erase(w.ctx(), project, w.running(at(0)).ID, at(1)), store.ErrLive)
		w.fails(w.Store().Erase(w.ctx(), project, w.newID(at(0)), at(1)), store.ErrNotFound)
		ended := w.settle(w.running(at(0)), completed(at(1), "hello"))
		w.fails(w.Store().Erase(w.ctx(), "other", ended.ID, at(2)), store.ErrNotFound)
		w.same("Answer", string(w.content(ended.ID).Answer), "hello")
	})

	s.promise("of a dead delivery only the bytes are erased", func(w *world) {
		j := w.delivering(at(0))
		dead := w.settleDelivery(w.claimDelivery(at(1)), dead(at(2)))
		w.ok(w.Store().EraseDelivery(w.ctx(), project, dead.ID))
		_, err := w.Store().Payload(w.ctx(), dead.ID)
		w.fails(err, store.ErrGone)
		w.fails(w.Store().Redeliver(w.ctx(), project, dead.ID, store.Redelivery{Now: at(3)}), store.ErrGone)
		want := dead
		want.Gone = true
		got, _ := w.delivery(j.ID)
		w.same("delivery", got, want)
		w.same("Answer", string(w.content(j.ID).Answer), "hello")
		w.ok(w.Store().EraseDelivery(w.ctx(), project, dead.ID)) // once more is success
	})

	s.promise("a redelivery that is due goes with the bytes", func(w *world) {
		w.delivering(at(0))
		d := w.settleDelivery(w.claimDelivery(at(1)), dead(at(2)))
		w.redeliver(d.ID, at(3))
		w.ok(w.Store().EraseDelivery(w.ctx(), project, d.ID))
		w.same("ClaimDeliveries", w.claimDeliveries(at(4), 1), []store.Delivery(nil))
		w.waits(store.Waiting{})
		w.deadLetters(0, 0)
	})

	s.promise("a delivery that is not dead, or is being sent, keeps its bytes", func(w *world) {
		j := w.delivering(at(0))
		id := deliveryID(j.ID, ringback.EventCompleted)
		w.fails(w.Store().EraseDelivery(w.ctx(), project, id), store.ErrNotDead)
		d := w.claimDelivery(at(1))
		w.fails(w.Store().EraseDelivery(w.ctx(), project, id), store.ErrInFlight)
		w.settleDelivery(d, dead(at(2)))
		w.redeliver(id, at(3))
		w.fails(w.Store().EraseDelivery(w.ctx(), "other", id), store.ErrNotFound)
		w.fails(w.Store().EraseDelivery(w.ctx(), project, w.newID(at(0))), store.ErrNotFound)
		w.settleDelivery(w.claimDelivery(at(4)), delivered(at(5)))
		w.fails(w.Store().EraseDelivery(w.ctx(), project, id), store.ErrNotDead)
	})
}
