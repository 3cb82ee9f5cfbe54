package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/ringback/ringback/internal/store/backlog"
	"github.com/ringback/ringback/internal/store/column"
	"github.com/ringback/ringback/internal/store/groupcommit"
)

// Reconcile implements store.Maintenance. The writer compares between two batches, when
// nothing moves: during one, it would count rows whose effect on the counters only comes
// after the commit.
func (s *Store) Reconcile(ctx context.Context) error {
	result := make(chan error, 1)
	select {
	case s.reconciles <- result:
	default:
		return nil // one has already been requested
	}
	// An empty write makes the writer come around.
	if err := groupcommit.Exec(ctx, s.write, groupcommit.Op{Name: "reconcile the counters"}, func(*tx) error { return nil }); err != nil {
		return err
	}
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// between runs after each batch, outside any transaction.
func (s *Store) between() {
	s.truncateLog()
	select {
	case result := <-s.reconciles:
		result <- s.reconcile()
	default:
	}
}

// reconcile compares memory with the tables: all counts or, if there are many rows, only
// the first of each lane, since comparing all would delay the writer.
func (s *Store) reconcile() error {
	t, err := s.writer.begin()
	if err != nil {
		return fmt.Errorf("reconcile the counters: %w", err)
	}
	var wrong error
	if s.total() > maxReconcile {
		wrong, err = s.reconcileDue(t)
	} else {
		var stored *waiting
		if stored, err = count(t); err == nil {
			wrong = s.waiting.differs(stored)
		}
	}
	return errors.Join(wrong, err, t.Rollback())
}

// maxReconcile is how many rows Reconcile counts; with more, it checks only the first job
// of each lane.
const maxReconcile = 20_000

func (s *Store) total() int {
	s.waiting.mu.Lock()
	defer s.waiting.mu.Unlock()
	return s.waiting.jobs + s.waiting.pending + s.waiting.dead.Jobs + s.waiting.dead.Deliveries
}

// differs returns how the counters differ from what is stored, and fixes them.
func (w *waiting) differs(stored *waiting) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.jobs == stored.jobs && w.pending == stored.pending && w.suspects.Covers(stored.suspects) &&
		w.ranks.covers(stored.ranks) && w.hosts.covers(stored.hosts) && w.dead == stored.dead {
		return nil
	}
	err := fmt.Errorf("counters differ from the store and are set anew: %d jobs, %d deliveries and dead letters %+v counted, %d, %d and %+v stored",
		w.jobs, w.pending, w.dead, stored.jobs, stored.pending, stored.dead)
	w.jobs, w.pending, w.suspects, w.ranks, w.hosts, w.dead = stored.jobs, stored.pending, stored.suspects, stored.ranks, stored.hosts, stored.dead
	return err
}

// reconcileDue compares the first row of each rank with memory.
func (s *Store) reconcileDue(t *tx) (wrong, err error) {
	w := s.waiting
	var r backlog.Rank
	for {
		next, due, err := firstAfter(t, r)
		if err != nil || next == (backlog.Rank{}) {
			return wrong, err
		}
		r = next
		w.mu.Lock()
		if h := w.ranks.get(r); h.Count == 0 || h.Due > due {
			wrong = fmt.Errorf("lane %s/%s has a job of priority %d due at %s that was not counted", r.Provider, r.Model, r.Priority, column.Time(due))
			w.ranks.put(r, backlog.Bucket{Count: max(1, h.Count), Due: due})
		}
		w.mu.Unlock()
	}
}

// firstAfter finds the next backlog.Rank in the order of the index, and when its first
// job is due; the zero rank if there is none.
func firstAfter(t *tx, r backlog.Rank) (next backlog.Rank, due int64, err error) {
	err = t.row(`
		SELECT project, provider, model, priority, run_at FROM jobs
		WHERE `+column.IsReady+` AND (project, provider, model, priority) > (?, ?, ?, ?)
		ORDER BY project, provider, model, priority, run_at LIMIT 1`, r.Project, r.Provider, r.Model, r.Priority).
		Scan(&next.Project, &next.Provider, &next.Model, &next.Priority, &due)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return next, due, err
}
