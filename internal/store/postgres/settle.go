package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/column"
	"github.com/ringback/ringback/internal/store/groupcommit"
)

// Settle implements store.Jobs.
func (s *Store) Settle(ctx context.Context, ref store.Ref, decide store.Decide) (store.Job, error) {
	// its content is not known before decide has run
	op := groupcommit.Op{Name: "settle job", ID: ref.ID, Bytes: 16 * rowBytes, First: true}
	return groupcommit.Commit(ctx, s.writeLarge, op, func(t *tx) (store.Job, error) { return t.settle(ref, decide) })
}

func (t *tx) settle(ref store.Ref, decide store.Decide) (store.Job, error) {
	j, err := t.runningJob(ref.ID)
	if errors.Is(err, store.ErrNotFound) {
		return j, store.ErrFenced
	}
	if err != nil {
		return j, err
	}
	if j.Status == ringback.Running && j.Fence == ref.Fence {
		return t.decide(j, decide)
	}
	done, err := t.settledBefore(ref, decide(j))
	if err == nil && !done {
		err = store.ErrFenced
	}
	return j, err
}

// settledBefore reports whether this very settle was committed: the ledger then has its
// outcome at its time. For a zombie it has another's row, or none.
func (t *tx) settledBefore(ref store.Ref, o store.Outcome) (bool, error) {
	var outcome string
	var ended int64
	err := t.row([]any{&outcome, &ended}, `SELECT outcome, ended_at FROM ringback.attempts WHERE job = $1 AND number = $2`, ref.ID, ref.Fence)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	return err == nil && o.Attempt != nil && string(o.Attempt.Outcome) == outcome && column.MS(o.At) == ended, err
}

// decide applies what decide says about a queued or running job.
func (t *tx) decide(j store.Job, decide store.Decide) (store.Job, error) {
	if j.Attempts > 0 {
		err := t.row([]any{&j.Partial.Zstd, &j.Partial.Bytes}, `SELECT zstd, bytes FROM ringback.bodies WHERE owner = $1 AND part = $2`, j.ID, int(partialPart))
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return j, fmt.Errorf("read content: %w", err)
		}
	}
	o := decide(j)
	j.Partial = store.Blob{}
	if err := t.wantsOf(o); err != nil {
		return j, err
	}
	return t.apply(j, o)
}

// apply applies an outcome to a queued or running job: it writes the ledger's row, the
// job's, its content, and the delivery that its end causes.
func (t *tx) apply(j store.Job, o store.Outcome) (store.Job, error) {
	if err := o.Check(j); err != nil {
		return j, err
	}
	after := store.Apply(j, o, t.store.retention)
	if j.Status == ringback.Queued {
		t.jobLeaves(j)
	} else {
		t.attempts = append(t.attempts, attemptRow{&j, o})
	}
	t.updateJob(after)
	switch after.Status {
	case ringback.Queued:
		t.jobWaits(after)
	case ringback.Failed:
		t.count(deadJobs, 1)
	default:
	}
	t.putContent(&after, o)
	if o.Delivery != nil {
		t.insertDelivery(&after, o.Delivery)
	}
	if after.Status.Terminal() {
		t.signals(store.SignalEnded)
	}
	return after, nil
}

func (t *tx) putContent(j *store.Job, o store.Outcome) {
	if len(o.Events.Bytes) > 0 {
		t.putBody(j.ID, eventsPart, o.Events)
	}
	switch {
	case j.Status == ringback.Completed:
		t.putBody(j.ID, answerPart, o.Answer)
	case len(o.Partial.Bytes) > 0:
		t.putBody(j.ID, partialPart, o.Partial)
	}
}

// applyAll applies what decide says about several jobs, which are already locked.
func (t *tx) applyAll(jobs []store.Job, decide store.Decide) ([]store.Job, error) {
	after := make([]store.Job, 0, len(jobs))
	for _, j := range jobs {
		j, err := t.decide(j, decide)
		if err != nil {
			return nil, err
		}
		after = append(after, j)
	}
	return after, nil
}
