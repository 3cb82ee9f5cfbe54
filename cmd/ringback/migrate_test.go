//go:build unix

package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/client"
	"github.com/ringback/ringback/internal/exit"
	"github.com/ringback/ringback/internal/postgrestest"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/postgres"
	"github.com/ringback/ringback/internal/store/sqlite"
)

// moody is a receiver with an address for each mood.
type moody struct {
	url  string
	kind atomic.Bool // to all from now on
	got  chan string // the ids of jobs that it was kind to
}

func newMoody(t *testing.T) *moody {
	m := &moody{got: make(chan string, 100)}
	ended := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			JobID string `json:"job_id"`
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Errorf("a webhook that is no JSON: %v", err)
		}
		switch {
		case r.URL.Path == "/gone":
			w.WriteHeader(http.StatusGone)
		case r.URL.Path == "/kind" || m.kind.Load():
			m.got <- body.JobID
		case r.URL.Path == "/later":
			w.Header().Set("Retry-After", "9")
			w.WriteHeader(http.StatusServiceUnavailable)
		case r.URL.Path == "/mute":
			select {
			case <-ended:
			case <-r.Context().Done():
			}
		}
	}))
	t.Cleanup(func() {
		close(ended)
		server.Close()
	})
	m.url = server.URL
	return m
}

// await waits for the webhooks of some jobs, in any order.
func (m *moody) await(t *testing.T, jobs ...string) {
	t.Helper()
	missing := map[string]bool{}
	for _, id := range jobs {
		missing[id] = true
	}
	timeout := time.After(time.Minute)
	for len(missing) > 0 {
		select {
		case id := <-m.got:
			delete(missing, id)
		case <-timeout:
			t.Fatalf("in a minute no webhook came of %v", missing)
		}
	}
}

func in(d time.Duration) *ringback.Time { return &ringback.Time{Time: time.Now().Add(d)} }

// submitTo submits a job and returns its id.
func submitTo(t *testing.T, c *client.Client, r ringback.Request, options ...client.SubmitOption) string {
	t.Helper()
	r.Prompt = "Hello \u0000 \U0001F426"
	if r.CallbackURL == "" {
		r.Events = &[]ringback.EventType{}
	}
	accepted, err := c.Submit(t.Context(), r, options...)
	if err != nil {
		t.Fatal(err)
	}
	return accepted.JobID
}

// awaitJob waits until a job is as wanted.
func awaitJob(t *testing.T, c *client.Client, id, what string, is func(ringback.Job) bool) {
	t.Helper()
	waitUntil(t, "job "+id+" "+what, func() bool {
		job, err := c.Get(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return is(job)
	})
}

func hasStatus(status ringback.Status) func(ringback.Job) bool {
	return func(j ringback.Job) bool { return j.Status == status }
}

func hasWebhook(status ringback.DeliveryStatus, tries int) func(ringback.Job) bool {
	return func(j ringback.Job) bool {
		return j.Webhook != nil && j.Webhook.Status == status && j.Webhook.Tries >= tries
	}
}

// gets returns the responses to GET for some jobs, and for dead letters.
func gets(t *testing.T, base string, jobs map[string]string) map[string]any {
	t.Helper()
	all := map[string]any{}
	for name, id := range jobs {
		for _, path := range []string{"", "?include=request", "/attempts", "/deliveries"} {
			all[name+path] = getJSON(t, base+"/api/jobs/"+id+path)
		}
	}
	for _, path := range []string{"/api/dead?kind=job", "/api/dead?kind=delivery"} {
		all[path] = getJSON(t, base+path)
	}
	return all
}

func getJSON(t *testing.T, url string) (v any) {
	t.Helper()
	resp, err := scriptClient.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s, %v: %s", url, resp.Status, err, b)
	}
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatalf("GET %s: %v", url, err)
	}
	dropPassing(v)
	return v
}

// dropPassing drops what is not stored: the token of a URL contains a time, holds of
// receivers' hosts are each process's own, and which of several refusals represents a hold
// of a model is known a moment later in the store than in memory.
func dropPassing(v any) {
	switch v := v.(type) {
	case map[string]any:
		delete(v, "stream_url")
		delete(v, "host_hold")
		delete(v, "held_by")
		for _, value := range v {
			dropPassing(value)
		}
	case []any:
		for _, value := range v {
			dropPassing(value)
		}
	}
}

