package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/column"
	"github.com/ringback/ringback/internal/store/groupcommit"
)

// Settle implements store.Jobs.
func (s *Store) Settle(ctx context.Context, ref store.Ref, decide store.Decide) (store.Job, error) {
	// its content is not known before decide has run
	op := groupcommit.Op{Name: "settle job", ID: ref.ID, Bytes: 16 * rowBytes, First: true}
	return groupcommit.Commit(ctx, s.write, op, func(t *tx) (store.Job, error) { return s.settle(t, ref, decide) })
}

func (s *Store) settle(t *tx, ref store.Ref, decide store.Decide) (store.Job, error) {
	j, err := s.job(t, ref.ID)
	if errors.Is(err, store.ErrNotFound) {
		return j, store.ErrFenced
	}
	if err != nil {
		return j, err
	}
	if j.Status == ringback.Running && j.Fence == ref.Fence {
		return s.decide(t, j, decide)
	}
	done, err := settledBefore(t, ref, decide(j))
	if err == nil && !done {
		err = store.ErrFenced
	}
	return j, err
}

// settledBefore reports whether this very settle was committed: the ledger then has its
// outcome at its time. For a zombie it has another's row, or none.
func settledBefore(t *tx, ref store.Ref, o store.Outcome) (bool, error) {
	var outcome ringback.AttemptOutcome
	var ended int64
	err := t.row(`SELECT outcome, ended_at FROM attempts WHERE job = ? AND number = ?`, ref.ID[:], ref.Fence).Scan(&outcome, &ended)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil && o.Attempt != nil && o.Attempt.Outcome == outcome && column.MS(o.At) == ended, err
}

// decide applies what decide says about a queued or running job.
func (s *Store) decide(t *tx, j store.Job, decide store.Decide) (store.Job, error) {
	o, err := s.outcome(t, j, decide)
	if err != nil {
		return j, err
	}
	return s.apply(t, j, o)
}

// decideAll applies what decide says about each of these jobs. It decides everything before
// it writes anything: so a move that is refused does not cost the others in its batch a
// second run.
func (s *Store) decideAll(t *tx, jobs []store.Job, decide store.Decide) ([]store.Job, error) {
	outcomes := make([]store.Outcome, len(jobs))
	for i, j := range jobs {
		var err error
		if outcomes[i], err = s.outcome(t, j, decide); err != nil {
			return nil, err
		}
	}
	after := make([]store.Job, len(jobs))
	for i, j := range jobs {
		var err error
		if after[i], err = s.apply(t, j, outcomes[i]); err != nil {
			return nil, err
		}
	}
	return after, nil
}

// outcome asks decide about a queued or running job, and refuses impossible outcomes.
func (s *Store) outcome(t *tx, j store.Job, decide store.Decide) (store.Outcome, error) {
	if j.Attempts > 0 {
		partial, err := readBody(t, j.ID, partialPart, store.PartPartial.Limit())
		if err != nil {
			return store.Outcome{}, err
		}
		j.Partial = partial.Blob
	}
	o := decide(j)
	if err := o.Check(j); err != nil {
		return o, err
	}
	if o.Delivery != nil && o.Delivery.Node != "" {
		return o, s.nodes.mayClaim(o.Delivery.Node)
	}
	return o, nil
}

// apply applies an outcome to a queued or running job: it writes the ledger's row, the
// job's, its content, and the delivery that its end causes.
func (s *Store) apply(t *tx, j store.Job, o store.Outcome) (store.Job, error) {
	after := store.Apply(j, o, s.retention)
	if j.Status == ringback.Queued {
		s.jobLeaves(t, j)
	} else if err := insertAttempt(t, &j, o); err != nil {
		return j, err
	}
	if err := s.updateJob(t, &after); err != nil {
		return j, err
	}
	if err := putContent(t, &after, o); err != nil {
		return j, err
	}
	switch after.Status {
	case ringback.Queued:
		s.jobWaits(t, after)
	case ringback.Failed:
		s.countDead(t, 1, 0)
	default:
	}
	if o.Delivery != nil {
		return after, s.insertDelivery(t, &after, o.Delivery)
	}
	return after, nil
}

func putContent(t *tx, j *store.Job, o store.Outcome) error {
	if len(o.Events.Bytes) > 0 {
		if err := replaceBody(t, j.ID, eventsPart, o.Events); err != nil {
			return err
		}
	}
	if j.Status == ringback.Completed {
		return putBody(t, j.ID, answerPart, o.Answer)
	}
	if len(o.Partial.Bytes) > 0 {
		return replaceBody(t, j.ID, partialPart, o.Partial)
	}
	return nil
}
