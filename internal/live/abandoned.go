package live

import (
	"context"
	"errors"
	"sync"
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

// errUnasked means that a node can't be asked whether it has readers of a job.
var errUnasked = errors.New("a node can't be asked")

// abandonments are the jobs that wait to be cancelled because their last reader has left,
// with how often that has happened: each time the wait begins anew.
type abandonments struct {
	mu   sync.Mutex
	jobs map[uuid.UUID]*abandonment
}

type abandonment struct{ last, waiting int }

// add returns the number of this time.
func (a *abandonments) add(job uuid.UUID) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.jobs == nil {
		a.jobs = map[uuid.UUID]*abandonment{}
	}
	j := a.jobs[job]
	if j == nil {
		j = new(abandonment)
		a.jobs[job] = j
	}
	j.last++
	j.waiting++
	return j.last
}

// isLast reports whether the last reader has not left again since that time.
func (a *abandonments) isLast(job uuid.UUID, number int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.jobs[job].last == number
}

func (a *abandonments) remove(job uuid.UUID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.jobs[job].waiting--; a.jobs[job].waiting == 0 {
		delete(a.jobs, job)
	}
}

// Abandoned cancels a job if no reader comes back to it in time.
func (w *Watching) Abandoned(project string, job uuid.UUID) {
	w.stop.RLock()
	defer w.stop.RUnlock()
	if w.stopping { // it is the node that leaves
		return
	}
	left := w.abandonments.add(job)
	w.cfg.Group.Go(func() error {
		defer w.abandonments.remove(job)
		_ = w.cfg.Supervisor.Guarded("cancel a job that nobody watches", func() error { w.cancelAbandoned(project, job, left); return nil }, "job_id", job)
		return nil
	})
}

// cancelAbandoned waits for a reader to come back to a job, and cancels the job if none
// does. If the store or a node can't be reached it tries again: the job's caller wants the
// cancel, and a node that has died is soon no peer any more.
func (w *Watching) cancelAbandoned(project string, job uuid.UUID, left int) {
	for pause := goneFor; backoff.Sleep(w.cfg.Calls, pause); pause = backoff.Jitter(supervise.Idle, backoff.Half) {
		if w.isStopping() || w.hub.Readers(job) > 0 || !w.abandonments.isLast(job, left) {
			return
		}
		err := w.cancelUnseen(project, job)
		if supervise.IsTransient(err) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, errUnasked) {
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

// isSeenElsewhere reports whether other nodes have readers of a job. The node that runs a
// streamed job need not ask, since the node of each reader is a reader there. In any other
// case all are asked: of a job without a stream each node knows its own readers only, and a
// reader may have left before its node knew that the job had begun, and where. The error is
// errUnasked if a node that lives can't be asked.
func (w *Watching) isSeenElsewhere(ctx context.Context, project string, job uuid.UUID) (bool, error) {
	j, _, err := w.cfg.Store.Job(ctx, project, job, 0)
	if err != nil {
		return false, err
	}
	session := w.cfg.Session()
	if j.Status == ringback.Running && j.Options.Stream && j.Node == session.ID() {
		return false, nil
	}
	var unasked error
	for _, url := range session.PeerURLs() {
		watched, err := w.isWatchedAt(ctx, url, job)
		if watched {
			return true, nil
		}
		unasked = errors.Join(unasked, err)
	}
	return false, unasked
}