func TestAKilledServersJobsGoOnInPostgreSQL(t *testing.T) {
	t.Parallel()
	receiver, data, addr := newMoody(t), filepath.Join(t.TempDir(), "data"), freeAddr(t)
	old := startProcess(t, addr, "--data", data, "--allow-callback", "127.0.0.0/8")
	c := old.client
	stable := map[string]string{
		"delivered": submitTo(t, c, ringback.Request{Model: "sim/echo", CallbackURL: receiver.url + "/kind", Metadata: json.RawMessage(`{"team":"blue","zero":"\u0000"}`)}),
		"dead":      submitTo(t, c, ringback.Request{Model: "sim/echo", CallbackURL: receiver.url + "/gone", CallbackHeaders: map[string]string{"X-Tenant": "7"}}, client.IdempotencyKey("k1")),
		"failed":    submitTo(t, c, ringback.Request{Model: "sim/status-400"}),
		"replayed":  submitTo(t, c, ringback.Request{Model: "sim/status-400"}),
		"cancelled": submitTo(t, c, ringback.Request{Model: "sim/echo", RunAt: in(time.Hour)}),
		"expired":   submitTo(t, c, ringback.Request{Model: "sim/429?retry_after=60", ExpiresAt: in(time.Second)}),
		"held":      submitTo(t, c, ringback.Request{Model: "sim/429?retry_after=60", ResultTTLSeconds: new(3000)}),
		"later":     submitTo(t, c, ringback.Request{Model: "sim/echo", RunAt: in(time.Hour), Priority: new(7), ExpiresAt: in(2 * time.Hour), FallbackModels: []string{"sim/slow"}}),
		"retried":   submitTo(t, c, ringback.Request{Model: "sim/flaky-1", CallbackURL: receiver.url + "/gone", WebhookBody: ringback.WebhookThin}),
	}
	if _, err := c.Cancel(t.Context(), stable["cancelled"]); err != nil {
		t.Fatal(err)
	}
	awaitJob(t, c, stable["delivered"], "is delivered", hasWebhook(ringback.DeliveryDelivered, 1))
	for _, name := range []string{"dead", "retried"} {
		awaitJob(t, c, stable[name], "has a dead webhook", hasWebhook(ringback.DeliveryDead, 1))
	}
	awaitJob(t, c, stable["failed"], "has failed", hasStatus(ringback.Failed))
	awaitJob(t, c, stable["replayed"], "has failed", hasStatus(ringback.Failed))
	replay, err := c.Replay(t.Context(), stable["replayed"], json.RawMessage(`{"model":"sim/echo"}`))
	if err != nil {
		t.Fatal(err)
	}
	stable["replay"] = replay.ID
	awaitJob(t, c, replay.ID, "is completed", hasStatus(ringback.Completed))
	awaitJob(t, c, stable["expired"], "has expired", hasStatus(ringback.Expired))
	awaitJob(t, c, stable["held"], "is held", func(j ringback.Job) bool { return j.Status == ringback.Queued && j.StatusReason != "" })

	inFlight := submitTo(t, c, ringback.Request{Model: "sim/echo", CallbackURL: receiver.url + "/mute"})
	awaitJob(t, c, inFlight, "is completed", hasStatus(ringback.Completed))
	stable["pending"] = submitTo(t, c, ringback.Request{Model: "sim/echo", CallbackURL: receiver.url + "/later"})
	awaitJob(t, c, stable["pending"], "waits with its webhook", hasWebhook(ringback.DeliveryPending, 1))
	soon := submitTo(t, c, ringback.Request{Model: "sim/echo", RunAt: in(8 * time.Second), CallbackURL: receiver.url + "/kind"})
	running := submitTo(t, c, ringback.Request{Model: "sim/slow?words=4&pace=1s", CallbackURL: receiver.url + "/kind"})
	awaitJob(t, c, running, "runs", hasStatus(ringback.Running))
	before := gets(t, "http://"+addr, stable)
	old.Process.Kill()
	old.Wait()

	// Nothing is lost on the way.
	database := postgrestest.Database(t)
	migrate := func() string {
		t.Helper()
		out, said, code := runProgram(t, onDatabase(database), "migrate", "--from", data, "--json")
		if code != 0 {
			t.Fatalf("migrate: exit code %d:\n%s", code, said)
		}
		return out
	}
	var summary struct{ Directory, Database map[string]int }
	if err := json.Unmarshal([]byte(migrate()), &summary); err != nil || summary.Directory["jobs"] != 14 || !cmp.Equal(summary.Directory, summary.Database) {
		t.Errorf("the summary of migrate: %v, %+v; want 14 jobs on both sides", err, summary)
	}
	secret, said, code := runProgram(t, nil, "secret", "--data", data)
	if code != 0 {
		t.Fatalf("secret: exit code %d:\n%s", code, said)
	}
	env := append(onDatabase(database), "WEBHOOK_SECRET="+strings.TrimSpace(secret))
	up := func(args ...string) (*exec.Cmd, *lockedBuffer) {
		t.Helper()
		node, log := startNodeIn(t, env, append(args, "--addr", addr, "--allow-callback", "127.0.0.0/8")...)
		waitUntil(t, "the node is up", func() bool {
			resp, err := scriptClient.Get("http://" + addr + "/readyz")
			if err == nil {
				resp.Body.Close()
			}
			return err == nil && resp.StatusCode == http.StatusOK
		})
		return node, log
	}
	node, log := up("--roles", "api") // runs nothing
	if diff := cmp.Diff(before, gets(t, "http://"+addr, stable)); diff != "" {
		t.Errorf("what GET says (-before +after):\n%s", diff)
	}
	if id := submitTo(t, c, ringback.Request{Model: "sim/echo", CallbackURL: receiver.url + "/gone", CallbackHeaders: map[string]string{"X-Tenant": "7"}}, client.IdempotencyKey("k1")); id != stable["dead"] {
		t.Errorf("the idempotency key of job %s gave a new one, %s", stable["dead"], id)
	}
	stop(t, node, log)

	// And everything that was waiting, being sent or running continues.
	receiver.kind.Store(true)
	node, log = up()
	receiver.await(t, soon, running, inFlight, stable["pending"])
	attempts, err := c.Attempts(t.Context(), running)
	if err != nil || len(attempts) != 2 || attempts[0].Outcome != ringback.AttemptUncertain || attempts[1].Outcome != ringback.AttemptAnswered {
		t.Errorf("the ledger of the job that ran: %v, %+v", err, attempts)
	}

	// A second run does nothing, even beside a server.
	migrate()
	awaitJob(t, c, running, "is still completed", hasStatus(ringback.Completed))
	stop(t, node, log)
}

