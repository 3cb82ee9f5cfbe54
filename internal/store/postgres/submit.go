package postgres

import (
	"bytes"
	"context"
	"errors"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/groupcommit"
)

// rowBytes is roughly what a move writes besides content.
const rowBytes = 1 << 10

// Submit implements store.Jobs.
func (s *Store) Submit(ctx context.Context, n store.NewJob) (job store.Job, replayed bool, err error) {
	op := groupcommit.Op{Bytes: rowBytes + len(n.Request.Bytes)}
	job, err = groupcommit.Commit(ctx, s.writeLarge, op, func(t *tx) (j store.Job, err error) {
		j, replayed, err = t.submit(n)
		return j, err
	})
	return job, replayed, err
}

func (t *tx) submit(n store.NewJob) (store.Job, bool, error) {
	if n.Job.IdempotencyKey != "" {
		// This also finds the job itself, when its commit is repeated.
		first, err := t.byIdempotencyKey(n.Job.Project, n.Job.IdempotencyKey)
		switch {
		case err == nil && first.ID != n.Job.ID && !bytes.Equal(first.IdempotencyHash, n.Job.IdempotencyHash):
			return first, false, store.ErrMismatch
		case err == nil:
			return first, first.ID != n.Job.ID, nil
		case !errors.Is(err, store.ErrNotFound):
			return first, false, err
		}
	}
	if t.w.careful {
		// Looked up only on this path: on every job's path it would cost a search.
		if stored, err := t.job(n.Job.ID); !errors.Is(err, store.ErrNotFound) {
			return stored, false, err
		}
	}
	if err := t.wants(n.Request); err != nil {
		return n.Job, false, err
	}
	if n.Job.Node != "" {
		t.claims(n.Job.Node)
	}
	t.insertJob(n.Job)
	t.putBody(n.Job.ID, requestPart, n.Request)
	if n.Job.Status == ringback.Queued {
		t.jobWaits(n.Job)
	}
	return n.Job, false, nil
}

// byIdempotencyKey finds the job with an idempotency key, including jobs of this batch.
func (t *tx) byIdempotencyKey(project, key string) (store.Job, error) {
	for _, known := range t.jobs {
		if known.IdempotencyKey == key && known.Project == project {
			return known.Job, nil
		}
	}
	jobs, err := t.lockJobs(`t.project = $1 AND t.idempotency_key = $2`, "", project, key)
	if err == nil && len(jobs) == 0 {
		err = store.ErrNotFound
	}
	if err != nil {
		return store.Job{}, err
	}
	return jobs[0], nil
}
