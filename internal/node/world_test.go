package node_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/limit"
	"github.com/ringback/ringback/internal/node"
	"github.com/ringback/ringback/internal/provider"
	"github.com/ringback/ringback/internal/simulate"
	"github.com/ringback/ringback/internal/store/sqlite"
	"github.com/ringback/ringback/internal/webhook"
)

// secret signs the webhooks of every test.
const secret = "whsec_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="

// world is a node on a real store, with a simulated provider and receiver over
// real HTTP. Its waits are short: 10 ms before a retry, 20 ms between tries.
type world struct {
	t        *testing.T
	node     *node.Node
	store    *sqlite.Store
	calls    *simulate.CallLog
	receiver *simulate.Receiver
	callback string
	stop     func()
}

type setup struct {
	node     func(*node.Config)
	receiver simulate.ReceiverConfig
	provider simulate.ProviderConfig
	dir      string // "" for a fresh one
}

func start(t *testing.T, s setup) *world {
	t.Helper()
	w := &world{t: t, calls: new(simulate.CallLog)}
	if s.dir == "" {
		s.dir = t.TempDir()
	}
	s.provider.Observe = w.calls.Observe
	upstream := httptest.NewServer(simulate.NewProvider(s.provider))
	t.Cleanup(upstream.Close)
	s.receiver.Secret = secret
	var err error
	w.receiver, err = simulate.NewReceiver(s.receiver)
	must(t, err)
	hooks := httptest.NewServer(w.receiver)
	t.Cleanup(hooks.Close)
	w.callback = hooks.URL + "/hook"

	w.store, err = sqlite.Open(t.Context(), sqlite.Config{Dir: s.dir})
	must(t, err)
	client, err := provider.New(provider.Config{Name: "simulated", Protocol: "anthropic", BaseURL: upstream.URL})
	must(t, err)
	guard, err := webhook.NewGuard(webhook.GuardConfig{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	must(t, err)
	sender, err := webhook.NewSender(webhook.SenderConfig{Guard: guard, UserAgent: "Ringback/test"})
	must(t, err)
	key, err := ringback.ParseSecret(secret)
	must(t, err)
	cfg := node.Config{
		Store: w.store, Guard: guard, Sender: sender, Secret: key,
		Providers:    map[string]node.Provider{"simulated": {Client: client}},
		Schedule:     webhook.NewSchedule(webhook.ScheduleConfig{Steps: []time.Duration{20 * time.Millisecond, 20 * time.Millisecond, 20 * time.Millisecond}}),
		DefaultModel: "sim/echo",
		RetryDelay:   10 * time.Millisecond,
		DrainTimeout: 10 * time.Second,
		Gate:         limit.Config{HoldMin: 20 * time.Millisecond, HoldMax: 50 * time.Millisecond},
		HostGate:     limit.Config{HoldMin: 20 * time.Millisecond, HoldMax: 50 * time.Millisecond},
		Logger:       slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if s.node != nil {
		s.node(&cfg)
	}
	w.node, err = node.New(cfg)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.node.Run(ctx) }()
	stopped := false
	w.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		must(t, <-ended)
		client.Close()
		must(t, w.store.Close())
	}
	t.Cleanup(func() {
		w.stop()
		if v := w.receiver.Violations(); len(v) > 0 {
			t.Errorf("the receiver saw: %v", v)
		}
	})
	return w
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// submit submits a request, with the world's callback where it names none.
func (w *world) submit(r ringback.Request) ringback.Job {
	w.t.Helper()
	if r.CallbackURL == "" && r.Events == nil {
		r.CallbackURL = w.callback
	}
	if r.Prompt == "" {
		r.Prompt = "What is a webhook?"
	}
	j, _, err := w.node.Submit(w.t.Context(), node.Submission{Project: "default", Request: r})
	must(w.t, err)
	return j
}

// end waits for a job's end.
func (w *world) end(id string) ringback.Job {
	w.t.Helper()
	j, err := w.node.Wait(w.t.Context(), "default", id, 20*time.Second, false)
	must(w.t, err)
	if !j.Status.Terminal() {
		w.t.Fatalf("job %s is still %s (%s) after 20 s", id, j.Status, j.StatusReason)
	}
	return j
}

// webhook waits for a job's webhook.
func (w *world) webhook(id string) simulate.Delivery {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Second)
	defer cancel()
	d, err := w.receiver.WaitFor(ctx, func(d simulate.Delivery) bool { return d.JobID == id })
	must(w.t, err)
	return d
}

func (w *world) ledger(id string) []ringback.Attempt {
	w.t.Helper()
	page, err := w.node.Attempts(w.t.Context(), "default", id, "", 100)
	must(w.t, err)
	return page.Data
}

// outcomes of a job's attempts, in order.
func (w *world) outcomes(id string) []ringback.AttemptOutcome {
	var outcomes []ringback.AttemptOutcome
	for _, a := range w.ledger(id) {
		outcomes = append(outcomes, a.Outcome)
	}
	return outcomes
}

func event(t *testing.T, d simulate.Delivery) ringback.Event {
	t.Helper()
	var e ringback.Event
	must(t, json.Unmarshal(d.Body, &e))
	return e
}
