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
	"github.com/ringback/ringback/internal/store/backlog"
	"github.com/ringback/ringback/internal/store/column"
)

// counter identifies a row of the table of counters.
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

// count changes a counter in the transaction.
func (t *tx) count(c counter, n int) {
	if n != 0 {
		t.counts[c] += int64(n)
	}
}

// addCounts writes the changes of counters, into this writer's own rows.
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

// How much one look at what is due reads; the next one sees more.
const (
	lookEvery  = time.Second           // at least
	lookAgain  = 50 * time.Millisecond // if there was more to see
	looksAt    = 1000                  // ranks, or hosts
	countsUpTo = 512                   // of each
)

// waiting is what this process knows of what is due: what the last look at the tables
// found, and what this process itself has moved since. It may lack other processes' changes
// until their signal arrives or the look is a second old.
type waiting struct {
	mu     sync.Mutex
	queued int
	jobs   view[backlog.Rank]
	// suspects are those of all lanes.
	suspects backlog.Bucket
	hosts    view[store.Host]

	lookingAtJobs, lookingAtHosts sync.Mutex
}

// view is what is known of where something is waiting.
type view[K comparable] struct {
	buckets map[K]backlog.Bucket
	fresh   time.Time // it is fresh enough until then
	after   K         // where the next look continues; zero: at the beginning
}

func newWaiting() *waiting {
	w := &waiting{}
	w.jobs.buckets, w.hosts.buckets = map[backlog.Rank]backlog.Bucket{}, map[store.Host]backlog.Bucket{}
	return w
}

func (v *view[K]) stale() bool { return !time.Now().Before(v.fresh) }

func (v *view[K]) spoil() { v.fresh = time.Time{} }

// take subtracts n from a bucket. If none is left there may be others that were not
// counted.
func (v *view[K]) take(k K, n int) {
	h, known := v.buckets[k]
	if h.Count -= n; h.Count > 0 {
		v.buckets[k] = h
		return
	}
	delete(v.buckets, k)
	if known {
		v.spoil()
	}
}

// replace replaces what was known with what a look found.
func (v *view[K]) replace(found map[K]backlog.Bucket, last K, began time.Time) {
	var none K
	v.buckets, v.after = found, none
	v.fresh = began.Add(lookEvery)
	if len(found) >= looksAt {
		v.after, v.fresh = last, began.Add(lookAgain)
	}
}

// due returns what is due, and the first time after that; 0 if there is none.
func (v *view[K]) due(now int64) (due map[K]backlog.Bucket, next int64) {
	due = map[K]backlog.Bucket{}
	for k, h := range v.buckets {
		switch {
		case h.Due <= now:
			due[k] = h
		case next == 0 || h.Due < next:
			next = h.Due
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
			w.suspects = w.suspects.Add(1, column.MS(j.RunAt))
			return
		}
		w.jobs.buckets[backlog.RankOf(&j)] = w.jobs.buckets[backlog.RankOf(&j)].Add(1, column.MS(j.RunAt))
	})
}

// jobLeaves subtracts a job, given as it was while it waited.
func (t *tx) jobLeaves(j store.Job) {
	t.count(counterOf(&j), -1)
	w := t.store.waiting
	t.after(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.queued--
		if !j.Suspect() {
			w.jobs.take(backlog.RankOf(&j), 1)
		} else if w.suspects.Count--; w.suspects.Count <= 0 {
			w.suspects = backlog.Bucket{}
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
		w.hosts.buckets[host] = w.hosts.buckets[host].Add(1, due)
	})
}

// deliveriesLeave subtracts deliveries to a host.
func (t *tx) deliveriesLeave(host store.Host, n int) {
	t.count(pendingDeliveries, -n)
	w := t.store.waiting
	t.after(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.hosts.take(host, n)
	})
}

