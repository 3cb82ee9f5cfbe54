package sqlite

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/column"
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
