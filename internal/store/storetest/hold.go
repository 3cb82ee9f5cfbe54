package storetest

import "github.com/ringback/ringback/internal/store"

// holds checks that these are stored, before and after a crash.
func (w *world) holds(want ...store.Hold) {
	w.Helper()
	for range 2 {
		got, err := w.Store().Holds(w.ctx())
		w.ok(err)
		w.same("Holds", got, want)
		w.crash()
	}
}

func exerciseHolds(s suite) {
	s.promise("holds of models and keys survive a crash", func(w *world) {
		w.holds()
		model := store.Hold{Target: store.Target{Provider: "sim", Model: "sim/429"}, Until: at(60), Reason: "provider_refused"}
		key := store.Hold{Target: store.Target{Provider: "sim"}, Until: at(30), Reason: "provider_refused_key", Key: "a hash", Cause: `{"model":"sim/echo"}`}
		w.ok(w.Store().PutHold(w.ctx(), model))
		w.ok(w.Store().PutHold(w.ctx(), key))
		w.holds(key, model)
	})

	s.promise("of one target there is one hold, the last", func(w *world) {
		h := store.Hold{Target: store.Target{Provider: "sim", Model: "sim/429"}, Until: at(60), Reason: "provider_refused"}
		w.ok(w.Store().PutHold(w.ctx(), h))
		h.Until, h.Reason, h.Cause = at(90), "provider_failing", `{"model":"sim/429"}`
		w.ok(w.Store().PutHold(w.ctx(), h))
		w.holds(h)
	})

	s.promise("a hold that is dropped is gone; to drop none is success", func(w *world) {
		target := store.Target{Provider: "sim", Model: "sim/429"}
		w.ok(w.Store().PutHold(w.ctx(), store.Hold{Target: target, Until: at(60)}))
		w.ok(w.Store().DropHold(w.ctx(), store.Target{Provider: "sim"}))
		for range 2 {
			w.ok(w.Store().DropHold(w.ctx(), target))
		}
		w.holds()
	})
}
