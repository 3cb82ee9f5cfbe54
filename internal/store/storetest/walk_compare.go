package storetest

import (
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
)

func (w *walk) touchAll() {
	for id := range w.m.jobs {
		w.touched[id] = true
	}
}

// check compares all rows and counters with the model, and everything else of the jobs that
// were touched. Then the observer, which knows no model, looks at them.
func (w *walk) check() {
	w.Helper()
	rows := w.list(store.Query{Project: project, Limit: 100})
	want := w.jobs(anyJob)
	w.same("how many jobs there are", len(rows), len(want))
	for i, got := range rows {
		w.sameRow(got, want[len(want)-1-i].row)
		w.sawJob(w.world, got)
	}
	w.sameWaiting(w.waiting(), w.m.waiting())
	w.sameDue()
	w.living(w.m.living()...)
	dead, err := w.Store().DeadLetters(w.ctx())
	w.ok(err)
	w.same("DeadLetters", dead, w.m.dead())
	pending, err := w.Store().PendingDeliveries(w.ctx())
	w.ok(err)
	w.same("PendingDeliveries", pending, w.m.pending())
	if len(w.touched) > 0 {
		w.checkTouched()
	}
}

// checkTouched compares what only changes when a job is touched.
func (w *walk) checkTouched() {
	w.Helper()
	want := w.m.dead()
	w.same("dead jobs in the list", len(w.deadJobs(ringback.DeadFilter{})), want.Jobs)
	w.same("dead deliveries in the list", len(w.deadDeliveries(ringback.DeadFilter{})), want.Deliveries)
	w.sameHeld()
	w.sameEnded()
	w.sameLists()
	for _, j := range w.jobs(anyJob) {
		if w.touched[j.row.ID] {
			w.sameJob(j)
		}
	}
	clear(w.touched)
}

// sameLists compares the lists by the state of the webhook.
func (w *walk) sameLists() {
	w.Helper()
	for _, status := range ringback.DeliveryStatuses {
		w.same("deliveries that are "+string(status), deliveryIDs(w.listDeliveries(store.DeliveryQuery{Status: status, Limit: 3})), w.m.deliveriesThatAre(status))
	}
	for _, status := range append([]ringback.DeliveryStatus{ringback.NoDelivery}, ringback.DeliveryStatuses...) {
		var want []uuid.UUID
		for _, j := range w.jobs(anyJob) {
			if j.webhook() == status {
				want = append(want, j.row.ID)
			}
		}
		got := ids(w.list(store.Query{Project: project, Webhook: status, Limit: 3}))
		slices.Reverse(want)
		w.same("jobs with a webhook that is "+string(status), got, want)
	}
}

// sameEnded compares which of the touched jobs have ended, or are gone.
func (w *walk) sameEnded() {
	w.Helper()
	var want []uuid.UUID
	for id := range w.touched {
		if j := w.m.jobs[id]; j == nil || j.row.Status.Terminal() {
			want = append(want, id)
		}
	}
	got, err := w.Store().Ended(w.ctx(), slices.Collect(maps.Keys(w.touched)))
	w.ok(err)
	w.same("Ended", sorted(got), sorted(want))
}

// sameDue checks that the store shows where something is due.
func (w *walk) sameDue() {
	w.Helper()
	jobs, err := w.Store().DueJobs(w.ctx(), w.time)
	w.ok(err)
	for _, j := range w.m.due(w.time, anyJob) {
		shown := jobs.Suspects.Count > 0
		if !j.row.Suspect() {
			shown = slices.ContainsFunc(jobs.Lanes, func(l store.LaneWaiting) bool { return l.Lane == j.row.Lane() && l.Count > 0 })
		}
		if !shown {
			w.Fatalf("%s is due, and DueJobs does not show where: %+v", nameOf(j.row.ID), jobs)
		}
	}
	deliveries, err := w.Store().DueDeliveries(w.ctx(), w.time)
	w.ok(err)
	for _, d := range w.deliveries(func(d *modelDelivery) bool { return d.waits() && !d.due.After(w.time) }) {
		if !slices.ContainsFunc(deliveries.Hosts, func(h store.HostWaiting) bool { return h.Host == d.row.Key() && h.Count > 0 }) {
			w.Fatalf("%s is due, and DueDeliveries does not show where: %+v", d, deliveries)
		}
	}
}

