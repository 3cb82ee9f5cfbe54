package storetest

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
)

// model is what a store must contain, in plain maps: the rules of package store once more,
// as briefly as possible. It makes no choice where a store is free to choose (which of two
// jobs that are due since the same moment is claimed first); the walk tells it the store's
// choice.
type model struct {
	jobs       map[uuid.UUID]*modelJob
	deliveries map[uuid.UUID]*modelDelivery
	keys       map[string]uuid.UUID // idempotency key → job
	erased     map[uuid.UUID]bool   // jobs that are gone, including their rows
	leases     map[string]lease     // by node
}

// lease is a node's, as long as no other node has taken it away.
type lease struct{ over bool }

type modelJob struct {
	row                              store.Job
	request, answer, partial, events []byte
	ledger                           []ringback.Attempt
	settled                          map[int64]bool // fences of attempts that a Settle ended
	delivery                         *modelDelivery
}

type modelDelivery struct {
	row     store.Delivery
	payload []byte
	tries   []ringback.Try
	due     time.Time      // if waiting: a try of the schedule, or a redelivery
	settled map[int64]bool // fences of tries that SettleDelivery ended
	job     *modelJob
}

func newModel() *model {
	return &model{
		jobs: map[uuid.UUID]*modelJob{}, deliveries: map[uuid.UUID]*modelDelivery{},
		keys: map[string]uuid.UUID{}, erased: map[uuid.UUID]bool{}, leases: map[string]lease{},
	}
}

// mayClaim reports whether a node has a lease whose time is not over.
func (m *model) mayClaim(node string) bool {
	l, ok := m.leases[node]
	return ok && !l.over
}

