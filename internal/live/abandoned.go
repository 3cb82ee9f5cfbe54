package live

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/backoff"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/supervise"
)

const (
	// goneFor is how long a job that is cancelled when all its readers have left may be
	// without readers: a reader that resumes has not left.
	goneFor = 5 * time.Second
	// unseenFor bounds the question whether other nodes have readers of a job, and the
	// cancel.
	unseenFor = 10 * time.Second
)

// Abandoned cancels a job if no reader comes back to it in time.
func (w *Watching) Abandoned(project string, job uuid.UUID) {
	w.stop.RLock()
	defer w.stop.RUnlock()
	if w.stopping { // it is the node that leaves
		return
	}
	w.cfg.Group.Go(func() error {
		_ = w.cfg.Supervisor.Guarded("cancel a job that nobody watches", func() error { w.cancelAbandoned(project, job); return nil }, "job_id", job)
		return nil
	})
}

// cancelAbandoned waits for a reader to come back to a job, and cancels the job if none
// does. If the store can't be reached it tries again: the job's caller wants the cancel.
func (w *Watching) cancelAbandoned(project string, job uuid.UUID) {
	for pause := goneFor; backoff.Sleep(w.cfg.Calls, pause); pause = backoff.Jitter(supervise.Idle, backoff.Half) {
		if w.isStopping() || w.hub.Readers(job) > 0 {
			return
		}
		err := w.cancelUnseen(project, job)
		if supervise.IsTransient(err) || errors.Is(err, context.DeadlineExceeded) {
			continue
		}
		if ended := new(ringback.Error); err != nil && !errors.As(err, &ended) {
			w.log.Warn("job without readers is not cancelled", "job_id", job, "err", err)
		}
		return
	}
}

// cancelUnseen cancels a job unless another node has readers of it.
func (w *Watching) cancelUnseen(project string, job uuid.UUID) error {
	ctx, cancel := context.WithTimeout(w.cfg.Calls, unseenFor)
	defer cancel()
	seen, err := w.isSeenElsewhere(ctx, project, job)
	if seen || errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrGone) {
		return nil
	}
	if err != nil {
		return err
	}
	w.log.Info("job is cancelled because all its readers have left", "job_id", job)
	return w.cfg.Cancel(ctx, project, job)
}

// isSeenElsewhere reports whether other nodes have readers of a job. The node that runs it
// need not ask, since the node of each reader is a reader there. Any other node asks all:
// a reader may have left before its node knew that the job had begun, and where.
func (w *Watching) isSeenElsewhere(ctx context.Context, project string, job uuid.UUID) (bool, error) {
	j, _, err := w.cfg.Store.Job(ctx, project, job, 0)
	if err != nil {
		return false, err
	}
	session := w.cfg.Session()
	if j.Status == ringback.Running && j.Node == session.ID() {
		return false, nil
	}
	return slices.ContainsFunc(session.PeerURLs(), func(url string) bool { return w.isWatchedAt(ctx, url, job) }), nil
}
