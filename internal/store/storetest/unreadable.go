package storetest

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
)

// far is more than any column may have in reads of many rows.
var far = strings.Repeat("x", 256<<10)

// spoil is a value of a caller's column that makes a job unreadable.
type spoil struct{ name, column, value, fault string }

var spoils = []spoil{
	{"too large options", "options", `{"callback_url":"https://app.example/hook","events":["` + far + `"]}`, "its options are too large"},
	{"broken options", "options", `{"max_attempts":3,`, "its options are broken"},
	{"options of other types", "options", `{"max_attempts":"three"}`, "its options are broken"},
	{"missing options", "options", `{}`, "its options are missing"},
	{"too large metadata", "metadata", `{"order":"` + far + `"}`, "its metadata are too large"},
	{"broken metadata", "metadata", `{"order":`, "its metadata are broken"},
	{"too large fallback models", "fallbacks", `["` + far + `"]`, "its fallback models are too large"},
	{"broken fallback models", "fallbacks", `"sim/echo"`, "its fallback models are broken"},
}

// unread ends an unreadable job, running or not, and counts it.
func unread(t time.Time, faults map[uuid.UUID]string) store.Decide {
	return func(j store.Job) store.Outcome {
		faults[j.ID] = j.Unreadable
		o := failed(t)
		if o.Delivery = nil; j.Status != ringback.Running {
			o.Attempt = nil
		}
		return o
	}
}

func exerciseUnreadable(s suite) {
	for _, c := range spoils {
		s.promise("a waiting job with "+c.name+" is listed, claimed and ended beside others", func(w *world) {
			bad, good := w.submitNew(at(0)), w.submitNew(at(1))
			w.Plant("jobs", c.column, bad.ID, c.value)
			w.crash()
			listed, _, err := w.Store().List(w.ctx(), store.Query{Project: project, Limit: 10})
			w.ok(err)
			w.same("List", ids(listed), []uuid.UUID{good.ID, bad.ID})
			w.same("Unreadable", []string{listed[0].Unreadable, listed[1].Unreadable}, []string{"", c.fault})
			claimed := w.claim(at(2), lane, 10)
			w.same("Claim", ids(claimed), []uuid.UUID{bad.ID, good.ID})
			w.same("Unreadable", []string{claimed[0].Unreadable, claimed[1].Unreadable}, []string{c.fault, ""})
			w.settle(claimed[0], failed(at(3)))
			w.settle(claimed[1], completed(at(3), "hello"))
			w.staysUnreadable(bad.ID, c)
		})
		s.promise("a running job with "+c.name+" is swept beside others, and ends", func(w *world) {
			bad, good := w.running(at(0)), w.running(at(1))
			w.Plant("jobs", c.column, bad.ID, c.value)
			w.crash()
			faults := map[uuid.UUID]string{}
			_, err := w.Store().Sweep(w.ctx(), w.node, at(2), 10, unread(at(2), faults))
			w.ok(err)
			w.same("swept", faults, map[uuid.UUID]string{bad.ID: c.fault, good.ID: ""})
			w.staysUnreadable(bad.ID, c)
		})
		s.promise("a job with "+c.name+" expires beside others, and its row is deleted at its time", func(w *world) {
			bad, good := w.submitNew(at(0), expiresAt(at(5))), w.submitNew(at(1), expiresAt(at(5)))
			w.Plant("jobs", c.column, bad.ID, c.value)
			faults := map[uuid.UUID]string{}
			_, err := w.Store().Expire(w.ctx(), at(6), 10, unread(at(6), faults))
			w.ok(err)
			w.same("expired", faults, map[uuid.UUID]string{bad.ID: c.fault, good.ID: ""})
			w.ok(w.Store().Erase(w.ctx(), project, bad.ID, at(7)))
			for _, now := range []time.Time{at(30 * day), at(80 * day)} {
				_, err := w.Store().Prune(w.ctx(), now, 10)
				w.ok(err)
			}
			_, _, err = w.Store().Job(w.ctx(), project, bad.ID, 0)
			w.fails(err, store.ErrNotFound)
		})
	}
	s.promise("what a provider said at too great length, or in no JSON, is left out of what is read", exerciseSayings)
	s.promise("a webhook whose job has unreadable options is claimed and sent, without its headers", func(w *world) {
		j := w.delivering(at(0))
		w.Plant("jobs", "options", j.ID, `{"callback_headers":{"X-Tenant":"`+far+`"}}`)
		d := w.claimDelivery(at(1))
		p, err := w.Store().Payload(w.ctx(), d.ID)
		w.ok(err)
		w.same("Payload.Body", string(p.Body), string(webhookOf(j, ringback.Completed, at(0))))
		w.same("Payload.Header", p.Header, map[string]string(nil))
		w.Plant("deliveries", "url", d.ID, far)
		d, _ = w.delivery(j.ID)
		w.same("a too large URL", d.URL, "")
	})
}

