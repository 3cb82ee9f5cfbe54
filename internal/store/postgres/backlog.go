package postgres

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/column"
)

// counter is what is counted in the table of counters.
type counter struct {
	kind string
	store.Lane
}

const (
	waitingJobs     = "job" // by lane, without suspects
	waitingSuspects = "suspect"
)

var (
	pendingDeliveries = counter{kind: "delivery"}
	deadJobs          = counter{kind: "dead job"}
	deadDeliveries    = counter{kind: "dead delivery"}
)

func counterOf(j *store.Job) counter {
	if j.Suspect() {
		return counter{kind: waitingSuspects}
	}
	return counter{waitingJobs, j.Lane()}
}

// count changes a counter with the transaction.
func (t *tx) count(c counter, n int) {
	if n != 0 {
		t.counts[c] += int64(n)
	}
}

// addCounts writes what has been counted, into this writer's own rows.
func addCounts(writer uuid.UUID, counts map[counter]int64) statement {
	keys := slices.SortedFunc(maps.Keys(counts), func(a, b counter) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.Project, b.Project), cmp.Compare(a.Provider, b.Provider), cmp.Compare(a.Model, b.Model))
	})
	var kinds, projects, providers, models []string
	var ns []int64
	for _, k := range keys {
		kinds, projects, providers, models = append(kinds, k.kind), append(projects, k.Project), append(providers, k.Provider), append(models, k.Model)
		ns = append(ns, counts[k])
	}
	return statement{`
		INSERT INTO ringback.counters AS c (writer, kind, project, provider, model, n)
		SELECT $1, d.kind, d.project, d.provider, d.model, d.n
		FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[]) AS d(kind, project, provider, model, n)
		ON CONFLICT (writer, kind, project, provider, model) DO UPDATE SET n = c.n + excluded.n`,
		[]any{writer, kinds, projects, providers, models, ns}}
}

// What a look at what is due reads at most; more is seen by the next one.
const (
	lookEvery  = time.Second           // at least
	lookAgain  = 50 * time.Millisecond // where there was more to see
	looksAt    = 1000                  // ranks, or hosts
	countsUpTo = 512                   // of each
)

// waiting is what this process knows of what is due: what the last look at the
// tables found, and what this process itself has moved since. It may lack what
// others moved, until their signal comes or the look is a second old.
type waiting struct {
	mu     sync.Mutex
	queued int
	jobs   view[rank]
	// suspects are those of all lanes.
	suspects bucket
	hosts    view[store.Host]

	lookingAtJobs, lookingAtHosts sync.Mutex
}

// rank is a lane's jobs of one priority.
type rank struct {
	store.Lane

	priority int
}

func rankOf(j *store.Job) rank { return rank{j.Lane(), j.Priority} }

// bucket is a count, and a time that is no later than the first of those counted is due.
type bucket struct {
	count int
	due   int64
}

func (h bucket) add(n int, due int64) bucket {
	if h.count <= 0 || due < h.due {
		h.due = due
	}
	h.count += n
	return h
}

// view is where something waits, as far as is known.
type view[K comparable] struct {
	buckets map[K]bucket
	fresh   time.Time // until then it will do
	after   K         // where the next look goes on; zero: at the beginning
}

func newWaiting() *waiting {
	w := &waiting{}
	w.jobs.buckets, w.hosts.buckets = map[rank]bucket{}, map[store.Host]bucket{}
	return w
}

func (v *view[K]) stale() bool { return !time.Now().Before(v.fresh) }

func (v *view[K]) spoil() { v.fresh = time.Time{} }

// take counts off n of a bucket. Where none is left there may be others that were
// not counted.
func (v *view[K]) take(k K, n int) {
	h, known := v.buckets[k]
	if h.count -= n; h.count > 0 {
		v.buckets[k] = h
		return
	}
	delete(v.buckets, k)
	if known {
		v.spoil()
	}
}

// replace takes what a look found in the place of what was known.
func (v *view[K]) replace(found map[K]bucket, last K, began time.Time) {
	var none K
	v.buckets, v.after = found, none
	v.fresh = began.Add(lookEvery)
	if len(found) >= looksAt {
		v.after, v.fresh = last, began.Add(lookAgain)
	}
}

// due gives what is due, and the first time after that; 0 if there is none.
func (v *view[K]) due(now int64) (due map[K]bucket, next int64) {
	due = map[K]bucket{}
	for k, h := range v.buckets {
		switch {
		case h.due <= now:
			due[k] = h
		case next == 0 || h.due < next:
			next = h.due
		}
	}
	return due, next
}

