package dispatch

import (
	"context"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/memory"
	"github.com/ringback/ringback/internal/store"
)

// Insert stores a new job and makes sure that it runs: put stores it as claimed if its call
// may begin at once. replayed is what put returns: another job is there instead.
func (d *Dispatcher) Insert(ctx context.Context, j store.Job, request []byte, put func(context.Context, store.NewJob) (store.Job, bool, error)) (stored store.Job, replayed bool, err error) {
	job := store.NewJob{Job: j, Request: store.Pack(request)}
	d.names.used(j.Model)
	p := d.startNow(&job.Job, request) // if it is not claimed now, its request is read again when it is
	stored, replayed, err = put(ctx, job)
	if p != nil && d.cfg.NoLease(err) { // then it is not claimed, but queued
		d.undoStart(job.Job, p)
		p, job.Job = nil, j
		stored, replayed, err = put(ctx, job)
	}
	switch {
	case err != nil || replayed:
		if p != nil {
			d.undoStart(job.Job, p)
		}
	case p != nil:
		d.recorder.accepted(&stored)
		d.start(stored, p)
	default:
		d.recorder.accepted(&stored)
		if !stored.RunAt.After(stored.CreatedAt) {
			d.scheduler.waits(stored.Lane())
		}
		d.Wake()
	}
	return stored, replayed, err
}

// startNow claims a new job on insert, if nothing waits in its lane, a slot is free, and
// there is memory for its request. The permit must be used or given back.
func (d *Dispatcher) startNow(j *store.Job, request []byte) *permit {
	s := d.cfg.Session()
	if d.cfg.Memory.Answers.Full() || d.cfg.Supervisor.Short() || !d.cfg.Ready() || j.RunAt.After(j.CreatedAt) || !s.Leased() {
		return nil
	}
	held := d.cfg.Memory.Answers.Grant()
	if !held.Take(int64(len(request)) * memory.RequestCost) {
		return nil
	}
	p := d.scheduler.tryNow(j.Lane())
	if p == nil {
		held.Release()
		return nil
	}
	p.held, p.session, p.request = held, s, request
	j.Status, j.Fence, j.Node = ringback.Running, 1, s.ID()
	j.StartedAt, j.FirstStartedAt = j.CreatedAt, j.CreatedAt
	d.inflight.startNow(j.Ref(), s)
	return p
}

// undoStart gives back what was taken for a job that was not stored as claimed.
func (d *Dispatcher) undoStart(j store.Job, p *permit) {
	d.inflight.leave(j.Ref())
	p.held.Release()
	p.give()
	d.Wake()
}
