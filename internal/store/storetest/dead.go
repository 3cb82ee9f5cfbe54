package storetest

import (
	"encoding/json"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
)

// deadJobs lists dead jobs, page by page, and checks the count against the list.
func (w *world) deadJobs(f ringback.DeadFilter) []uuid.UUID {
	w.Helper()
	q := store.DeadQuery{Project: project, Filter: f, Limit: 2}
	var found []store.Job
	for {
		page, next, err := w.Store().DeadJobs(w.ctx(), q)
		w.ok(err)
		if found = append(found, page...); next == nil {
			break
		}
		q.Before = next
	}
	w.counts(f, len(found))
	return ids(found)
}

func (w *world) deadDeliveries(f ringback.DeadFilter) []uuid.UUID {
	w.Helper()
	f.Kind = ringback.DeadDelivery
	q := store.DeadQuery{Project: project, Filter: f, Hosts: hostsOf(f), Limit: 2}
	var found []store.Delivery
	for {
		page, tries, next, err := w.Store().DeadDeliveries(w.ctx(), q)
		w.ok(err)
		for i, d := range page {
			_, made := w.delivery(d.JobID)
			w.same("tries of a dead delivery", tries[i], made)
		}
		if found = append(found, page...); next == nil {
			break
		}
		q.Before = next
	}
	w.counts(f, len(found))
	return deliveryIDs(found)
}

func (w *world) counts(f ringback.DeadFilter, want int) {
	w.Helper()
	n, err := w.Store().CountDead(w.ctx(), store.DeadQuery{Project: project, Filter: f, Hosts: hostsOf(f), Limit: 1})
	w.ok(err)
	w.same("CountDead", n, want)
}

func hostsOf(f ringback.DeadFilter) []string {
	if f.Host == "" {
		return nil
	}
	return []string{f.Host}
}

// deadLetters checks these counters, before and after a crash.
func (w *world) deadLetters(jobs, deliveries int) {
	w.Helper()
	for range 2 {
		got, err := w.Store().DeadLetters(w.ctx())
		w.ok(err)
		w.same("DeadLetters", got, store.DeadLetters{Jobs: jobs, Deliveries: deliveries})
		w.ok(w.Store().Reconcile(w.ctx()))
		w.crash()
	}
}

func after(seconds int) *ringback.Time { return &ringback.Time{Time: at(seconds)} }

