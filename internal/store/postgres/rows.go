package postgres

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/column"
)

// job returns the row of a job, locked until the end of the transaction.
func (t *tx) job(id uuid.UUID) (store.Job, error) {
	if known := t.jobs[id]; known != nil {
		return known.Job, nil
	}
	jobs, err := t.lockJobs(`t.id = $1`, "", id)
	if err == nil && len(jobs) == 0 {
		err = store.ErrNotFound
	}
	if err != nil {
		return store.Job{}, err
	}
	return jobs[0], nil
}

// runningJob returns the row of a job that is likely to run here.
func (t *tx) runningJob(id uuid.UUID) (store.Job, error) {
	if t.jobs[id] == nil && !t.w.careful {
		if j, ok := t.store.held.job(id); ok {
			t.jobs[id] = &jobRow{Job: j, was: fenceOf(&j)}
		}
	}
	return t.job(id)
}

// lockJobs reads and locks the rows for which a condition on t holds; tail is what follows
// the condition. They are ordered by id, the order in which all locks are taken, unless the
// tail orders them.
func (t *tx) lockJobs(condition, tail string, args ...any) ([]store.Job, error) {
	return t.knowJobs(`SELECT `+jobColumns+` FROM ringback.jobs t WHERE `+condition+` `+cmp.Or(tail, "ORDER BY t.id FOR UPDATE"), args...)
}

// knowJobs collects the rows of a query over jobColumns that locks them.
func (t *tx) knowJobs(query string, args ...any) (jobs []store.Job, err error) {
	err = t.query(func(rows pgx.Rows) error {
		j, err := scanJob(rows)
		if err != nil {
			return err
		}
		t.jobs[j.ID] = &jobRow{Job: j, was: fenceOf(&j)}
		t.store.held.forget(j.ID)
		jobs = append(jobs, j)
		return nil
	}, query, args...)
	return jobs, err
}

// insertJob writes a new job.
func (t *tx) insertJob(j store.Job) {
	t.jobs[j.ID] = &jobRow{Job: j, was: fenceOf(&j)}
	t.newJobs = append(t.newJobs, j)
	t.wroteJob(j)
}

// updateJob writes a job that is known here.
func (t *tx) updateJob(j store.Job) {
	row := t.jobs[j.ID]
	row.Job = j
	if !row.changed {
		row.changed = true
		t.changedJobs = append(t.changedJobs, row)
	}
	t.wroteJob(j)
}

func (t *tx) wroteJob(j store.Job) {
	t.writes++
	if j.Node != "" && t.store.leases.mine(j.Node) {
		t.after(func() { t.store.held.noteJob(j, true) })
		return
	}
	t.after(func() { t.store.held.noteJob(j, false) })
}

// delivery returns the row of a delivery, locked until the end of the transaction.
func (t *tx) delivery(id uuid.UUID) (*deliveryRow, error) {
	if known := t.deliveries[id]; known != nil {
		return known, nil
	}
	rows, err := t.lockDeliveries(`t.id = $1`, "", id)
	if err == nil && len(rows) == 0 {
		err = store.ErrNotFound
	}
	if err != nil {
		return &deliveryRow{}, err
	}
	return rows[0], nil
}

// flyingDelivery returns the row of a delivery that is likely to be in flight here.
func (t *tx) flyingDelivery(id uuid.UUID) (*deliveryRow, error) {
	if t.deliveries[id] == nil && !t.w.careful {
		if d, ok := t.store.held.delivery(id); ok {
			t.deliveries[id] = &deliveryRow{Delivery: d, due: -1, was: d.Fence}
		}
	}
	return t.delivery(id)
}

// lockDeliveries is lockJobs for deliveries.
func (t *tx) lockDeliveries(condition, tail string, args ...any) ([]*deliveryRow, error) {
	return t.knowDeliveries(`SELECT `+deliveryColumns+` FROM ringback.deliveries t WHERE `+condition+` `+cmp.Or(tail, "ORDER BY t.id FOR UPDATE"), args...)
}

func (t *tx) knowDeliveries(query string, args ...any) (found []*deliveryRow, err error) {
	err = t.query(func(rows pgx.Rows) error {
		d, err := scanDelivery(rows)
		if err != nil {
			return err
		}
		t.deliveries[d.ID] = &d
		t.store.held.forget(d.ID)
		found = append(found, &d)
		return nil
	}, query, args...)
	return found, err
}

// insertDelivery writes the delivery that a job's end causes: due, or in flight.
func (t *tx) insertDelivery(j *store.Job, n *store.NewDelivery) {
	d := deliveryRow{due: column.MS(n.MadeAt), Delivery: store.Delivery{
		ID: n.ID, JobID: j.ID, Project: j.Project, Host: n.Host, URL: n.URL, Event: n.Event,
		Status: ringback.DeliveryPending, MadeAt: n.MadeAt, NextAt: n.MadeAt, Form: n.Form,
	}}
	if n.Node != "" {
		t.claims(n.Node)
		d.Node, d.InFlight, d.Fence, d.due = n.Node, true, 1, -1
	} else {
		t.deliveryWaits(d.Key(), n.MadeAt)
		t.signals(store.SignalDeliveries)
	}
	d.was = d.Fence
	t.newDelivery(d, n.Body)
}

// addDelivery writes another delivery for a job that has ended, as a redelivery.
func (t *tx) addDelivery(j *store.Job, n *store.NewDelivery) {
	d := deliveryRow{due: column.MS(n.MadeAt), Delivery: store.Delivery{
		ID: n.ID, JobID: j.ID, Project: j.Project, Host: n.Host, URL: n.URL, Event: n.Event,
		Status: ringback.DeliveryPending, Manual: true, MadeAt: n.MadeAt, NextAt: n.NextAt, Form: n.Form,
	}}
	t.deliveryWaits(d.Key(), n.MadeAt)
	t.signals(store.SignalDeliveries)
	t.newDelivery(d, n.Body)
}

func (t *tx) newDelivery(d deliveryRow, body store.Blob) {
	t.deliveries[d.ID] = &d
	t.newDeliveries = append(t.newDeliveries, d)
	t.putBody(d.ID, webhookPart, body)
	t.wroteDelivery(d.Delivery)
}

// updateDelivery writes a delivery that is known here. If it is to be sent, it is due at
// the given time.
func (t *tx) updateDelivery(d store.Delivery, due time.Time) {
	row := t.deliveries[d.ID]
	row.Delivery, row.due = d, -1
	if !d.InFlight && (d.Status == ringback.DeliveryPending || d.Manual) {
		row.due = column.MS(due)
		t.deliveryWaits(d.Key(), due)
	}
	if !row.changed {
		row.changed = true
		t.changed = append(t.changed, row)
	}
	t.wroteDelivery(d)
}

func (t *tx) wroteDelivery(d store.Delivery) {
	t.writes++
	mine := d.Node != "" && t.store.leases.mine(d.Node)
	t.after(func() { t.store.held.noteDelivery(d, mine) })
}

// insertTry writes the try that was made under a claim.
func (t *tx) insertTry(claim store.Ref, y ringback.Try) {
	t.tries = append(t.tries, tryRow{claim.ID, claim.Fence, y})
	t.writes++
}

// inOrder sorts changes by id, to avoid deadlocks.
func (t *tx) inOrder() {
	slices.SortFunc(t.changedJobs, func(a, b *jobRow) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	slices.SortFunc(t.changed, func(a, b *deliveryRow) int { return bytes.Compare(a.ID[:], b.ID[:]) })
}