// jobWaits counts a job that the transaction puts into its lane.
func (t *tx) jobWaits(j store.Job) {
	t.count(counterOf(&j), 1)
	t.signals(store.SignalJobs)
	w := t.store.waiting
	t.after(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.queued++
		if j.Suspect() {
			w.suspects = w.suspects.add(1, column.MS(j.RunAt))
			return
		}
		w.jobs.buckets[rankOf(&j)] = w.jobs.buckets[rankOf(&j)].add(1, column.MS(j.RunAt))
	})
}

// jobLeaves counts off a job, given as it was while it waited.
func (t *tx) jobLeaves(j store.Job) {
	t.count(counterOf(&j), -1)
	w := t.store.waiting
	t.after(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.queued--
		if !j.Suspect() {
			w.jobs.take(rankOf(&j), 1)
		} else if w.suspects.count--; w.suspects.count <= 0 {
			w.suspects = bucket{}
			w.jobs.spoil()
		}
	})
}

// deliveryWaits counts a delivery that the transaction makes due.
func (t *tx) deliveryWaits(host store.Host, at time.Time) {
	t.count(pendingDeliveries, 1)
	w, due := t.store.waiting, column.MS(at)
	t.after(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.hosts.buckets[host] = w.hosts.buckets[host].add(1, due)
	})
}

// deliveriesLeave counts off deliveries to a host.
func (t *tx) deliveriesLeave(host store.Host, n int) {
	t.count(pendingDeliveries, -n)
	w := t.store.waiting
	t.after(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.hosts.take(host, n)
	})
}

// short notes that a lane had fewer due jobs than were wanted.
func (w *waiting) short(l store.Lane) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for p := range store.MaxPriority + 1 {
		if _, known := w.jobs.buckets[rank{l, p}]; known {
			w.jobs.spoil()
		}
	}
}

func (w *waiting) shortOfDeliveries(h store.Host) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, known := w.hosts.buckets[h]; known {
		w.hosts.spoil()
	}
}

// onSignal notes what another process has moved.
func (w *waiting) onSignal(s store.Signal) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s&store.SignalJobs != 0 {
		w.jobs.spoil()
	}
	if s&store.SignalDeliveries != 0 {
		w.hosts.spoil()
	}
}

// ranksOf gives the priorities at which jobs of a lane wait, the highest first.
func (w *waiting) ranksOf(l store.Lane) (priorities []int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for p := store.MaxPriority; p >= 0; p-- {
		if w.jobs.buckets[rank{l, p}].count > 0 {
			priorities = append(priorities, p)
		}
	}
	return priorities
}

// DueJobs implements store.Backlog.
func (s *Store) DueJobs(ctx context.Context, now time.Time) (store.DueJobs, error) {
	if err := s.lookAtJobs(ctx); err != nil {
		return store.DueJobs{}, fmt.Errorf("look for due jobs: %w", err)
	}
	w := s.waiting
	w.mu.Lock()
	defer w.mu.Unlock()
	due, next := w.jobs.due(column.MS(now))
	out := store.DueJobs{Lanes: lanesOf(due), Next: column.Time(next)}
	switch {
	case w.suspects.count == 0:
	case w.suspects.due <= column.MS(now):
		out.Suspects = store.LaneWaiting{Count: w.suspects.count, Due: column.Time(w.suspects.due)}
	case next == 0 || w.suspects.due < next:
		out.Next = column.Time(w.suspects.due)
	}
	return out, nil
}

// lanesOf adds up the priorities of each lane.
func lanesOf(ranks map[rank]bucket) []store.LaneWaiting {
	lanes := map[store.Lane]bucket{}
	for r, h := range ranks {
		lanes[r.Lane] = lanes[r.Lane].add(h.count, h.due)
	}
	out := make([]store.LaneWaiting, 0, len(lanes))
	for l, h := range lanes {
		out = append(out, store.LaneWaiting{Lane: l, Count: h.count, Due: column.Time(h.due)})
	}
	return out
}

func hostsOf(hosts map[store.Host]bucket) []store.HostWaiting {
	var out []store.HostWaiting
	for k, h := range hosts {
		out = append(out, store.HostWaiting{Host: k, Count: h.count, Due: column.Time(h.due)})
	}
	return out
}