func exerciseDead(s suite) {
	s.promise("dead jobs are those that failed, newest first, of one project", func(w *world) {
		w.submitNew(at(0))
		w.running(at(0))
		w.settle(w.running(at(0)), completed(at(1), "hello"))
		w.cancel(w.submitNew(at(0)).ID, cancelled(at(1)))
		first, second, third := w.died(at(1)), w.died(at(2)), w.died(at(3))
		w.died(at(4), func(j *store.Job) { j.Project = "other" })
		w.same("DeadJobs", w.deadJobs(ringback.DeadFilter{}), []uuid.UUID{third.ID, second.ID, first.ID})
		w.deadLetters(4, 0)
	})

	s.promise("a dead job leaves the list when it is replayed, erased or over", func(w *world) {
		replayed, erased, over := w.died(at(0)), w.died(at(1)), w.died(at(2))
		w.deadLetters(3, 0)
		j := w.replay(replayed, at(10))
		w.erase(erased.ID, at(10))
		w.same("DeadJobs", w.deadJobs(ringback.DeadFilter{}), []uuid.UUID{over.ID})
		w.deadLetters(1, 0)
		w.prune(at(20 * day))
		w.same("DeadJobs afterwards", w.deadJobs(ringback.DeadFilter{}), []uuid.UUID(nil))
		w.deadLetters(0, 0)
		w.settle(w.claim(at(20*day), lane, 1)[0], failed(at(20*day)))
		w.same("when the replay died too", w.deadJobs(ringback.DeadFilter{}), []uuid.UUID{j.ID})
		w.deadLetters(1, 0)
	})

	s.promise("dead jobs are filtered by model, provider, code, metadata and time", func(w *world) {
		a := w.died(at(0), func(j *store.Job) { j.RequestedModel, j.Metadata = "a", json.RawMessage(`{"team":"blue","n":7}`) })
		b := w.died(at(10), in(store.Lane{Project: project, Provider: "second", Model: "b"}))
		slow := w.running(at(20))
		o := failed(at(99))
		o.ErrorDetail = &ringback.ErrorDetail{Code: ringback.CodeTimeout}
		w.settle(slow, o)
		for name, want := range map[string]struct {
			filter ringback.DeadFilter
			ids    []uuid.UUID
		}{
			"model":            {ringback.DeadFilter{Model: "a"}, []uuid.UUID{a.ID}},
			"provider":         {ringback.DeadFilter{Provider: "second"}, []uuid.UUID{b.ID}},
			"code":             {ringback.DeadFilter{Code: ringback.CodeTimeout}, []uuid.UUID{slow.ID}},
			"metadata":         {ringback.DeadFilter{Metadata: map[string]string{"team": "blue", "n": "7"}}, []uuid.UUID{a.ID}},
			"other metadata":   {ringback.DeadFilter{Metadata: map[string]string{"team": "red"}}, nil},
			"created after":    {ringback.DeadFilter{CreatedAfter: after(0)}, []uuid.UUID{slow.ID, b.ID}},
			"created before":   {ringback.DeadFilter{CreatedBefore: after(20)}, []uuid.UUID{b.ID, a.ID}},
			"ended after":      {ringback.DeadFilter{EndedAfter: after(10)}, []uuid.UUID{slow.ID}},
			"ended before":     {ringback.DeadFilter{EndedBefore: after(10)}, []uuid.UUID{a.ID}},
			"several together": {ringback.DeadFilter{Provider: lane.Provider, Code: ringback.CodeTimeout, Model: "a"}, nil},
		} {
			w.same(name, w.deadJobs(want.filter), want.ids)
		}
	})

	s.promise("a dead delivery is in the list until it is delivered, erased or over", func(w *world) {
		var ids []uuid.UUID
		for i := range 3 {
			w.delivering(at(i))
			ids = append(ids, w.settleDelivery(w.claimDelivery(at(5)), dead(at(6))).ID)
		}
		w.delivering(at(7))
		w.same("DeadDeliveries", w.deadDeliveries(ringback.DeadFilter{}), []uuid.UUID{ids[2], ids[1], ids[0]})
		w.deadLetters(0, 3)
		w.redeliver(ids[0], at(8))
		w.redeliver(ids[1], at(8))
		for _, d := range w.claimHosts(at(8), store.HostWant{Host: store.Host{Project: project, Host: host}, N: 9}) {
			end := tryAgain(at(9), at(99))
			if d.ID == ids[0] {
				end = delivered(at(9))
			}
			w.settleDelivery(d, end)
		}
		w.same("after one was delivered", w.deadDeliveries(ringback.DeadFilter{}), []uuid.UUID{ids[2], ids[1]})
		w.deadLetters(0, 2)
		w.ok(w.Store().EraseDelivery(w.ctx(), project, ids[2]))
		w.same("after one was erased", w.deadDeliveries(ringback.DeadFilter{}), []uuid.UUID{ids[1]})
		w.prune(at(20 * day))
		w.same("when its time is over", w.deadDeliveries(ringback.DeadFilter{}), []uuid.UUID(nil))
		w.deadLetters(0, 0)
	})

	s.promise("deliveries die for a reason", func(w *world) {
		w.delivering(at(0))
		end := dead(at(2))
		end.Reason = ringback.DeadTries
		w.same("out of tries", w.settleDelivery(w.claimDelivery(at(1)), end).Reason, ringback.DeadTries)
		j := w.delivering(at(3))
		_, err := w.Store().ExpireDeliveries(w.ctx(), at(4), at(5), 10)
		w.ok(err)
		d, _ := w.delivery(j.ID)
		w.same("too old", d.Reason, ringback.DeadExpired)
		w.deadLetters(0, 2)
		w.redeliver(d.ID, at(6))
		w.same("delivered after all", w.settleDelivery(w.claimDelivery(at(6)), delivered(at(7))).Reason, ringback.DeadReason(""))
		w.deadLetters(0, 1)
	})

	s.promise("dead deliveries are filtered by host and time", func(w *world) {
		w.delivering(at(0))
		a := w.settleDelivery(w.claimDelivery(at(1)), dead(at(50)))
		w.delivering(at(10), to(otherHost))
		other := store.HostWant{Host: store.Host{Project: project, Host: otherHost}, N: 1}
		b := w.settleDelivery(w.claimHosts(at(11), other)[0], dead(at(20)))
		for name, want := range map[string]struct {
			filter ringback.DeadFilter
			ids    []uuid.UUID
		}{
			"host":           {ringback.DeadFilter{Host: host}, []uuid.UUID{a.ID}},
			"created after":  {ringback.DeadFilter{CreatedAfter: after(5)}, []uuid.UUID{b.ID}},
			"created before": {ringback.DeadFilter{CreatedBefore: after(5)}, []uuid.UUID{a.ID}},
			"ended after":    {ringback.DeadFilter{EndedAfter: after(30)}, []uuid.UUID{a.ID}},
			"ended before":   {ringback.DeadFilter{EndedBefore: after(30)}, []uuid.UUID{b.ID}},
		} {
			w.same(name, w.deadDeliveries(want.filter), want.ids)
		}
	})
}