// filled makes a data directory with that many completed jobs, each with its webhook
// delivered, and one that is waiting. It returns their ids in order.
func filled(t *testing.T, n int) (dir string, ids []uuid.UUID) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "data")
	s, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Join(t.Context(), store.Node{ID: "n"}); err != nil {
		t.Fatal(err)
	}
	var g errgroup.Group
	g.SetLimit(100)
	for range n {
		id, err := uuid.NewV7()
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
		last := len(ids) == n
		g.Go(func() error { return complete(t.Context(), s, id, last) })
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	return dir, ids
}

// complete stores a completed job with its webhook delivered, or a waiting one.
func complete(ctx context.Context, s *sqlite.Store, id uuid.UUID, waits bool) error {
	const host = "https://app.example.com:443"
	now := time.Now().UTC().Truncate(time.Millisecond)
	j := store.Job{
		ID: id, Project: "default", Provider: "simulated", Protocol: "anthropic", Model: "sim/echo", RequestedModel: "sim/echo",
		Options:  store.Options{CallbackURL: host, Host: host, Events: ringback.TerminalEvents, WebhookBody: ringback.WebhookFull, Timeout: time.Minute, MaxAttempts: 3, ResultTTL: time.Hour},
		Metadata: json.RawMessage(`{}`), Status: ringback.Queued, CreatedAt: now, RunAt: now, ExpiresAt: now.Add(time.Hour), EndBy: now.Add(time.Hour),
	}
	if !waits {
		j.Status, j.Node, j.Fence, j.StartedAt, j.FirstStartedAt = ringback.Running, "n", 1, now, now
	}
	if _, _, err := s.Submit(ctx, store.NewJob{Job: j, Request: store.Pack([]byte(`{"messages":[]}`))}); err != nil || waits {
		return err
	}
	delivery := store.NewDelivery{ID: id, Event: ringback.EventCompleted, URL: host, Host: host, Body: store.Pack([]byte(`{}`)), MadeAt: now, Node: "n"}
	_, err := s.Settle(ctx, j.Ref(), func(store.Job) store.Outcome {
		return store.Outcome{
			At: now, Status: ringback.Completed, Answer: store.Pack([]byte(`{"content":[]}`)), Delivery: &delivery,
			Attempt: &ringback.Attempt{Outcome: ringback.AttemptAnswered, EndedAt: ringback.Time{Time: now}},
		}
	})
	if err != nil {
		return err
	}
	_, err = s.SettleDelivery(ctx, store.Ref{ID: id, Fence: 1}, store.TryEnd{At: now, Status: ringback.DeliveryDelivered, Try: ringback.Try{At: ringback.Time{Time: now}, StatusCode: 200}})
	return err
}

