package storetest

import (
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
)

// listDeliveries reads all pages, and checks the tries against the job's own list.
func (w *world) listDeliveries(q store.DeliveryQuery) []store.Delivery {
	w.Helper()
	q.Project = project
	var all []store.Delivery
	for {
		page, tries, cursor, err := w.Store().Deliveries(w.ctx(), q)
		w.ok(err)
		if len(page) > q.Limit || len(tries) != len(page) {
			w.Fatalf("Deliveries: got %d and the tries of %d, want at most %d", len(page), len(tries), q.Limit)
		}
		for i, d := range page {
			_, made := w.delivery(d.JobID)
			w.same("tries in a list", tries[i], made)
		}
		all = append(all, page...)
		if cursor == nil {
			return all
		}
		q.Before = cursor
	}
}

// inEachState makes deliveries that are waiting, in flight, failed once, delivered and
// dead, and three jobs without any; oldest first.
func (w *world) inEachState() (deliveries []uuid.UUID, without []uuid.UUID) {
	w.Helper()
	w.settleDelivery(w.claimJob(w.delivering(at(0))), delivered(at(1)))
	w.settleDelivery(w.claimJob(w.delivering(at(1))), dead(at(2)))
	w.settleDelivery(w.claimJob(w.delivering(at(2))), tryAgain(at(3), at(60)))
	w.claimJob(w.delivering(at(3)))
	waits := w.delivering(at(4))
	without = []uuid.UUID{w.submitNew(at(5)).ID, w.running(at(6)).ID, w.settle(w.running(at(7)), completed(at(8), "hello")).ID}
	for _, j := range w.list(store.Query{Project: project, Limit: 100, CreatedBefore: waits.CreatedAt.Add(time.Millisecond)}) {
		d, _ := w.delivery(j.ID)
		deliveries = append(deliveries, d.ID)
	}
	slices.Reverse(deliveries)
	return deliveries, without
}

// claimJob claims the delivery of a job, the only one that is due then.
func (w *world) claimJob(j store.Job) store.Delivery {
	w.Helper()
	d := w.claimDelivery(j.EndedAt)
	w.same("the job of the delivery that is due", d.JobID, j.ID)
	return d
}

func exerciseListDeliveries(s suite) {
	s.promise("deliveries are listed newest first, by their state, page by page", func(w *world) {
		d, _ := w.inEachState()
		for name, want := range map[ringback.DeliveryStatus][]uuid.UUID{
			"":                         {d[4], d[3], d[2], d[1], d[0]},
			ringback.DeliveryPending:   {d[4], d[3], d[2]},
			ringback.DeliveryDead:      {d[1]},
			ringback.DeliveryDelivered: {d[0]},
		} {
			for _, limit := range []int{1, 2, 100} {
				w.same(string("deliveries "+name), deliveryIDs(w.listDeliveries(store.DeliveryQuery{Status: name, Limit: limit})), want)
			}
		}
		got, tries, err := w.Store().Delivery(w.ctx(), project, d[2])
		w.ok(err)
		w.same("one of them", got, w.listDeliveries(store.DeliveryQuery{Limit: 9})[2])
		w.same("its tries", len(tries), 1)
		_, _, err = w.Store().Delivery(w.ctx(), "other", d[2])
		w.fails(err, store.ErrNotFound)
		_, _, err = w.Store().Delivery(w.ctx(), project, uuid.Max)
		w.fails(err, store.ErrNotFound)
	})

	s.promise("deliveries are filtered by host, job, time and last answer", func(w *world) {
		w.settleDelivery(w.claimJob(w.delivering(at(0))), delivered(at(1)))
		quiet := tryAgain(at(11), at(60))
		quiet.Try.StatusCode, quiet.Try.Error = 0, "refused"
		w.settleDelivery(w.claimJob(w.delivering(at(10))), quiet)
		b := w.delivering(at(20), to(otherHost))
		all := w.listDeliveries(store.DeliveryQuery{Limit: 9})
		d := []uuid.UUID{all[2].ID, all[1].ID, all[0].ID}
		code := all[2].LastStatusCode
		for name, want := range map[string]struct {
			query store.DeliveryQuery
			ids   []uuid.UUID
		}{
			"host":           {store.DeliveryQuery{Hosts: []string{otherHost}}, d[2:]},
			"hosts":          {store.DeliveryQuery{Hosts: []string{otherHost, host}}, []uuid.UUID{d[2], d[1], d[0]}},
			"another host":   {store.DeliveryQuery{Hosts: []string{"https://c.example:443"}}, nil},
			"job":            {store.DeliveryQuery{Job: b.ID}, d[2:]},
			"another job":    {store.DeliveryQuery{Job: uuid.Max}, nil},
			"job and state":  {store.DeliveryQuery{Job: all[1].JobID, Status: ringback.DeliveryPending}, d[1:2]},
			"code":           {store.DeliveryQuery{LastCode: &store.CodeRange{From: code, To: code}}, d[:1]},
			"codes":          {store.DeliveryQuery{LastCode: &store.CodeRange{From: 200, To: 299}}, d[:1]},
			"no answer":      {store.DeliveryQuery{LastCode: &store.CodeRange{}}, []uuid.UUID{d[2], d[1]}},
			"created after":  {store.DeliveryQuery{CreatedAfter: at(5)}, []uuid.UUID{d[2], d[1]}},
			"created before": {store.DeliveryQuery{CreatedBefore: at(15)}, []uuid.UUID{d[1], d[0]}},
			"all together":   {store.DeliveryQuery{Status: ringback.DeliveryPending, Hosts: []string{host}, LastCode: &store.CodeRange{}, CreatedAfter: at(5)}, d[1:2]},
		} {
			want.query.Limit = 1
			w.same(name, deliveryIDs(w.listDeliveries(want.query)), want.ids)
		}
	})

	s.promise("a delivery whose bytes are deleted is not listed, nor that of another project", func(w *world) {
		w.delivering(at(0), func(j *store.Job) { j.Project = "other" })
		purged := w.settleDelivery(w.claimJob(w.delivering(at(1))), dead(at(2)))
		w.ok(w.Store().EraseDelivery(w.ctx(), project, purged.ID))
		erased := w.delivering(at(3))
		w.erase(erased.ID, at(4))
		w.same("Deliveries", w.listDeliveries(store.DeliveryQuery{Limit: 9}), []store.Delivery(nil))
		w.same("dead ones", w.listDeliveries(store.DeliveryQuery{Status: ringback.DeliveryDead, Limit: 9}), []store.Delivery(nil))
	})

	s.promise("what has not arrived is counted, with the time of the oldest, also after a crash", func(w *world) {
		w.inEachState()
		w.redeliver(w.listDeliveries(store.DeliveryQuery{Status: ringback.DeliveryDead, Limit: 1})[0].ID, at(10))
		for range 2 {
			p, err := w.Store().PendingDeliveries(w.ctx())
			w.ok(err)
			w.same("PendingDeliveries", p, store.PendingDeliveries{Count: 4, Oldest: at(2)})
			w.crash()
		}
	})
}

