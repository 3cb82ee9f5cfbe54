package node

import (
	"context"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/intake"
	"github.com/ringback/ringback/internal/memory"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/supervise"
)

// insert stores a job that is accepted, and sees to it that it runs. replayed
// tells that another one is there in its place.
func (n *Node) insert(ctx context.Context, j store.Job, request []byte, put intake.Put) (stored store.Job, replayed bool, err error) {
	job := store.NewJob{Job: j, Request: store.Pack(request)}
	n.names.used(job.Job.Model)
	t := n.startNow(&job.Job, len(request))
	if t == nil {
		request = nil // it is read again when the job is claimed
	}
	stored, replayed, err = put(ctx, job)
	if t != nil && n.members.NoLease(err) { // then it is not claimed, but queued
		n.undoStart(job.Job, t)
		t, job.Job, request = nil, j, nil
		stored, replayed, err = put(ctx, job)
	}
	switch {
	case err != nil || replayed:
		if t != nil {
			n.undoStart(job.Job, t)
		}
	case t != nil:
		n.recordAccepted(&stored)
		n.start(stored, request, t)
	default:
		n.recordAccepted(&stored)
		if !stored.RunAt.After(stored.CreatedAt) {
			n.jobs.waits(stored.Lane())
		}
		supervise.Wake(n.wakeJobs)
	}
	return stored, replayed, err
}

// startNow claims a new job on insert, where its lane has nothing waiting, a slot is
// free, and there is memory for its request. The permit must be used or given back.
func (n *Node) startNow(j *store.Job, request int) *callPermit {
	l := n.members.Session()
	if !n.is(Worker) || n.memory.Answers.Full() || n.supervisor.Short() || !n.recovered.Load() || j.RunAt.After(j.CreatedAt) || !l.Leased() {
		return nil
	}
	held := n.memory.Answers.Grant()
	if !held.Take(int64(request) * memory.RequestCost) {
		return nil
	}
	t := n.jobs.tryNow(j.Lane())
	if t == nil {
		held.Release()
		return nil
	}
	t.held = held
	t.session = l
	j.Status, j.Fence, j.Node = ringback.Running, 1, l.ID()
	j.StartedAt, j.FirstStartedAt = j.CreatedAt, j.CreatedAt
	n.inflight.startNow(j.Ref(), l)
	return t
}

// undoStart gives back what a job took that was not stored as claimed.
func (n *Node) undoStart(j store.Job, t *callPermit) {
	n.inflight.leave(j.Ref())
	t.held.Release()
	t.give()
	supervise.Wake(n.wakeJobs)
}
