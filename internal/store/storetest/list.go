package storetest

import (
	"encoding/json"
	"slices"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
)

func exerciseList(s suite) {
	s.promise("jobs are listed newest first, each once, page by page", func(w *world) {
		var want []store.Job
		for i := range 7 {
			want = append(want, w.submitNew(at(i/3))) // some of the same millisecond
		}
		slices.Reverse(want)
		for _, limit := range []int{1, 3, 7, 100} {
			w.same("List", w.list(store.Query{Project: project, Limit: limit}), want)
		}
	})

	s.promise("jobs that come meanwhile do not disturb a list", func(w *world) {
		first, second := w.submitNew(at(0)), w.submitNew(at(1))
		page, cursor, err := w.Store().List(w.ctx(), store.Query{Project: project, Limit: 1})
		w.ok(err)
		w.same("first page", ids(page), []uuid.UUID{second.ID})
		w.submitNew(at(2))
		if cursor == nil {
			w.Fatalf("List: got no cursor before the end")
		}
		page, _, err = w.Store().List(w.ctx(), store.Query{Project: project, Limit: 1, Before: cursor})
		w.ok(err)
		w.same("second page", ids(page), []uuid.UUID{first.ID})
	})

	s.promise("an empty list has no cursor", func(w *world) {
		page, cursor, err := w.Store().List(w.ctx(), store.Query{Project: project, Limit: 10})
		w.ok(err)
		w.same("page", page, []store.Job(nil))
		w.same("cursor", cursor, (*uuid.UUID)(nil))
	})

	s.promise("one project never lists another's jobs", func(w *world) {
		other := lane
		other.Project = "other"
		w.submitNew(at(0), in(other))
		mine := w.submitNew(at(1))
		w.submitNew(at(2), in(other))
		w.same("List", w.list(store.Query{Project: project, Limit: 10}), []store.Job{mine})
	})

	exerciseFilters(s)
}

// list reads all pages.
func (w *world) list(q store.Query) []store.Job {
	w.Helper()
	var all []store.Job
	for {
		page, cursor, err := w.Store().List(w.ctx(), q)
		w.ok(err)
		if len(page) > q.Limit {
			w.Fatalf("List: got %d jobs, want at most %d", len(page), q.Limit)
		}
		all = append(all, page...)
		if cursor == nil {
			return all
		}
		q.Before = cursor
	}
}

func exerciseFilters(s suite) {
	metadata := func(raw string) func(*store.Job) {
		return func(j *store.Job) { j.Metadata = json.RawMessage(raw) }
	}

	s.promise("a list is filtered by state", func(w *world) {
		want := map[ringback.Status]store.Job{
			ringback.Queued:    w.submitNew(at(0), runAt(at(day))),
			ringback.Running:   w.running(at(1)),
			ringback.Completed: w.delivering(at(2)),
		}
		broken := w.running(at(3))
		want[ringback.Failed] = w.settle(broken, failed(at(4)))
		want[ringback.Cancelled] = w.cancel(w.submitNew(at(5)).ID, cancelled(at(5)))
		w.submitNew(at(6), expiresAt(at(7)))
		want[ringback.Expired] = w.expire(at(7), 1, expired(at(7)))[0]
		for _, status := range ringback.Statuses {
			w.same(string(status), w.list(store.Query{Project: project, Status: status, Limit: 2}), []store.Job{want[status]})
		}
	})

	s.promise("a list is filtered by the model that was asked for, or that answered", func(w *world) {
		asked := w.submitNew(at(0), func(j *store.Job) { j.RequestedModel = "echo-2026" })
		answered := w.delivering(at(1)) // by echo-2026
		w.submitNew(at(2), func(j *store.Job) { j.RequestedModel = "another" })
		w.same("List", w.list(store.Query{Project: project, Model: "echo-2026", Limit: 1}), []store.Job{answered, asked})
		w.same("List of an unknown model", w.list(store.Query{Project: project, Model: "echo", Status: ringback.Failed, Limit: 1}), []store.Job(nil))
	})

	s.promise("a list is filtered by time", func(w *world) {
		var all []store.Job
		for i := range 5 {
			all = append(all, w.submitNew(at(10*i)))
		}
		w.same("after", w.list(store.Query{Project: project, CreatedAfter: at(25), Limit: 1}), []store.Job{all[4], all[3]})
		w.same("before", w.list(store.Query{Project: project, CreatedBefore: at(15), Limit: 1}), []store.Job{all[1], all[0]})
		w.same("between", w.list(store.Query{Project: project, CreatedAfter: at(5), CreatedBefore: at(25), Limit: 9}), []store.Job{all[2], all[1]})
	})

	s.promise("a list is filtered by metadata, compared as text", func(w *world) {
		both := w.submitNew(at(0), metadata(`{"order":"17","paid":true,"n":1.50}`))
		one := w.submitNew(at(1), metadata(`{"order":17}`))
		w.submitNew(at(2), metadata(`{"order":"18","paid":true}`))
		w.submitNew(at(3), metadata(`{"deep":{"order":"17"}}`))
		w.submitNew(at(4), metadata(`{}`))
		filter := func(pairs map[string]string) []store.Job {
			return w.list(store.Query{Project: project, Metadata: pairs, Limit: 1})
		}
		w.same("a text or a number", filter(map[string]string{"order": "17"}), []store.Job{one, both})
		w.same("several keys", filter(map[string]string{"order": "17", "paid": "true"}), []store.Job{both})
		w.same("another value", filter(map[string]string{"order": "1"}), []store.Job(nil))
		w.same("another key", filter(map[string]string{"ord%": "17"}), []store.Job(nil))
	})

	s.promise("filters are combined", func(w *world) {
		w.submitNew(at(0))
		want := w.running(at(1))
		w.running(at(2), metadata(`{}`))
		w.same("List", w.list(store.Query{
			Project: project, Status: ringback.Running, Model: "echo", CreatedAfter: at(0), Metadata: map[string]string{"order": "17"}, Limit: 1,
		}), []store.Job{want})
	})
}