// DueDeliveries implements store.Backlog.
func (s *Store) DueDeliveries(ctx context.Context, now time.Time) (store.DueDeliveries, error) {
	if err := s.lookAtHosts(ctx); err != nil {
		return store.DueDeliveries{}, fmt.Errorf("look for due deliveries: %w", err)
	}
	w := s.waiting
	w.mu.Lock()
	defer w.mu.Unlock()
	due, next := w.hosts.due(column.MS(now))
	return store.DueDeliveries{Hosts: hostsOf(due), Next: column.Time(next)}, nil
}

// Queued implements store.Backlog.
func (s *Store) Queued(ctx context.Context) (int, error) {
	if err := s.lookAtJobs(ctx); err != nil {
		return 0, fmt.Errorf("count queued jobs: %w", err)
	}
	s.waiting.mu.Lock()
	defer s.waiting.mu.Unlock()
	return s.waiting.queued, nil
}

// lookAtJobs reads where jobs wait, if what is known is too old. One caller looks;
// the others make do with what is known.
func (s *Store) lookAtJobs(ctx context.Context) error {
	w := s.waiting
	if !w.jobsStale() || !w.lookingAtJobs.TryLock() {
		return nil
	}
	defer w.lookingAtJobs.Unlock()
	return s.readJobs(ctx)
}

// knowLanes looks if nothing is known of a lane, or what is known is too old.
func (s *Store) knowLanes(ctx context.Context, wants []store.LaneWant) error {
	w := s.waiting
	if !w.jobsStale() && !slices.ContainsFunc(wants, func(l store.LaneWant) bool { return len(w.ranksOf(l.Lane)) == 0 }) {
		return nil
	}
	w.lookingAtJobs.Lock()
	defer w.lookingAtJobs.Unlock()
	return s.readJobs(ctx)
}

func (w *waiting) jobsStale() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.jobs.stale()
}

func (s *Store) readJobs(ctx context.Context) error {
	w := s.waiting
	w.mu.Lock()
	after := w.jobs.after
	w.mu.Unlock()
	began := time.Now()
	found, last := map[rank]bucket{}, after
	var suspects bucket
	var queued int
	err := s.read(ctx,
		askRanks(after, looksAt, func(r rank, h bucket) { found[r], last = h, r }),
		askSuspects(&suspects),
		question{`SELECT coalesce(sum(n), 0)::bigint FROM ringback.counters WHERE kind IN ('job', 'suspect')`, nil, func(rows pgx.Rows) error {
			return rows.Scan(&queued)
		}})
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.jobs.replace(found, last, began)
	w.suspects, w.queued = suspects, max(0, queued)
	if after != (rank{}) && len(found) < looksAt {
		w.jobs.spoil() // the next look begins anew
	}
	return nil
}

// askRanks steps from rank to rank through the index, from the one behind after.
func askRanks(after rank, limit int, note func(rank, bucket)) question {
	return question{`
		WITH RECURSIVE r AS (
			(SELECT project, provider, model, priority, run_at, 1 AS step FROM ringback.jobs
				WHERE ` + column.IsReady + ` AND (project, provider, model, priority) > ($1, $2, $3, $4)
				ORDER BY project, provider, model, priority, run_at LIMIT 1)
			UNION ALL
			SELECT n.project, n.provider, n.model, n.priority, n.run_at, r.step + 1 FROM r CROSS JOIN LATERAL (
				SELECT project, provider, model, priority, run_at FROM ringback.jobs
				WHERE ` + column.IsReady + ` AND (project, provider, model, priority) > (r.project, r.provider, r.model, r.priority)
				ORDER BY project, provider, model, priority, run_at LIMIT 1) n
			WHERE r.step < $5)
		SELECT r.project, r.provider, r.model, r.priority, r.run_at, c.n FROM r CROSS JOIN LATERAL (
			SELECT count(*) AS n FROM (
				SELECT 1 FROM ringback.jobs j
				WHERE ` + column.IsReady + ` AND j.project = r.project AND j.provider = r.provider AND j.model = r.model AND j.priority = r.priority
				LIMIT $6) counted) c`,
		[]any{after.Project, after.Provider, after.Model, after.orBefore(), limit, countsUpTo},
		func(rows pgx.Rows) error {
			var r rank
			var h bucket
			err := rows.Scan(&r.Project, &r.Provider, &r.Model, &r.priority, &h.due, &h.count)
			if h.count > 0 { // else it has just been claimed
				note(r, h)
			}
			return err
		},
	}
}

// orBefore is the priority behind which a scan goes on; that of the zero rank is
// before all.
func (r rank) orBefore() int {
	if r == (rank{}) {
		return -1
	}
	return r.priority
}