func exerciseListByWebhook(s suite) {
	s.promise("jobs are listed by the state of their webhook", func(w *world) {
		d, without := w.inEachState()
		var jobs []uuid.UUID
		for _, id := range d {
			got, _, err := w.Store().Delivery(w.ctx(), project, id)
			w.ok(err)
			jobs = append(jobs, got.JobID)
		}
		for status, want := range map[ringback.DeliveryStatus][]uuid.UUID{
			ringback.NoDelivery:        {without[2], without[1], without[0]},
			ringback.DeliveryPending:   {jobs[4], jobs[3], jobs[2]},
			ringback.DeliveryDead:      {jobs[1]},
			ringback.DeliveryDelivered: {jobs[0]},
		} {
			for _, limit := range []int{1, 2, 100} {
				w.same("webhook "+string(status), ids(w.list(store.Query{Project: project, Webhook: status, Limit: limit})), want)
			}
		}
		w.same("with other filters", ids(w.list(store.Query{
			Project: project, Webhook: ringback.DeliveryPending, Status: ringback.Completed, CreatedAfter: at(2), CreatedBefore: at(4), Limit: 1,
		})), []uuid.UUID{jobs[3]})
		w.same("and none", ids(w.list(store.Query{Project: project, Webhook: ringback.DeliveryPending, Status: ringback.Failed, Limit: 1})), []uuid.UUID(nil))
	})

	s.promise("the last webhook of each of some jobs is read at once, but none whose bytes are deleted", func(w *world) {
		d, without := w.inEachState()
		var jobs []uuid.UUID
		for _, id := range d {
			got, _, err := w.Store().Delivery(w.ctx(), project, id)
			w.ok(err)
			jobs = append(jobs, got.JobID)
		}
		w.ok(w.Store().EraseDelivery(w.ctx(), project, d[1]))
		got, err := w.Store().Webhooks(w.ctx(), append(append([]uuid.UUID{uuid.Max}, jobs...), without...))
		w.ok(err)
		want := map[uuid.UUID]store.Delivery{}
		for _, i := range []int{0, 2, 3, 4} {
			want[jobs[i]], _, err = w.Store().Delivery(w.ctx(), project, d[i])
			w.ok(err)
		}
		w.same("Webhooks", got, want)
		w.same("jobs that have none", ids(w.list(store.Query{Project: project, Webhook: ringback.NoDelivery, Limit: 2})),
			[]uuid.UUID{without[2], without[1], without[0], jobs[1]})
	})
}