// stateOf returns the name of a directory's state.
func stateOf(t *testing.T, dir string) string {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	state, err := s.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return state
}

func TestAMigrationThatIsKilledGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	dir, ids := filled(t, 2*step+500)
	database := postgrestest.Database(t)
	begun, err := postgres.OpenImport(t.Context(), postgres.Config{URL: database}, stateOf(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	begun.Close()

	// A job of the second step is blocked by a transaction that is still open.
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `INSERT INTO ringback.bodies VALUES ($1, 4, false, '')`, ids[step+step/2]); err != nil {
		t.Fatal(err)
	}
	program, err := exec.LookPath("ringback")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "migrate", "--from", dir)
	cmd.Env = onDatabase(database)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "the second step is in the middle", func() bool {
		return count(t, database, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) == 1
	})
	cmd.Process.Kill()
	cmd.Wait()
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "the server has noticed", func() bool {
		return count(t, database, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'`) == 2
	})
	carried := count(t, database, `SELECT count(*) FROM ringback.jobs`)
	if carried != step && carried != 2*step { // the server may commit completely what it has
		t.Fatalf("after the kill there are %d jobs", carried)
	}

	// Work that is done on the database meanwhile, on half of the jobs, is not undone.
	node, log := startNode(t, database, "--addr", "127.0.0.1:0")
	waitUntil(t, "the node is up", func() bool { return strings.Contains(log.String(), msgUp) })
	_, said, code := runProgram(t, onDatabase(database), "migrate", "--from", dir)
	if code != exit.DataDir || !strings.Contains(said, "nodes serve from it") {
		t.Errorf("beside a server: exit code %d:\n%s", code, said)
	}
	stop(t, node, log)
	as(t, database, `UPDATE ringback.jobs SET answer_model = 'touched' WHERE id = '`+ids[0].String()+`'`)

	out, said, code := runProgram(t, onDatabase(database), "migrate", "--from", dir)
	if code != 0 || !regexp.MustCompile(`(?m)^jobs +2500 +2500\nattempts +2499 +2499\ndeliveries +2499 +2499\ntries +2499 +2499\nbodies +7498 +7498\n$`).MatchString(out) {
		t.Errorf("the second run: exit code %d:\n%s%s", code, out, said)
	}
	for query, want := range map[string]int{
		`SELECT count(*) FROM ringback.jobs`:                                                2500,
		`SELECT count(*) FROM ringback.jobs WHERE status = 2`:                               2499,
		`SELECT count(*) FROM ringback.bodies`:                                              7498,
		`SELECT count(*) FROM ringback.jobs WHERE answer_model = 'touched'`:                 1,
		`SELECT sum(n)::bigint FROM ringback.counters WHERE kind = 'job'`:                   1,
		`SELECT coalesce(sum(n), 0)::bigint FROM ringback.counters WHERE kind = 'delivery'`: 0,
	} {
		if got := count(t, database, query); got != want {
			t.Errorf("%s: got %d, want %d", query, got, want)
		}
	}
}

func count(t *testing.T, database, query string) (n int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if err := conn.QueryRow(t.Context(), query).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

func TestOnATerminalAMigrationHasABar(t *testing.T) {
	t.Parallel()
	dir, _ := filled(t, 3)
	screen, code := onTerminal(t, "", "", []string{"RINGBACK_DATABASE_URL=" + postgrestest.Database(t)}, "migrate", "--from", dir)
	if code != 0 || !regexp.MustCompile(`jobs.*\[=+>?\] +3 of 3 `).MatchString(screen) || !strings.Contains(screen, "3 jobs copied") {
		t.Errorf("exit code %d, and on the screen:\n%s", code, screen)
	}
}