// sameRow compares rows. Less is kept of a job whose content is gone.
func (w *walk) sameRow(got, want store.Job) {
	w.Helper()
	if got.ContentGone != want.ContentGone {
		w.Fatalf("job %s: content is gone: got %t, want %t", want.ID, got.ContentGone, want.ContentGone)
	}
	if want.ContentGone {
		got, want = remains(got), remains(want)
	}
	if want.Status.Terminal() {
		got.CancelRequested, want.CancelRequested = false, false
	}
	w.same("job", got, want)
}

// sameDelivery compares rows. The values of fences are up to the store, but they must grow.
func (w *walk) sameDelivery(got store.Delivery, d *modelDelivery) {
	w.Helper()
	if got.Fence < d.row.Fence {
		w.Fatalf("delivery %s: its fence went back from %d to %d", got.ID, d.row.Fence, got.Fence)
	}
	d.row.Fence = got.Fence
	want := d.row
	if lost := len(d.tries) - 1; lost >= 0 && d.tries[lost].Error == "unknown" {
		// A lost try records neither the receiver's answer nor when the schedule would have
		// continued.
		got.NextAt, want.NextAt = time.Time{}, time.Time{}
		got.LastStatusCode, want.LastStatusCode = 0, 0
	}
	w.same("delivery", rested(got), rested(want))
}

// sameJob compares everything that is not in the row.
func (w *walk) sameJob(j *modelJob) {
	w.Helper()
	id := j.row.ID
	ledger := w.ledger(id)
	want := slices.Clone(j.ledger)
	if isRunning(j.row) {
		r := j.row
		want = append(want, ringback.Attempt{Number: r.Fence, Node: r.Node, Provider: r.Provider, Model: r.Model, StartedAt: ringback.Time{Time: r.StartedAt}})
	}
	w.same("ledger", ledger, want)
	w.sawLedger(w.world, j.row, ledger)

	if j.row.ContentGone {
		_, _, err := w.Store().Job(w.ctx(), project, id, 0)
		w.fails(err, store.ErrGone)
	}
	c, err := w.Store().Content(w.ctx(), id, allParts&^store.PartWebhook)
	w.ok(err)
	w.same("content", c, store.Content{Request: j.request, Answer: j.answer, Partial: j.partial, Events: j.events})
	w.sameWebhook(j)
}

func (w *walk) sameWebhook(j *modelJob) {
	w.Helper()
	ds, tries, err := w.Store().JobDeliveries(w.ctx(), project, j.row.ID)
	w.ok(err)
	w.sawDeliveries(w.world, j.row, ds)
	if j.delivery == nil {
		w.same("how many deliveries", len(ds), 0)
		return
	}
	w.same("how many deliveries", len(ds), 1)
	w.sameDelivery(ds[0], j.delivery)
	w.same("tries", known(tries[0], j.row.ContentGone), known(j.delivery.tries, j.row.ContentGone))
	p, err := w.Store().Payload(w.ctx(), ds[0].ID)
	if j.delivery.row.Gone {
		w.fails(err, store.ErrGone)
		return
	}
	w.ok(err)
	w.same("payload", string(p.Body), string(j.delivery.payload))
	w.sawPayload(w.world, ds[0].ID, p.Body)
}

// known leaves out what is unknown about a lost try, and what is not kept of tries when the
// content is gone.
func known(tries []ringback.Try, gone bool) []ringback.Try {
	tries = slices.Clone(tries)
	for i := range tries {
		if tries[i].Error == "unknown" {
			tries[i].At = ringback.Time{}
		}
		if gone {
			tries[i].Response = ""
		}
	}
	return tries
}
