package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/column"
	"github.com/ringback/ringback/internal/store/groupcommit"
)

// waiting counts what waits, so that nobody has to ask the tables. The writer
// changes it after each commit, in the order of the commits.
type waiting struct {
	mu       sync.Mutex
	jobs     int
	ranks    *dueHeap[rank]
	suspects bucket
	hosts    *dueHeap[store.Host]
	pending  int
	dead     store.DeadLetters
}

// rank is a lane's jobs of one priority.
type rank struct {
	store.Lane

	priority int
}

func rankOf(j store.Job) rank { return rank{j.Lane(), j.Priority} }

func newWaiting() *waiting {
	return &waiting{ranks: newDueHeap[rank](), hosts: newDueHeap[store.Host]()}
}

// ranksOf gives the priorities at which jobs of a lane wait, the highest first.
func (w *waiting) ranksOf(l store.Lane) []rank {
	w.mu.Lock()
	defer w.mu.Unlock()
	var ranks []rank
	for p := store.MaxPriority; p >= 0; p-- {
		if r := (rank{l, p}); w.ranks.get(r).count > 0 {
			ranks = append(ranks, r)
		}
	}
	return ranks
}

// Waiting implements store.Backlog.
func (s *Store) Waiting(context.Context) (store.Waiting, error) {
	w := s.waiting
	w.mu.Lock()
	defer w.mu.Unlock()
	out := store.Waiting{Jobs: w.jobs, Deliveries: w.pending, Suspects: store.LaneWaiting{Count: w.suspects.count, Due: column.Time(w.suspects.due)}}
	out.Lanes = lanesWaiting(w.ranks.order)
	for _, e := range w.hosts.order {
		out.Hosts = append(out.Hosts, hostWaiting(e))
	}
	return out, nil
}

// lanesWaiting adds up the priorities of each lane.
func lanesWaiting(ranks []*entry[rank]) []store.LaneWaiting {
	var lanes []store.LaneWaiting
	at := make(map[store.Lane]int, len(ranks))
	for _, e := range ranks {
		i, known := at[e.key.Lane]
		if !known {
			at[e.key.Lane] = len(lanes)
			lanes = append(lanes, store.LaneWaiting{Lane: e.key.Lane, Count: e.count, Due: column.Time(e.due)})
			continue
		}
		lanes[i].Count += e.count
		if due := column.Time(e.due); due.Before(lanes[i].Due) {
			lanes[i].Due = due
		}
	}
	return lanes
}

func hostWaiting(e *entry[store.Host]) store.HostWaiting {
	return store.HostWaiting{Host: e.key, Count: e.count, Due: column.Time(e.due)}
}

// DueJobs implements store.Backlog.
func (s *Store) DueJobs(_ context.Context, now time.Time) (store.DueJobs, error) {
	w := s.waiting
	w.mu.Lock()
	defer w.mu.Unlock()
	due, next := w.ranks.due(column.MS(now))
	out := store.DueJobs{Lanes: lanesWaiting(due), Next: column.Time(next)}
	switch {
	case w.suspects.count == 0:
	case w.suspects.due <= column.MS(now):
		out.Suspects = store.LaneWaiting{Count: w.suspects.count, Due: column.Time(w.suspects.due)}
	case next == 0 || w.suspects.due < next:
		out.Next = column.Time(w.suspects.due)
	}
	return out, nil
}

// DueDeliveries implements store.Backlog.
func (s *Store) DueDeliveries(_ context.Context, now time.Time) (store.DueDeliveries, error) {
	w := s.waiting
	w.mu.Lock()
	defer w.mu.Unlock()
	due, next := w.hosts.due(column.MS(now))
	out := store.DueDeliveries{Next: column.Time(next)}
	for _, e := range due {
		out.Hosts = append(out.Hosts, hostWaiting(e))
	}
	return out, nil
}

// Queued implements store.Backlog.
func (s *Store) Queued(context.Context) (int, error) {
	s.waiting.mu.Lock()
	defer s.waiting.mu.Unlock()
	return s.waiting.jobs, nil
}

// jobWaits counts a job that the transaction put into its lane.
func (s *Store) jobWaits(t *tx, j store.Job) {
	r, due, suspect, w := rankOf(j), column.MS(j.RunAt), j.Suspect(), s.waiting
	t.after(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.jobs++
		if suspect {
			w.suspects = w.suspects.add(1, due)
			return
		}
		w.ranks.put(r, w.ranks.get(r).add(1, due))
	})
}

