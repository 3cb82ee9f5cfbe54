package sqlite

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/backlog"
	"github.com/ringback/ringback/internal/store/column"
)

// waiting counts what is waiting, so that the tables need not be queried. The writer
// changes it after each commit, in the order of the commits.
type waiting struct {
	mu       sync.Mutex
	jobs     int
	ranks    *dueHeap[backlog.Rank]
	suspects backlog.Bucket
	hosts    *dueHeap[store.Host]
	pending  int
	dead     store.DeadLetters
}

func newWaiting() *waiting {
	return &waiting{ranks: newDueHeap[backlog.Rank](), hosts: newDueHeap[store.Host]()}
}

// prioritiesOf returns the priorities of jobs that are waiting in a lane, the highest
// first.
func (w *waiting) prioritiesOf(l store.Lane) []int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return backlog.Priorities(l, func(r backlog.Rank) bool { return w.ranks.get(r).Count > 0 })
}

// Waiting implements store.Backlog.
func (s *Store) Waiting(context.Context) (store.Waiting, error) {
	w := s.waiting
	w.mu.Lock()
	defer w.mu.Unlock()
	return store.Waiting{
		Jobs: w.jobs, Deliveries: w.pending, Suspects: w.suspects.Suspects(),
		Lanes: backlog.Lanes(each(w.ranks.order)), Hosts: backlog.Hosts(each(w.hosts.order)),
	}, nil
}

// DueJobs implements store.Backlog.
func (s *Store) DueJobs(_ context.Context, now time.Time) (store.DueJobs, error) {
	w := s.waiting
	w.mu.Lock()
	defer w.mu.Unlock()
	due, next := w.ranks.due(column.MS(now))
	return backlog.DueJobs(column.MS(now), each(due), next, w.suspects), nil
}

// DueDeliveries implements store.Backlog.
func (s *Store) DueDeliveries(_ context.Context, now time.Time) (store.DueDeliveries, error) {
	w := s.waiting
	w.mu.Lock()
	defer w.mu.Unlock()
	due, next := w.hosts.due(column.MS(now))
	return store.DueDeliveries{Hosts: backlog.Hosts(each(due)), Next: column.Time(next)}, nil
}

// Queued implements store.Backlog.
func (s *Store) Queued(context.Context) (int, error) {
	s.waiting.mu.Lock()
	defer s.waiting.mu.Unlock()
	return s.waiting.jobs, nil
}

// jobWaits counts a job that the transaction put into its lane.
func (s *Store) jobWaits(t *tx, j store.Job) {
	r, due, suspect, w := backlog.RankOf(&j), column.MS(j.RunAt), j.Suspect(), s.waiting
	t.after(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.jobs++
		if suspect {
			w.suspects = w.suspects.Add(1, due)
			return
		}
		w.ranks.put(r, w.ranks.get(r).Add(1, due))
	})
}

// jobLeaves subtracts a job, given as it was while it waited.
func (s *Store) jobLeaves(t *tx, j store.Job) {
	r, suspect, w := backlog.RankOf(&j), j.Suspect(), s.waiting
	t.after(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.jobs--
		if suspect {
			w.suspects.Count--
			return
		}
		h := w.ranks.get(r)
		h.Count--
		w.ranks.put(r, h)
	})
}

// rankDue reads when a rank's next job is due, after some were taken.
func (s *Store) rankDue(t *tx, r backlog.Rank) error {
	due, err := firstDue(t, `
		SELECT run_at FROM jobs
		WHERE `+column.IsReady+` AND project = ? AND provider = ? AND model = ? AND priority = ?
		ORDER BY run_at, id LIMIT 1`, r.Project, r.Provider, r.Model, r.Priority)
	w := s.waiting
	t.after(func() { setDue(w, w.ranks, r, due) })
	return err
}

func (s *Store) suspectsDue(t *tx) error {
	due, err := firstDue(t, `SELECT run_at FROM jobs WHERE `+column.IsSuspect+` ORDER BY run_at, id LIMIT 1`)
	w := s.waiting
	t.after(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.suspects.Due = due
	})
	return err
}

// hostDue reads when the next delivery to a host is due, after some were taken.
func (s *Store) hostDue(t *tx, h store.Host) error {
	due, err := firstDue(t, `
		SELECT due_at FROM deliveries
		WHERE `+column.IsDue+` AND project = ? AND host = ?
		ORDER BY due_at, id LIMIT 1`, h.Project, h.Host)
	w := s.waiting
	t.after(func() { setDue(w, w.hosts, h, due) })
	return err
}

func setDue[K comparable](w *waiting, a *dueHeap[K], k K, due int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	a.put(k, backlog.Bucket{Count: a.get(k).Count, Due: due})
}

// firstDue reads the first time of an ordered query; 0 if there is none.
func firstDue(t *tx, query string, args ...any) (int64, error) {
	rows, err := t.query(query, args...)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	var due int64
	if rows.Next() {
		err = rows.Scan(&due)
	}
	if err == nil {
		err = rows.Err()
	}
	return due, err
}

// deliveryWaits counts a delivery that the transaction made due.
func (s *Store) deliveryWaits(t *tx, host store.Host, at time.Time) {
	w, due := s.waiting, column.MS(at)
	t.after(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.pending++
		w.hosts.put(host, w.hosts.get(host).Add(1, due))
	})
}

// deliveriesLeave subtracts deliveries to a host.
func (s *Store) deliveriesLeave(t *tx, host store.Host, n int) {
	w := s.waiting
	t.after(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.pending -= n
		h := w.hosts.get(host)
		h.Count -= n
		w.hosts.put(host, h)
	})
}

// countWaiting reads the counters from the tables; only the partial indexes are read.
func (s *Store) countWaiting(ctx context.Context) error {
	t, err := s.writer.begin()
	if err != nil {
		return fmt.Errorf("count what waits: %w", err)
	}
	counted, err := count(t)
	if err == nil {
		s.waiting = counted
	}
	if undo := t.Rollback(); err == nil {
		err = undo
	}
	if err != nil {
		return fmt.Errorf("count what waits: %w", err)
	}
	return context.Cause(ctx)
}

func count(t *tx) (*waiting, error) {
	w := newWaiting()
	rows, err := t.query(`
		SELECT project, provider, model, priority, count(*), min(run_at) FROM jobs
		WHERE ` + column.IsReady + ` GROUP BY project, provider, model, priority`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var r backlog.Rank
		var h backlog.Bucket
		if err := rows.Scan(&r.Project, &r.Provider, &r.Model, &r.Priority, &h.Count, &h.Due); err != nil {
			return nil, err
		}
		w.ranks.put(r, h)
		w.jobs += h.Count
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	err = t.row(`SELECT count(*), coalesce(min(run_at), 0) FROM jobs WHERE `+column.IsSuspect).Scan(&w.suspects.Count, &w.suspects.Due)
	if err != nil {
		return nil, err
	}
	w.jobs += w.suspects.Count
	if err := countHosts(t, w); err != nil {
		return nil, err
	}
	return w, countDead(t, w)
}

func countHosts(t *tx, w *waiting) error {
	rows, err := t.query(`
		SELECT project, host, count(*), min(due_at) FROM deliveries
		WHERE ` + column.IsDue + ` GROUP BY project, host`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var host store.Host
		var h backlog.Bucket
		if err := rows.Scan(&host.Project, &host.Host, &h.Count, &h.Due); err != nil {
			return err
		}
		w.hosts.put(host, h)
		w.pending += h.Count
	}
	return rows.Err()
}
