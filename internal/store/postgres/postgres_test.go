package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/postgrestest"
	"github.com/ringback/ringback/internal/store"
)

func open(t testing.TB, cfg Config) *Store {
	t.Helper()
	s, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func join(t testing.TB, s *Store, node string) {
	t.Helper()
	s.leases.lasts = time.Minute
	if _, err := s.Join(t.Context(), store.Node{ID: node, API: true, Worker: true}); err != nil {
		t.Fatal(err)
	}
}

var theLane = store.Lane{Project: "default", Provider: "p", Model: "m"}

// newJob returns a job that waits or, if node is set, runs.
func newJob(t testing.TB, node string) store.NewJob {
	t.Helper()
	id, err := uuid.NewV7()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().Truncate(time.Millisecond)
	j := store.Job{
		ID: id, Project: theLane.Project, Provider: theLane.Provider, Protocol: "anthropic", Model: theLane.Model, RequestedModel: theLane.Model, Metadata: []byte("{}"),
		Options: store.Options{ResultTTL: time.Hour, MaxAttempts: 3}, Status: ringback.Queued,
		CreatedAt: now, RunAt: now, ExpiresAt: now.Add(time.Hour), EndBy: now.Add(time.Hour),
	}
	if node != "" {
		j.Status, j.Fence, j.Node, j.StartedAt, j.FirstStartedAt = ringback.Running, 1, node, now, now
	}
	return store.NewJob{Job: j, Request: store.Blob{Bytes: []byte("{}")}}
}

func submit(t testing.TB, s *Store, node string) store.Job {
	t.Helper()
	j, _, err := s.Submit(t.Context(), newJob(t, node))
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func answered(at time.Time) store.Decide {
	return func(store.Job) store.Outcome {
		return store.Outcome{At: at, Status: ringback.Completed, Attempt: &ringback.Attempt{Outcome: ringback.AttemptAnswered}, Answer: store.Blob{Bytes: []byte("{}")}}
	}
}

func now() time.Time { return time.Now().Truncate(time.Millisecond) }

// claimAll claims until nothing is left.
func claimAll(t testing.TB, s *Store, node string) (claimed []store.Job) {
	for {
		if _, err := s.DueJobs(t.Context(), now()); err != nil {
			t.Error(err)
			return claimed
		}
		jobs, err := s.Claim(t.Context(), store.ClaimJobs{Node: node, Now: now(), Lanes: []store.LaneWant{{Lane: theLane, N: 7}}})
		if err != nil {
			t.Error(err)
			return claimed
		}
		if len(jobs) == 0 {
			return claimed
		}
		claimed = append(claimed, jobs...)
	}
}

func TestEachJobIsClaimedByOneOfMany(t *testing.T) {
	shareWork(t, Config{URL: postgrestest.Database(t)})
}

func TestAPoolerInTransactionModeServes(t *testing.T) {
	for name, bouncer := range map[string]func(testing.TB, string) string{
		"as it comes": postgrestest.Bouncer, "without prepared statements": postgrestest.BouncerWithoutStatements,
	} {
		t.Run(name, func(t *testing.T) {
			direct := postgrestest.Database(t)
			pooled := bouncer(t, direct)
			t.Run("with a direct way for notifications", func(t *testing.T) { shareWork(t, Config{URL: pooled, DirectURL: direct}) })
			t.Run("alone", func(t *testing.T) { shareWork(t, Config{URL: pooled}) })
		})
	}
}

// shareWork has three processes claim the jobs of a fourth.
func shareWork(t *testing.T, cfg Config) {
	const jobs = 300
	front := open(t, cfg)
	workers := make([]*Store, 3)
	for i := range workers {
		workers[i] = open(t, cfg)
		join(t, workers[i], fmt.Sprintf("%s-%d", t.Name(), i))
	}
	var submits sync.WaitGroup
	for range 10 {
		submits.Go(func() {
			for range jobs / 10 {
				if _, _, err := front.Submit(t.Context(), newJob(t, "")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	submits.Wait()
	var mu sync.Mutex
	times := map[uuid.UUID]int{}
	var works sync.WaitGroup
	for i, w := range workers {
		works.Go(func() {
			for _, j := range claimAll(t, w, fmt.Sprintf("%s-%d", t.Name(), i)) {
				mu.Lock()
				times[j.ID]++
				mu.Unlock()
				if _, err := w.Settle(t.Context(), j.Ref(), answered(now())); err != nil {
					t.Error(err)
				}
			}
		})
	}
	works.Wait()
	for id, n := range times {
		if n != 1 {
			t.Errorf("job %s was claimed %d times, want once", id, n)
		}
	}
	if len(times) != jobs {
		t.Errorf("claimed: got %d jobs, want %d", len(times), jobs)
	}
	if err := front.Reconcile(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestOthersHearWhatWasMoved(t *testing.T) {
	url := postgrestest.Database(t)
	a, b := open(t, Config{URL: url}), open(t, Config{URL: url})
	join(t, a, "a")
	heard := make(chan store.Signal, 100)
	b.Watch(func(s store.Signal) { heard <- s })
	await := func(what store.Signal) {
		t.Helper()
		for s := range heard {
			if s&what != 0 && s != everything {
				return
			}
		}
	}
	a.signals.raise(store.SignalHolds) // b misses signals until it listens
	for listening := false; !listening; {
		select {
		case <-heard:
			listening = true
		case <-time.After(20 * time.Millisecond):
			a.signals.raise(store.SignalHolds)
		}
	}
	submit(t, a, "")
	await(store.SignalJobs)
	if due, err := b.DueJobs(t.Context(), now()); err != nil || len(due.Lanes) != 1 {
		t.Errorf("DueJobs of the other: got %v, %v, want one lane", due.Lanes, err)
	}
	running := submit(t, a, "a")
	if _, err := b.Cancel(t.Context(), "default", running.ID, answered(now())); err != nil {
		t.Fatal(err)
	}
	seen := false
	j, err := a.Settle(t.Context(), running.Ref(), func(j store.Job) store.Outcome {
		seen = j.CancelRequested // in the last call: the first may not know of it
		return answered(now())(j)
	})
	if err != nil || j.Status != ringback.Completed || !seen {
		t.Errorf("Settle: got %s, %v; saw the cancel of the other: %v, want true", j.Status, err, seen)
	}
	await(store.SignalEnded)

	notified := submit(t, a, "a")
	_, err = a.Settle(t.Context(), notified.Ref(), func(j store.Job) store.Outcome {
		o := answered(now())(j)
		o.Delivery = &store.NewDelivery{ID: deliveryOf(j.ID), Event: ringback.EventCompleted, URL: "http://a.example/", Host: "http://a.example:80", MadeAt: o.At}
		return o
	})
	if err != nil {
		t.Fatal(err)
	}
	await(store.SignalDeliveries)
	if err := a.Redeliver(t.Context(), "default", deliveryOf(notified.ID), store.Redelivery{Now: now()}); err != nil {
		t.Fatal(err)
	}
	await(store.SignalDeliveries)
}

func TestManyThatStartAtOnceMakeOneSchema(t *testing.T) {
	url := postgrestest.Database(t)
	var starts sync.WaitGroup
	for range 8 {
		starts.Go(func() {
			s, err := Open(t.Context(), Config{URL: url, Connections: 2})
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			submit(t, s, "")
		})
	}
	starts.Wait()
	s := open(t, Config{URL: url})
	if w, err := s.Waiting(t.Context()); err != nil || w.Jobs != 8 {
		t.Errorf("jobs: got %d, %v, want 8", w.Jobs, err)
	}
	if err := s.Reconcile(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestNodesThatAskForTheKeyAtOnceGetTheSame(t *testing.T) {
	url := postgrestest.Database(t)
	stores := make([]*Store, 4)
	for i := range stores {
		stores[i] = open(t, Config{URL: url, Connections: 2})
	}
	keys := make([][]byte, len(stores))
	var asking sync.WaitGroup
	for i, s := range stores {
		asking.Go(func() {
			var err error
			if keys[i], err = s.SigningKey(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	asking.Wait()
	for _, key := range keys {
		if len(key) != store.SigningKeyBytes || !bytes.Equal(key, keys[0]) {
			t.Errorf("Key: got %x, want what another node has: %x", key, keys[0])
		}
	}
}

// A node of the schema before this one joins while the new one is there, and keeps its
// lease while the new one is blocked.
func TestTheSchemaGainsURLsUnderNodesThatRun(t *testing.T) {
	h := &harness{t: t, url: postgrestest.Database(t)}
	backup, err := pgx.Connect(t.Context(), h.url)
	if err != nil {
		t.Fatal(err)
	}
	defer backup.Close(context.Background())
	names, err := migrationNames()
	if err != nil {
		t.Fatal(err)
	}
	if err := migrateTo(t.Context(), backup, names[:4]); err != nil {
		t.Fatal(err)
	}
	if _, err := backup.Exec(t.Context(), `BEGIN; LOCK TABLE ringback.nodes IN ACCESS SHARE MODE`); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if _, err := Open(t.Context(), Config{URL: h.url}); !errors.Is(err, store.ErrUnavailable) || time.Since(begin) > renewTimeout+time.Second {
		t.Errorf("Open during a backup: got %v after %s, want ErrUnavailable before leases are lost", err, time.Since(begin))
	}
	if _, err := backup.Exec(t.Context(), `ROLLBACK`); err != nil {
		t.Fatal(err)
	}
	s := open(t, Config{URL: h.url})
	h.execute(`INSERT INTO ringback.nodes (id, process, machine, version, api, worker, joined_at, expires_at)
		VALUES ('a', gen_random_uuid(), '', 'v0', true, false, clock_timestamp(), clock_timestamp() + interval '1 minute')`)
	lease, err := s.Join(t.Context(), store.Node{ID: "b", URL: "http://b"})
	if err != nil || len(lease.Nodes) != 2 || lease.Nodes[0].URL != "" || lease.Nodes[1].URL != "http://b" {
		t.Errorf("Join: got %+v, %v, want a without a URL and b with its own", lease.Nodes, err)
	}
}

func TestANewerSchemaIsLeftToThoseWhoMayUseIt(t *testing.T) {
	h := newHarness(t, postgrestest.Database(t))
	h.execute(`UPDATE ringback.schema SET version = 1000`)
	open(t, Config{URL: h.url})
	h.execute(`UPDATE ringback.schema SET oldest = 999`)
	if _, err := Open(t.Context(), Config{URL: h.url}); !errors.Is(err, store.ErrTooNew) {
		t.Errorf("Open: got %v, want ErrTooNew", err)
	}
}

func TestAServerThatLosesCommitsIsRefused(t *testing.T) {
	server := postgrestest.Start(t, "fsync=off")
	if _, err := Open(t.Context(), Config{URL: server.Database()}); err == nil || !strings.Contains(err.Error(), "fsync") {
		t.Errorf("Open with fsync off: got %v, want an error that names it", err)
	}
	url := postgrestest.Database(t)
	if _, err := Open(t.Context(), Config{URL: with(url, "synchronous_commit=off")}); err == nil || !strings.Contains(err.Error(), "synchronous_commit") {
		t.Errorf("Open with synchronous_commit off: got %v, want an error that names it", err)
	}
}

func TestAServerThatIsAwayIsNamedAndComesBack(t *testing.T) {
	server := postgrestest.Start(t)
	s := open(t, Config{URL: server.Database()})
	join(t, s, "a")
	running := submit(t, s, "a")
	server.StopImmediately()
	if _, _, err := s.Submit(t.Context(), newJob(t, "")); !errors.Is(err, store.ErrUnavailable) && !errors.Is(err, store.ErrUnknown) {
		t.Errorf("Submit while it is away: got %v, want ErrUnavailable or ErrUnknown", err)
	}
	for range 100 { // at once, without asking it each time
		if _, _, err := s.Submit(t.Context(), newJob(t, "")); !errors.Is(err, store.ErrUnavailable) {
			t.Fatalf("Submit while it is away: got %v, want ErrUnavailable", err)
		}
	}
	if _, err := s.Renew(t.Context(), "a"); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Renew while it is away: got %v, want ErrUnavailable", err)
	}
	if _, _, err := s.Job(t.Context(), "default", running.ID, 0); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Job while it is away: got %v, want ErrUnavailable", err)
	}
	server.Start()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		_, err := s.Settle(t.Context(), running.Ref(), answered(now()))
		if err == nil {
			break
		}
		if !errors.Is(err, store.ErrUnavailable) {
			t.Fatalf("Settle: got %v, want ErrUnavailable or success", err)
		}
		<-tick.C // until the store asks the server again
	}
	if _, err := s.Renew(t.Context(), "a"); err != nil {
		t.Errorf("Renew when it is back: %v", err)
	}
}

// A restart leaves dead connections behind, which no caller should notice.
func TestARestartIsNotHeardOfAfterwards(t *testing.T) {
	server := postgrestest.Start(t)
	s := open(t, Config{URL: server.Database(), Connections: 4})
	join(t, s, "a")
	running := submit(t, s, "a")
	var reads sync.WaitGroup
	for range 20 { // so that there are several connections
		reads.Go(func() {
			if _, err := s.Nodes(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	reads.Wait()
	server.Restart()
	if _, err := s.Renew(t.Context(), "a"); err != nil {
		t.Errorf("Renew: %v", err)
	}
	for range 8 {
		if _, _, err := s.Job(t.Context(), "default", running.ID, 0); err != nil {
			t.Errorf("Job: %v", err)
		}
	}
	submit(t, s, "")
	if _, err := s.Settle(t.Context(), running.Ref(), answered(now())); err != nil {
		t.Errorf("Settle: %v", err)
	}
}

func TestAServerThatHangsIsNotWaitedForByAll(t *testing.T) {
	server := postgrestest.Start(t)
	s := open(t, Config{URL: server.Database()})
	submit(t, s, "")
	server.Freeze()
	var first sync.WaitGroup
	first.Go(func() {
		if _, _, err := s.Submit(context.Background(), newJob(t, "")); err != nil && !errors.Is(err, store.ErrUnknown) {
			t.Errorf("the first Submit: got %v, want success when it is back, or ErrUnknown", err)
		}
	})
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !s.writer.hangs() {
		<-tick.C // the bound is one of time
	}
	began := time.Now()
	if _, _, err := s.Submit(t.Context(), newJob(t, "")); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("the next Submit: got %v, want ErrUnavailable", err)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("it was refused after %s, want at once", took)
	}
	server.Thaw()
	first.Wait()
}

func TestAServerThatTakesNoWritesAnyMoreIsLeft(t *testing.T) {
	h := newHarness(t, postgrestest.Database(t))
	join(t, h.store, "a")
	name := strings.TrimPrefix(mustParse(t, h.url).Path, "/")
	h.execute(`ALTER DATABASE "` + name + `" SET default_transaction_read_only = on`)
	closeConn(h.store.writer.conn) // like a failover
	closeConn(h.store.leases.conn)
	if _, _, err := h.store.Submit(t.Context(), newJob(t, "")); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Submit: got %v, want ErrUnavailable", err)
	}
	if _, err := h.store.Renew(t.Context(), "a"); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Renew: got %v, want ErrUnavailable", err)
	}
	(&harness{t: t, url: with(h.url, "default_transaction_read_only=off")}).execute(`ALTER DATABASE "` + name + `" RESET default_transaction_read_only`)
	submit(t, h.store, "a")
	if _, err := h.store.Renew(t.Context(), "a"); err != nil {
		t.Error(err)
	}
}

// with returns a URL with one more parameter.
func with(url, parameter string) string {
	if strings.Contains(url, "?") {
		return url + "&" + parameter
	}
	return url + "?" + parameter
}

func mustParse(t testing.TB, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// A node may be frozen in the middle of a claim, with a lock on its own lease.
func TestAFrozenClaimDoesNotKeepALeaseForLong(t *testing.T) {
	url := postgrestest.Database(t)
	a, b := open(t, Config{URL: url}), open(t, Config{URL: url})
	join(t, a, "a")
	join(t, b, "b")
	submit(t, a, "")
	if _, err := a.DueJobs(t.Context(), now()); err != nil {
		t.Fatal(err)
	}
	frozen := newTx(a)
	jobs, err := frozen.claim(store.ClaimJobs{Node: "a", Now: now(), Lanes: []store.LaneWant{{Lane: theLane, N: 1}}})
	if err != nil || len(jobs) != 1 {
		t.Fatalf("claim: got %d jobs, %v", len(jobs), err)
	}
	if err := frozen.send(frozen.message(), nil); err != nil {
		t.Fatal(err)
	}
	var numbered, leased any
	if err := frozen.row([]any{&numbered, &leased}, seal, frozen.w.id, frozen.number, []string{"a"}); err != nil {
		t.Fatal(err)
	}
	expire(t, url, "a")
	began := time.Now()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		swept, err := b.Sweep(t.Context(), "b", now(), 10, answered(now()))
		if err != nil {
			t.Fatal(err)
		}
		if len(swept.Nodes) == 1 {
			break
		}
		<-tick.C // the server ends the transaction by its own clock
	}
	if took := time.Since(began); took > 6*time.Second {
		t.Errorf("the lease was taken away after %s, want 4 s and a bit", took)
	}
	if err := frozen.Commit(); err == nil {
		t.Error("the frozen claim was committed after its lease was taken away")
	}
	if got := claimAll(t, b, "b"); len(got) != 1 || got[0].ID != jobs[0].ID {
		t.Errorf("claimed by the other: got %d jobs, want that one", len(got))
	}
}

func expire(t testing.TB, url, node string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), `UPDATE ringback.nodes SET expires_at = clock_timestamp() - interval '1 second' WHERE id = $1`, node); err != nil {
		t.Fatal(err)
	}
}

func TestAReadWaitsForAConnectionOnlySoLong(t *testing.T) {
	t.Parallel()
	s := open(t, Config{URL: postgrestest.Database(t), Connections: 1})
	j := submit(t, s, "")
	taken, err := s.reads.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Job(t.Context(), "default", j.ID, 0); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Job without a connection: got %v, want ErrUnavailable", err)
	}
	submit(t, s, "") // the writer has its own
	taken.Release()
	if _, _, err := s.Job(t.Context(), "default", j.ID, 0); err != nil {
		t.Errorf("Job with one: %v", err)
	}
}

// A statement that waits longer than the server allows is run again.
func TestAStatementThatTimesOutIsToldAndMayBeAskedAgain(t *testing.T) {
	t.Parallel()
	url := postgrestest.Database(t)
	s := open(t, Config{URL: url})
	waits := submit(t, s, "")
	other, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close(context.Background())
	tx, err := other.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `SELECT 1 FROM ringback.jobs WHERE id = $1 FOR UPDATE`, waits.ID); err != nil {
		t.Fatal(err)
	}
	watch, err := pgx.Connect(t.Context(), url) // a transaction sees one state of who is active
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Close(context.Background())
	cancelled := make(chan error, 1)
	cancel := func() error {
		_, err := s.Cancel(context.Background(), "default", waits.ID, func(store.Job) store.Outcome {
			return store.Outcome{At: now(), Status: ringback.Cancelled}
		})
		return err
	}
	go func() { cancelled <- cancel() }()
	pid := 0 // the waiting process
	for pid == 0 {
		err := watch.QueryRow(t.Context(), `SELECT coalesce(max(pid), 0) FROM pg_stat_activity WHERE wait_event_type = 'Lock'`).Scan(&pid)
		if err != nil {
			t.Fatal(err)
		}
	}
	// As statement_timeout would end it.
	if _, err := watch.Exec(t.Context(), `SELECT pg_cancel_backend($1)`, pid); err != nil {
		t.Fatal(err)
	}
	if err := <-cancelled; !errors.Is(err, store.ErrUnavailable) && !errors.Is(err, store.ErrBusy) {
		t.Errorf("Cancel: got %v, want an error that passes", err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := cancel(); err != nil {
		t.Errorf("Cancel once more: %v", err)
	}
}

// Two batches that take the same rows in different orders each wait for the other.
func TestADeadlockIsOvercome(t *testing.T) {
	url := postgrestest.Database(t)
	s := open(t, Config{URL: url})
	join(t, s, "a")
	first, second := submit(t, s, "a"), submit(t, s, "a")
	other, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close(context.Background())
	tx, err := other.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	lock := func(j store.Job) error {
		_, err := tx.Exec(t.Context(), `SELECT 1 FROM ringback.jobs WHERE id = $1 FOR UPDATE`, j.ID)
		return err
	}
	if err := lock(second); err != nil {
		t.Fatal(err)
	}
	released := make(chan error, 1)
	go func() {
		_, err := s.Release(context.Background(), "a", []store.Ref{first.Ref(), second.Ref()}, answered(now()))
		released <- err
	}()
	for waits := 0; waits == 0; { // until it has the first, and waits for the second
		if err := other.QueryRow(t.Context(), `SELECT count(*) FROM pg_locks WHERE NOT granted`).Scan(&waits); err != nil {
			t.Fatal(err)
		}
	}
	deadlock := lock(first)
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-released; err != nil {
		t.Errorf("Release: %v (the other: %v)", err, deadlock)
	}
	if j, _, err := s.Job(t.Context(), "default", second.ID, 0); err != nil || j.Status != ringback.Completed {
		t.Errorf("job: got %s, %v, want it completed", j.Status, err)
	}
}