func askSuspects(to *bucket) question {
	return question{
		`SELECT count(*), coalesce(min(run_at), 0) FROM (
			SELECT run_at FROM ringback.jobs WHERE ` + column.IsSuspect + ` ORDER BY run_at, id LIMIT $1) counted`,
		[]any{countsUpTo},
		func(rows pgx.Rows) error { return rows.Scan(&to.count, &to.due) },
	}
}

// lookAtHosts is lookAtJobs for deliveries.
func (s *Store) lookAtHosts(ctx context.Context) error {
	w := s.waiting
	w.mu.Lock()
	stale, after := w.hosts.stale(), w.hosts.after
	w.mu.Unlock()
	if !stale || !w.lookingAtHosts.TryLock() {
		return nil
	}
	defer w.lookingAtHosts.Unlock()
	began := time.Now()
	found, last := map[store.Host]bucket{}, after
	if err := s.read(ctx, askHosts(after, looksAt, countsUpTo, func(k store.Host, h bucket) { found[k], last = h, k })); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hosts.replace(found, last, began)
	if after != (store.Host{}) && len(found) < looksAt {
		w.hosts.spoil()
	}
	return nil
}

// askHosts steps from host to host through the index, from the one behind after.
func askHosts(after store.Host, limit, most int, note func(store.Host, bucket)) question {
	return question{`
		WITH RECURSIVE r AS (
			(SELECT project, host, due_at, 1 AS step FROM ringback.deliveries
				WHERE ` + column.IsDue + ` AND (project, host) > ($1, $2) ORDER BY project, host, due_at LIMIT 1)
			UNION ALL
			SELECT n.project, n.host, n.due_at, r.step + 1 FROM r CROSS JOIN LATERAL (
				SELECT project, host, due_at FROM ringback.deliveries
				WHERE ` + column.IsDue + ` AND (project, host) > (r.project, r.host) ORDER BY project, host, due_at LIMIT 1) n
			WHERE r.step < $3)
		SELECT r.project, r.host, r.due_at, c.n FROM r CROSS JOIN LATERAL (
			SELECT count(*) AS n FROM (
				SELECT 1 FROM ringback.deliveries d
				WHERE ` + column.IsDue + ` AND d.project = r.project AND d.host = r.host LIMIT $4) counted) c`,
		[]any{after.Project, after.Host, limit, most},
		func(rows pgx.Rows) error {
			var k store.Host
			var h bucket
			err := rows.Scan(&k.Project, &k.Host, &h.due, &h.count)
			if h.count > 0 {
				note(k, h)
			}
			return err
		},
	}
}

// Waiting shows at most so many lanes and hosts, and counts so many deliveries to
// a host.
const (
	showsUpTo  = 10_000
	countsHost = 10_000
)

// Waiting implements store.Backlog. The counts of jobs are exact.
func (s *Store) Waiting(ctx context.Context) (store.Waiting, error) {
	ranks, hosts := map[rank]bucket{}, map[store.Host]bucket{}
	var suspects bucket
	counts := map[counter]int{}
	err := s.read(ctx,
		askRanks(rank{}, showsUpTo, func(r rank, h bucket) { ranks[r] = h }),
		askSuspects(&suspects),
		askHosts(store.Host{}, showsUpTo, countsHost, func(k store.Host, h bucket) { hosts[k] = h }),
		askCounts(counts))
	if err != nil {
		return store.Waiting{}, fmt.Errorf("what waits: %w", err)
	}
	out := store.Waiting{
		Deliveries: counts[pendingDeliveries], Lanes: lanesOf(ranks), Hosts: hostsOf(hosts),
		Suspects: store.LaneWaiting{Count: counts[counter{kind: waitingSuspects}], Due: column.Time(suspects.due)},
	}
	for c, n := range counts {
		if c.kind == waitingJobs || c.kind == waitingSuspects {
			out.Jobs += n
		}
	}
	for i := range out.Lanes {
		out.Lanes[i].Count = counts[counter{waitingJobs, out.Lanes[i].Lane}]
	}
	return out, nil
}

// askCounts adds up the counters of all writers.
func askCounts(to map[counter]int) question {
	return question{`SELECT kind, project, provider, model, sum(n)::bigint FROM ringback.counters GROUP BY kind, project, provider, model`, nil, func(rows pgx.Rows) error {
		var c counter
		var n int
		err := rows.Scan(&c.kind, &c.Project, &c.Provider, &c.Model, &n)
		to[c] = n
		return err
	}}
}