// living returns the nodes that may claim, oldest first.
func (m *model) living() []string {
	var ids []string
	for id := range m.leases {
		if m.mayClaim(id) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// sweep takes away the leases that are over.
func (m *model) sweep() (nodes []string) {
	for id, l := range m.leases {
		if l.over {
			nodes = append(nodes, id)
			delete(m.leases, id)
		}
	}
	slices.Sort(nodes)
	return nodes
}

func (m *model) submit(n store.NewJob) *modelJob {
	request, _ := n.Request.Open()
	j := &modelJob{row: n.Job, request: request, settled: map[int64]bool{}}
	m.jobs[n.Job.ID] = j
	if n.Job.IdempotencyKey != "" {
		m.keys[n.Job.IdempotencyKey] = n.Job.ID
	}
	return j
}

func (j *modelJob) claim(node string, now time.Time) {
	r := &j.row
	r.Status, r.Node, r.StartedAt = ringback.Running, node, now
	r.Fence++
	if r.FirstStartedAt.IsZero() {
		r.FirstStartedAt = now
	}
}

// apply applies an outcome to a waiting or running job.
func (m *model) apply(j *modelJob, o store.Outcome) {
	if o.Attempt != nil {
		j.closeAttempt(o)
	}
	if o.Failed {
		j.row.Failures++
	}
	if partial, _ := o.Partial.Open(); len(partial) > 0 {
		j.partial = partial
	}
	if events, _ := o.Events.Open(); len(events) > 0 {
		j.events = events
	}
	j.row.Status, j.row.Node = o.Status, ""
	if o.Status == ringback.Queued {
		j.wait(o)
		return
	}
	j.end(o)
	if o.Delivery != nil {
		m.deliver(j, *o.Delivery)
	}
}

func (j *modelJob) closeAttempt(o store.Outcome) {
	j.ledger = append(j.ledger, entry(j.row, o))
	j.row.DurationMS = max(0, o.At.Sub(j.row.StartedAt).Milliseconds()) // clocks may be wrong
	switch o.Attempt.Outcome {
	case ringback.AttemptRefused, ringback.AttemptReleased:
	case ringback.AttemptUncertain:
		j.row.Uncertain++
		j.row.Attempts++
	default:
		j.row.Attempts++
	}
}

func (j *modelJob) wait(o store.Outcome) {
	r := &j.row
	r.Fence++
	r.RunAt = o.RunAt
	if o.NextModel != "" {
		r.Provider, r.Model, r.Failures = o.NextProvider, o.NextModel, 0
		r.Fallbacks = r.Fallbacks[slices.Index(r.Fallbacks, o.NextModel)+1:]
		r.FirstRefusedAt, r.EndBy = time.Time{}, r.ExpiresAt
	}
	if o.Refused && r.FirstRefusedAt.IsZero() {
		r.FirstRefusedAt = o.At
		r.EndBy = earlier(r.ExpiresAt, o.At.Add(r.Options.MaxWait))
	}
}

func (j *modelJob) end(o store.Outcome) {
	r := &j.row
	r.EndedAt = o.At
	r.AnswerModel, r.Usage, r.Error, r.ErrorDetail = o.AnswerModel, o.Usage, o.Error, o.ErrorDetail
	if o.Status == ringback.Completed {
		j.answer, _ = o.Answer.Open()
	}
	r.ContentUntil = o.At.Add(r.Options.ResultTTL)
	if o.Status == ringback.Failed {
		r.ContentUntil = later(r.ContentUntil, o.At.Add(retention.DeadLetters))
	}
}

func (m *model) deliver(j *modelJob, n store.NewDelivery) {
	body, _ := n.Body.Open()
	d := &modelDelivery{row: deliveryOf(j.row, &n), payload: body, due: n.MadeAt, settled: map[int64]bool{}, job: j}
	if n.Node != "" {
		d.row.InFlight, d.row.Node, d.row.Fence = true, n.Node, 1
	}
	j.delivery = d
	m.deliveries[n.ID] = d
}

// waits reports whether the delivery is due at some time.
func (d *modelDelivery) waits() bool {
	return !d.row.InFlight && (d.row.Manual || d.row.Status == ringback.DeliveryPending)
}

// open reports whether its bytes may still be needed.
func (d *modelDelivery) open() bool { return d.row.InFlight || d.waits() }

// settle ends the try that is in flight.
func (d *modelDelivery) settle(e store.TryEnd) {
	r := &d.row
	if e.Unbegun {
		r.InFlight, r.Node, d.due = false, "", e.NextAt
		if !r.Manual {
			r.NextAt = e.NextAt
		}
		return
	}
	d.settled[r.Fence] = true
	trigger := ringback.TryScheduled
	if r.Manual {
		trigger = ringback.TryManual
	}
	r.Sent++
	r.LastStatusCode = e.Try.StatusCode
	d.tries = append(d.tries, numbered(r.Sent, trigger, e.Try))
	if !r.Manual && !e.Free {
		r.Tries++
	}
	wasManual := r.Manual
	r.InFlight, r.Node, r.Manual = false, "", false
	switch {
	case e.Status == ringback.DeliveryDelivered || !wasManual && e.Status == ringback.DeliveryDead:
		d.end(e.Status, e.Reason, e.At)
	case !wasManual:
		r.NextAt = e.NextAt
	}
	d.due = r.NextAt
}

// lose ends the try of a process that died.
func (d *modelDelivery) lose(now time.Time) {
	trigger := ringback.TryScheduled
	if d.row.Manual {
		trigger = ringback.TryManual
	}
	d.row.Sent++
	d.tries = append(d.tries, ringback.Try{Number: d.row.Sent, Trigger: trigger, WebhookBody: d.row.Form, Error: ringback.TryUnknown})
	d.row.InFlight, d.row.Node = false, ""
	d.due = now
}

func (d *modelDelivery) end(s ringback.DeliveryStatus, why ringback.DeadReason, t time.Time) {
	d.row.Status, d.row.EndedAt, d.row.NextAt, d.row.Reason = s, t, time.Time{}, why
	if s == ringback.DeliveryDead {
		t = t.Add(retention.DeadLetters)
	}
	d.job.row.ContentUntil = later(d.job.row.ContentUntil, t)
}

func (m *model) redeliver(d *modelDelivery, now time.Time) {
	d.row.Manual = true
	d.due = now
}

// due returns the due jobs of a lane, or the suspects of all, in the order of their claims.
func (m *model) due(now time.Time, want func(store.Job) bool) []*modelJob {
	var due []*modelJob
	for _, j := range m.jobs {
		if j.row.Status == ringback.Queued && !j.row.RunAt.After(now) && want(j.row) {
			due = append(due, j)
		}
	}
	slices.SortFunc(due, func(a, b *modelJob) int {
		return turnOf(a.row).compare(turnOf(b.row))
	})
	return due
}

// turn decides which of two jobs is claimed first.
type turn struct {
	Priority int // 0 for a suspect: all of them come last
	RunAt    time.Time
}

func turnOf(j store.Job) turn {
	if j.Suspect() {
		return turn{0, j.RunAt}
	}
	return turn{j.Priority, j.RunAt}
}

func (a turn) compare(b turn) int {
	return cmp.Or(cmp.Compare(b.Priority, a.Priority), a.RunAt.Compare(b.RunAt))
}

// dueDeliveries returns the due deliveries to a host, those due longest first.
func (m *model) dueDeliveries(now time.Time, h store.Host) []*modelDelivery {
	var due []*modelDelivery
	for _, d := range m.deliveries {
		if d.waits() && !d.due.After(now) && d.row.Key() == h {
			due = append(due, d)
		}
	}
	slices.SortFunc(due, func(a, b *modelDelivery) int { return a.due.Compare(b.due) })
	return due
}

// waiting counts everything that is waiting.
func (m *model) waiting() store.Waiting {
	var v store.Waiting
	lanes, hosts := map[store.Lane]store.LaneWaiting{}, map[store.Host]store.HostWaiting{}
	for _, j := range m.jobs {
		if j.row.Status != ringback.Queued {
			continue
		}
		v.Jobs++
		if j.row.Suspect() {
			v.Suspects = store.LaneWaiting{Count: v.Suspects.Count + 1, Due: first(v.Suspects.Due, j.row.RunAt)}
			continue
		}
		l := lanes[j.row.Lane()]
		lanes[j.row.Lane()] = store.LaneWaiting{Lane: j.row.Lane(), Count: l.Count + 1, Due: first(l.Due, j.row.RunAt)}
	}
	for _, d := range m.deliveries {
		if d.waits() {
			v.Deliveries++
			h := hosts[d.row.Key()]
			hosts[d.row.Key()] = store.HostWaiting{Host: d.row.Key(), Count: h.Count + 1, Due: first(h.Due, d.due)}
		}
	}
	for _, l := range lanes {
		v.Lanes = append(v.Lanes, l)
	}
	for _, h := range hosts {
		v.Hosts = append(v.Hosts, h)
	}
	return v
}

// prune deletes everything whose time is over.
func (m *model) prune(now time.Time) {
	for id, j := range m.jobs {
		r := &j.row
		if r.Status.Terminal() && !r.ContentGone && !r.ContentUntil.After(now) && (j.delivery == nil || !j.delivery.open()) {
			j.dropContent(now)
		}
		if r.ContentGone && !r.RowUntil.After(now) {
			m.forget(id)
		}
	}
}

func (j *modelJob) dropContent(now time.Time) {
	j.row.ContentGone, j.row.RowUntil = true, now.Add(retention.Rows)
	j.request, j.answer, j.partial, j.events = nil, nil, nil, nil
	for i := range j.ledger {
		j.ledger[i].Error = ""
	}
	if j.delivery != nil {
		j.delivery.row.Gone, j.delivery.row.URL, j.delivery.row.Host = true, "", ""
	}
}

// eraseContent deletes a job's content before its time.
func (m *model) eraseContent(j *modelJob, now time.Time) {
	if d := j.delivery; d != nil && d.open() {
		if d.row.Status == ringback.DeliveryPending {
			d.end(ringback.DeliveryDead, ringback.DeadErased, now)
		}
		d.row.InFlight, d.row.Node, d.row.Manual = false, "", false
		d.row.Fence++
	}
	j.dropContent(now)
}

// dead counts dead letters.
func (m *model) dead() (dead store.DeadLetters) {
	for _, j := range m.jobs {
		if j.row.Status == ringback.Failed && !j.row.ContentGone && j.row.ReplayedBy == uuid.Nil {
			dead.Jobs++
		}
		if d := j.delivery; d != nil && d.row.Status == ringback.DeliveryDead && !d.row.Gone {
			dead.Deliveries++
		}
	}
	return dead
}

// webhook returns the state of the job's webhook whose bytes are kept.
func (j *modelJob) webhook() ringback.DeliveryStatus {
	if j.delivery == nil || j.delivery.row.Gone {
		return ringback.NoDelivery
	}
	return j.delivery.row.Status
}

// deliveriesThatAre returns the deliveries in a state that have their bytes, newest first.
func (m *model) deliveriesThatAre(status ringback.DeliveryStatus) (ids []uuid.UUID) {
	for id, d := range m.deliveries {
		if d.row.Status == status && !d.row.Gone {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b uuid.UUID) int { return bytes.Compare(b[:], a[:]) })
	return ids
}

// pending counts deliveries that have not arrived.
func (m *model) pending() (p store.PendingDeliveries) {
	for _, d := range m.deliveries {
		if d.open() {
			p.Count++
		}
		if d.row.Status == ringback.DeliveryPending {
			p.Oldest = first(p.Oldest, d.row.MadeAt)
		}
	}
	return p
}

// forget deletes a job with its row.
func (m *model) forget(id uuid.UUID) {
	j := m.jobs[id]
	delete(m.jobs, id)
	m.erased[id] = true
	if j.row.IdempotencyKey != "" {
		delete(m.keys, j.row.IdempotencyKey)
	}
	if j.delivery != nil {
		delete(m.deliveries, j.delivery.row.ID)
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// first returns the earlier of two times; the zero time means none.
func first(a, b time.Time) time.Time {
	if a.IsZero() {
		return b
	}
	return earlier(a, b)
}