// staysUnreadable checks that all readers find a job that was ended, and distinguish it
// from one that can be replayed.
func (w *world) staysUnreadable(id uuid.UUID, c spoil) {
	w.Helper()
	j := w.read(id)
	w.same("Status", j.Status, ringback.Failed)
	if j.Unreadable == "" && c.column != "fallbacks" { // the options contain them all
		w.Errorf("the job has become readable: %+v", j)
	}
	w.same("is the metadata JSON", json.Valid(j.Metadata), true)
	found, _, err := w.Store().DeadJobs(w.ctx(), store.DeadQuery{Project: project, Limit: 10, Filter: ringback.DeadFilter{Code: ringback.CodeProviderRejected}})
	w.ok(err)
	if len(found) == 0 || found[len(found)-1].ID != id {
		w.Errorf("DeadJobs: got %v, want %s at last", ids(found), id)
	}
}

func exerciseSayings(w *world) {
	j := w.delivering(at(0))
	dead := w.running(at(1))
	w.settle(dead, failed(at(2)))
	d := w.claimDelivery(at(3))
	w.settleDelivery(d, store.TryEnd{At: at(4), Status: ringback.DeliveryPending, NextAt: at(9),
		Try: ringback.Try{At: ringback.Time{Time: at(4)}, StatusCode: 500, Error: "status", Response: "no"}})
	for _, value := range []string{`{"input_tokens":3,"x":"` + far + `"}`, `{"input_tokens":`} {
		for _, column := range []string{"usage", "answer_model", "error", "error_detail"} {
			w.Plant("jobs", column, j.ID, value)
			w.Plant("jobs", column, dead.ID, value)
		}
		for _, column := range []string{"usage", "error", "provider_request_id"} {
			w.Plant("attempts", column, j.ID, value)
		}
		w.Plant("tries", "response", d.ID, value)
		found, _, err := w.Store().List(w.ctx(), store.Query{Project: project, Limit: 10})
		w.ok(err)
		w.same("List", ids(found), []uuid.UUID{dead.ID, j.ID})
		for _, f := range found {
			w.same("usage, detail and fault", []any{f.Usage, f.ErrorDetail, f.Unreadable}, []any{json.RawMessage(nil), (*ringback.ErrorDetail)(nil), ""})
			if most := 16 << 10; len(f.AnswerModel) > most || len(f.Error) > most {
				w.Errorf("the model has %d bytes, the error %d", len(f.AnswerModel), len(f.Error))
			}
		}
		_, _, err = w.Store().DeadJobs(w.ctx(), store.DeadQuery{Project: project, Limit: 10, Filter: ringback.DeadFilter{Code: ringback.CodeInternal}})
		w.ok(err)
		for _, a := range w.ledger(j.ID) {
			w.same("usage of an attempt", a.Usage, json.RawMessage(nil))
			if most := 16 << 10; len(a.Error) > most || len(a.ProviderRequestID) > most {
				w.Errorf("the attempt's error has %d bytes, its request id %d", len(a.Error), len(a.ProviderRequestID))
			}
		}
		_, tries := w.delivery(j.ID)
		if len(tries[0].Response) > len(value) || len(value) > 1<<10 && tries[0].Response != "" {
			w.Errorf("the try's response has %d bytes", len(tries[0].Response))
		}
	}
	w.ok(w.Store().Erase(w.ctx(), project, dead.ID, at(10)))
}