// short notes that a lane had fewer due jobs than wanted.
func (w *waiting) short(l store.Lane) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for p := range store.MaxPriority + 1 {
		if _, known := w.jobs.buckets[backlog.Rank{Lane: l, Priority: p}]; known {
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

// prioritiesOf returns the priorities of jobs that are waiting in a lane, the highest
// first.
func (w *waiting) prioritiesOf(l store.Lane) []int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return backlog.Priorities(l, func(r backlog.Rank) bool { return w.jobs.buckets[r].Count > 0 })
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
	return backlog.DueJobs(column.MS(now), maps.All(due), next, w.suspects), nil
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
	return store.DueDeliveries{Hosts: backlog.Hosts(maps.All(due)), Next: column.Time(next)}, nil
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

// lookAtJobs reads where jobs are waiting, if what is known is too old. One caller reads;
// the others use what is known.
func (s *Store) lookAtJobs(ctx context.Context) error {
	w := s.waiting
	if !w.jobsStale() || !w.lookingAtJobs.TryLock() {
		return nil
	}
	defer w.lookingAtJobs.Unlock()
	return s.readJobs(ctx)
}

// knowLanes reads if nothing is known of a lane, or what is known is too old.
func (s *Store) knowLanes(ctx context.Context, wants []store.LaneWant) error {
	w := s.waiting
	if !w.jobsStale() && !slices.ContainsFunc(wants, func(l store.LaneWant) bool { return len(w.prioritiesOf(l.Lane)) == 0 }) {
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
	found, last := map[backlog.Rank]backlog.Bucket{}, after
	var suspects backlog.Bucket
	var queued int
	err := s.read(ctx,
		askRanks(after, looksAt, func(r backlog.Rank, h backlog.Bucket) { found[r], last = h, r }),
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
	if after != (backlog.Rank{}) && len(found) < looksAt {
		w.jobs.spoil() // the next look starts over
	}
	return nil
}

// askRanks steps from rank to rank through the index, starting after the given one.
func askRanks(after backlog.Rank, limit int, note func(backlog.Rank, backlog.Bucket)) question {
	return question{`
		WITH RECURSIVE r AS (
			(SELECT project, provider, model, priority, run_at, 1 AS step FROM ringback.jobs
				WHERE ` + column.IsReady + ` AND (project, provider, model, priority) > ($1, $2, $3, $4)
				ORDER BY project, provider, model, priority, run_at LIMIT 1)
			UNION ALL
			SELECT n.project, n.provider, n.model, n.Priority, n.run_at, r.step + 1 FROM r CROSS JOIN LATERAL (
				SELECT project, provider, model, priority, run_at FROM ringback.jobs
				WHERE ` + column.IsReady + ` AND (project, provider, model, priority) > (r.project, r.provider, r.model, r.Priority)
				ORDER BY project, provider, model, priority, run_at LIMIT 1) n
			WHERE r.step < $5)
		SELECT r.project, r.provider, r.model, r.Priority, r.run_at, c.n FROM r CROSS JOIN LATERAL (
			SELECT count(*) AS n FROM (
				SELECT 1 FROM ringback.jobs j
				WHERE ` + column.IsReady + ` AND j.project = r.project AND j.provider = r.provider AND j.model = r.model AND j.Priority = r.Priority
				LIMIT $6) counted) c`,
		[]any{after.Project, after.Provider, after.Model, orBefore(after), limit, countsUpTo},
		func(rows pgx.Rows) error {
			var r backlog.Rank
			var h backlog.Bucket
			err := rows.Scan(&r.Project, &r.Provider, &r.Model, &r.Priority, &h.Due, &h.Count)
			if h.Count > 0 { // otherwise it has just been claimed
				note(r, h)
			}
			return err
		},
	}
}

// orBefore returns the priority after which a scan continues; that of the zero rank is
// before all.
func orBefore(r backlog.Rank) int {
	if r == (backlog.Rank{}) {
		return -1
	}
	return r.Priority
}

func askSuspects(to *backlog.Bucket) question {
	return question{
		`SELECT count(*), coalesce(min(run_at), 0) FROM (
			SELECT run_at FROM ringback.jobs WHERE ` + column.IsSuspect + ` ORDER BY run_at, id LIMIT $1) counted`,
		[]any{countsUpTo},
		func(rows pgx.Rows) error { return rows.Scan(&to.Count, &to.Due) },
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
	found, last := map[store.Host]backlog.Bucket{}, after
	if err := s.read(ctx, askHosts(after, looksAt, countsUpTo, func(k store.Host, h backlog.Bucket) { found[k], last = h, k })); err != nil {
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

// askHosts steps from host to host through the index, starting after the given one.
func askHosts(after store.Host, limit, most int, note func(store.Host, backlog.Bucket)) question {
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
			var h backlog.Bucket
			err := rows.Scan(&k.Project, &k.Host, &h.Due, &h.Count)
			if h.Count > 0 {
				note(k, h)
			}
			return err
		},
	}
}

// Waiting shows at most that many lanes and hosts, and counts that many deliveries to a
// host.
const (
	showsUpTo  = 10_000
	countsHost = 10_000
)

// Waiting implements store.Backlog. The counts of jobs are exact.
func (s *Store) Waiting(ctx context.Context) (store.Waiting, error) {
	ranks, hosts := map[backlog.Rank]backlog.Bucket{}, map[store.Host]backlog.Bucket{}
	var suspects backlog.Bucket
	counts := map[counter]int{}
	err := s.read(ctx,
		askRanks(backlog.Rank{}, showsUpTo, func(r backlog.Rank, h backlog.Bucket) { ranks[r] = h }),
		askSuspects(&suspects),
		askHosts(store.Host{}, showsUpTo, countsHost, func(k store.Host, h backlog.Bucket) { hosts[k] = h }),
		askCounts(counts))
	if err != nil {
		return store.Waiting{}, fmt.Errorf("what waits: %w", err)
	}
	out := store.Waiting{
		Deliveries: counts[pendingDeliveries], Lanes: backlog.Lanes(maps.All(ranks)), Hosts: backlog.Hosts(maps.All(hosts)),
		Suspects: store.LaneWaiting{Count: counts[counter{kind: waitingSuspects}], Due: column.Time(suspects.Due)},
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
