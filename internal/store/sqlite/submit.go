package sqlite

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
	staged, err := s.stage(ctx, &n)
	if err != nil {
		return store.Job{}, false, err
	}
	op := groupcommit.Op{Bytes: newJobBytes(&n)}
	job, err = groupcommit.Commit(ctx, s.write, op, func(t *tx) (j store.Job, err error) {
		j, replayed, err = s.submit(t, n)
		return j, err
	})
	if staged && (err != nil || replayed) {
		s.unstage(n.Job.ID)
	}
	return job, replayed, err
}

// newJobBytes is roughly what storing a new job writes, without what has been staged.
func newJobBytes(n *store.NewJob) int { return rowBytes + min(len(n.Request.Bytes), pieceBytes) }

const selectByIdempotencyKey = `SELECT ` + jobColumns + ` FROM jobs WHERE project = ? AND idempotency_key = ?`

func (s *Store) submit(t *tx, n store.NewJob) (store.Job, bool, error) {
	if n.Job.IdempotencyKey != "" {
		// This also finds the job itself, when its commit is repeated.
		first, err := scanJob(t.row(selectByIdempotencyKey, n.Job.Project, n.Job.IdempotencyKey))
		switch {
		case err == nil && first.ID != n.Job.ID && !bytes.Equal(first.IdempotencyHash, n.Job.IdempotencyHash):
			return first, false, store.ErrMismatch
		case err == nil:
			return first, first.ID != n.Job.ID, nil
		case !errors.Is(err, store.ErrNotFound):
			return first, false, err
		}
	}
	if err := s.mayStart(&n.Job); err != nil {
		if stored, missing := selectJob(t, n.Job.ID); missing == nil {
			return stored, false, nil
		}
		return store.Job{}, false, err
	}
	if err := insertJob(t, &n.Job); err != nil {
		// Looked up only now: on every job's path it would cost a search.
		if stored, missing := selectJob(t, n.Job.ID); missing == nil {
			return stored, false, nil
		}
		return store.Job{}, false, err
	}
	put := putBody
	if len(n.Request.Bytes) > pieceBytes {
		put = putStaged
	}
	if err := put(t, n.Job.ID, requestPart, n.Request); err != nil {
		return store.Job{}, false, err
	}
	if n.Job.Status == ringback.Queued {
		s.jobWaits(t, n.Job)
	} else {
		s.cacheRunning(t, n.Job)
	}
	return n.Job, false, nil
}

// mayStart refuses a job that is to start on a node without a lease.
func (s *Store) mayStart(j *store.Job) error {
	if j.Node == "" {
		return nil
	}
	return s.nodes.mayClaim(j.Node)
}