// jobLeaves counts off a job, given as it was while it waited.
func (s *Store) jobLeaves(t *tx, j store.Job) {
	r, suspect, w := rankOf(j), j.Suspect(), s.waiting
	t.after(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.jobs--
		if suspect {
			w.suspects.count--
			return
		}
		h := w.ranks.get(r)
		h.count--
		w.ranks.put(r, h)
	})
}

// rankDue learns when a rank's next job is due, after some were taken.
func (s *Store) rankDue(t *tx, r rank) error {
	due, err := firstDue(t, `
		SELECT run_at FROM jobs
		WHERE `+column.IsReady+` AND project = ? AND provider = ? AND model = ? AND priority = ?
		ORDER BY run_at, id LIMIT 1`, r.Project, r.Provider, r.Model, r.priority)
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
		w.suspects.due = due
	})
	return err
}

// hostDue learns when the next delivery to a host is due, after some were taken.
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
	a.put(k, bucket{count: a.get(k).count, due: due})
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
		w.hosts.put(host, w.hosts.get(host).add(1, due))
	})
}

// deliveriesLeave counts off deliveries to a host.
func (s *Store) deliveriesLeave(t *tx, host store.Host, n int) {
	w := s.waiting
	t.after(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.pending -= n
		h := w.hosts.get(host)
		h.count -= n
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
		var r rank
		var h bucket
		if err := rows.Scan(&r.Project, &r.Provider, &r.Model, &r.priority, &h.count, &h.due); err != nil {
			return nil, err
		}
		w.ranks.put(r, h)
		w.jobs += h.count
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	err = t.row(`SELECT count(*), coalesce(min(run_at), 0) FROM jobs WHERE `+column.IsSuspect).Scan(&w.suspects.count, &w.suspects.due)
	if err != nil {
		return nil, err
	}
	w.jobs += w.suspects.count
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
		var h bucket
		if err := rows.Scan(&host.Project, &host.Host, &h.count, &h.due); err != nil {
			return err
		}
		w.hosts.put(host, h)
		w.pending += h.count
	}
	return rows.Err()
}

// Reconcile implements store.Maintenance. The writer compares between two batches, when
// nothing moves: within one, rows of its members would be counted whose effect
// on the counters comes only after the commit.
func (s *Store) Reconcile(ctx context.Context) error {
	result := make(chan error, 1)
	select {
	case s.reconciles <- result:
	default:
		return nil // one is asked for already
	}
	// An empty write brings the writer round.
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

// reconcile holds memory against the tables: all counts, or with many rows the
// first of each lane only: the whole would hold the writer up.
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

// maxReconcile is how many rows Reconcile counts; with more, it looks only at
// the first job of each lane.
const maxReconcile = 20_000

func (s *Store) total() int {
	s.waiting.mu.Lock()
	defer s.waiting.mu.Unlock()
	return s.waiting.jobs + s.waiting.pending + s.waiting.dead.Jobs + s.waiting.dead.Deliveries
}

// differs tells how the counters differ from what is stored, and heals them.
func (w *waiting) differs(stored *waiting) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.jobs == stored.jobs && w.pending == stored.pending && w.suspects.covers(stored.suspects) &&
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
	var r rank
	for {
		next, due, err := firstAfter(t, r)
		if err != nil || next == (rank{}) {
			return wrong, err
		}
		r = next
		w.mu.Lock()
		if h := w.ranks.get(r); h.count == 0 || h.due > due {
			wrong = fmt.Errorf("lane %s/%s has a job of priority %d due at %s that was not counted", r.Provider, r.Model, r.priority, column.Time(due))
			w.ranks.put(r, bucket{count: max(1, h.count), due: due})
		}
		w.mu.Unlock()
	}
}

// firstAfter finds the next rank in the order of the index, and when its first
// job is due; the zero rank if there is none.
func firstAfter(t *tx, r rank) (next rank, due int64, err error) {
	err = t.row(`
		SELECT project, provider, model, priority, run_at FROM jobs
		WHERE `+column.IsReady+` AND (project, provider, model, priority) > (?, ?, ?, ?)
		ORDER BY project, provider, model, priority, run_at LIMIT 1`, r.Project, r.Provider, r.Model, r.priority).
		Scan(&next.Project, &next.Provider, &next.Model, &next.priority, &due)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return next, due, err
}
