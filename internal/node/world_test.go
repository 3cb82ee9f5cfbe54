package node_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/intake"
	"github.com/ringback/ringback/internal/limit"
	"github.com/ringback/ringback/internal/node"
	"github.com/ringback/ringback/internal/provider"
	"github.com/ringback/ringback/internal/simulate"
	"github.com/ringback/ringback/internal/store/sqlite"
	"github.com/ringback/ringback/internal/webhook"
)

// secret signs the webhooks of every test.
const secret = "whsec_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="

// patience is how long a test waits for what must come, on a machine that is busy
// otherwise.
const patience = 2 * time.Minute

// longestTry is the longest time that a sender can give a receiver, and the default here:
// on a busy machine a receiver is slow.
const longestTry = 30 * time.Second

// world is a node on a real store, with a simulated provider and receiver over
// real HTTP. Its waits are short: 10 ms before a retry, 20 ms between tries.
type world struct {
	t        *testing.T
	node     *node.Node
	store    *sqlite.Store
	dir      string
	calls    *simulate.CallLog
	receiver *simulate.Receiver
	upstream string // the provider's address
	callback string
	stop     func()
}

type setup struct {
	node     func(*node.Config)
	client   func(*provider.Config)
	receiver simulate.ReceiverConfig
	provider simulate.ProviderConfig
	sender   webhook.SenderConfig
	// hold stops a call where it is until the channel is closed; nil lets it go on.
	hold func(simulate.Call) <-chan struct{}
	// aliases are models that the provider knows by another name.
	aliases map[string]string
	// upstream puts something in front of the provider; nil: nothing.
	upstream func(http.Handler) http.Handler
	// unsigned makes the receiver check no signatures.
	unsigned bool
	// early is called while the node is still starting.
	early func(*world)
	dir   string // "" for a fresh one
	from  *world // shares provider and receiver with another world
	// beside makes it a further node on the store of another world, with its provider
	// and receiver.
	beside *world
}

// impatient ends a node without waiting for what runs.
func impatient(c *node.Config) { c.DrainTimeout = time.Nanosecond }

func start(t *testing.T, s setup) *world {
	t.Helper()
	w := &world{t: t, dir: s.dir}
	if s.dir == "" {
		w.dir = t.TempDir()
	}
	if s.beside != nil {
		s.from = s.beside
	}
	if s.from != nil {
		w.calls, w.upstream, w.receiver, w.callback = s.from.calls, s.from.upstream, s.from.receiver, s.from.callback
	} else {
		w.serve(s)
	}

	closeStore := w.open(s.beside)
	client := provider.Config{Name: "simulated", Protocol: "anthropic", BaseURL: w.upstream}
	if s.client != nil {
		s.client(&client)
	}
	upstream, err := provider.New(client)
	must(t, err)
	guard := openGuard(t)
	s.sender.Guard, s.sender.UserAgent = guard, "Ringback/test"
	s.sender.Timeout = cmp.Or(s.sender.Timeout, longestTry)
	sender, err := webhook.NewSender(s.sender)
	must(t, err)
	key, err := ringback.ParseSecret(secret)
	must(t, err)
	cfg := node.Config{
		Store: w.store, Guard: guard, Sender: sender, Secrets: []ringback.Secret{key},
		Providers:    map[string]node.Provider{"simulated": {Client: upstream}},
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
	w.run(func() {
		upstream.Close()
		closeStore()
	})
	if s.early != nil {
		s.early(w)
	}
	w.eventually("the start", func() bool { return w.node.Readiness().Checks["doors"] == "ok" })
	return w
}

// open opens a store, or uses that of another world.
func (w *world) open(beside *world) (closeStore func()) {
	w.t.Helper()
	if beside != nil {
		w.store = beside.store
		return func() {}
	}
	var err error
	w.store, err = sqlite.Open(w.t.Context(), sqlite.Config{Dir: w.dir})
	must(w.t, err)
	return func() { must(w.t, w.store.Close()) }
}

// serve starts provider and receiver.
func (w *world) serve(s setup) {
	w.t.Helper()
	w.calls = new(simulate.CallLog)
	s.provider.Observe = func(c simulate.Call) {
		w.calls.Observe(c)
		if s.hold == nil || c.End != simulate.Running {
			return
		}
		if held := s.hold(c); held != nil {
			select {
			case <-held:
			case <-w.t.Context().Done():
			}
		}
	}
	provider := renamed(s.aliases, simulate.NewProvider(s.provider))
	if s.upstream != nil {
		provider = s.upstream(provider)
	}
	upstream := httptest.NewServer(provider)
	w.t.Cleanup(upstream.Close)
	w.upstream = upstream.URL
	if !s.unsigned {
		s.receiver.Secret = secret
	}
	var err error
	w.receiver, err = simulate.NewReceiver(s.receiver)
	must(w.t, err)
	hooks := httptest.NewServer(w.receiver)
	w.t.Cleanup(hooks.Close)
	w.callback = hooks.URL + "/hook"
	w.t.Cleanup(func() {
		if v := w.receiver.Violations(); len(v) > 0 {
			w.t.Errorf("the receiver saw: %v", v)
		}
	})
}

// run runs the node until the test is over or stop is called, then closes the rest.
func (w *world) run(closeRest func()) {
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
		must(w.t, <-ended)
		closeRest()
	}
	w.t.Cleanup(w.stop)
}

// in returns the world for a subtest.
func (w *world) in(t *testing.T) *world {
	c := *w
	c.t = t
	return &c
}

// openGuard lets webhooks go to this machine.
func openGuard(t testing.TB) *webhook.Guard {
	t.Helper()
	guard, err := webhook.NewGuard(webhook.GuardConfig{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	must(t, err)
	return guard
}

// renamed lets a provider know models by other names.
func renamed(aliases map[string]string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		for ours, theirs := range aliases {
			body = bytes.Replace(body, []byte(`"model":"`+ours+`"`), []byte(`"model":"`+theirs+`"`), 1)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		h.ServeHTTP(rw, r)
	})
}

// kill returns a directory as a process that was killed at this moment would leave it, and
// ends that process. Nothing may be writing: what runs has to hang.
func (w *world) kill() (dir string) {
	w.t.Helper()
	dir = w.t.TempDir()
	for _, name := range []string{"ringback.db", "ringback.db-wal"} {
		content, err := os.ReadFile(filepath.Join(w.dir, name))
		must(w.t, err)
		must(w.t, os.WriteFile(filepath.Join(dir, name), content, 0o600))
	}
	w.stop()
	return dir
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// within returns a context that bounds a wait.
func (w *world) within() context.Context {
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	w.t.Cleanup(cancel)
	return ctx
}

// submit submits a request, to the world's callback if it names none.
func (w *world) submit(r ringback.Request) ringback.Job {
	w.t.Helper()
	j, err := w.try(r)
	must(w.t, err)
	return j
}

// try submits a request that may be refused.
func (w *world) try(r ringback.Request) (ringback.Job, error) {
	if r.CallbackURL == "" && r.Events == nil {
		r.CallbackURL = w.callback
	}
	if r.Prompt == "" && r.Messages == nil {
		r.Prompt = "What is a webhook?"
	}
	j, _, err := w.node.Submit(w.t.Context(), asking(r))
	return j, err
}

// asking returns the submission of a native request.
func asking(r ringback.Request) intake.Submission {
	return intake.Submission{Caller: intake.Caller{Project: "default"}, Options: intake.Options{Request: r}}
}

// ask submits a prompt for a model.
func (w *world) ask(model, prompt string) ringback.Job {
	w.t.Helper()
	return w.submit(ringback.Request{Model: model, Prompt: prompt})
}

// job returns a job as it is now.
func (w *world) job(id string) ringback.Job {
	w.t.Helper()
	j, err := w.node.Job(w.t.Context(), "default", id, true)
	must(w.t, err)
	return j
}

// end waits for a job's end.
func (w *world) end(id string) ringback.Job {
	w.t.Helper()
	began := time.Now()
	j, err := w.node.Wait(w.t.Context(), "default", id, patience, false)
	must(w.t, err)
	if !j.Status.Terminal() {
		w.t.Fatalf("job %s is still %s (%s) after %s", id, j.Status, j.StatusReason, patience)
	}
	if time.Since(began) >= patience {
		w.t.Fatalf("job %s is %s, but its end did not end the wait", id, j.Status)
	}
	return j
}

// webhook waits for a job's webhook.
func (w *world) webhook(id string) simulate.Delivery {
	w.t.Helper()
	return w.hook(func(d simulate.Delivery) bool { return d.JobID == id })
}

func (w *world) hook(match func(simulate.Delivery) bool) simulate.Delivery {
	w.t.Helper()
	d, err := w.receiver.WaitFor(w.within(), match)
	must(w.t, err)
	return d
}

// call waits for a call of the provider.
func (w *world) call(match func(simulate.Call) bool) simulate.Call {
	w.t.Helper()
	c, err := w.calls.Wait(w.within(), match)
	must(w.t, err)
	return c
}

// called waits for the n-th call for a prompt.
func (w *world) called(prompt string, n int) simulate.Call {
	w.t.Helper()
	seen := map[int]bool{}
	return w.call(func(c simulate.Call) bool {
		if c.Prompt == prompt {
			seen[c.Number] = true
		}
		return c.Prompt == prompt && len(seen) >= n
	})
}

// eventually waits until ok returns true. What it waits for is not published to anybody, so
// it looks again and again.
func (w *world) eventually(what string, ok func() bool) {
	w.t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	ctx := w.within()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			w.t.Fatalf("%s: not within %s", what, patience)
		}
	}
}

func (w *world) ledger(id string) []ringback.Attempt {
	w.t.Helper()
	page, err := w.node.Attempts(w.t.Context(), "default", id, "", 100)
	must(w.t, err)
	return page.Data
}

// delivery returns the job's one delivery.
func (w *world) delivery(id string) ringback.Delivery {
	w.t.Helper()
	page, err := w.node.Deliveries(w.t.Context(), "default", id, "", 100)
	must(w.t, err)
	if len(page.Data) != 1 {
		w.t.Fatalf("job %s has %d deliveries, want 1", id, len(page.Data))
	}
	return page.Data[0]
}

// settledDelivery waits for a job's end, and until its delivery is delivered or dead.
func (w *world) settledDelivery(id string) (d ringback.Delivery) {
	w.t.Helper()
	w.end(id)
	w.eventually("the end of the delivery", func() bool {
		d = w.delivery(id)
		return d.Status != ringback.DeliveryPending
	})
	return d
}

// wantOutcomes checks the ledger's outcomes, in order.
func (w *world) wantOutcomes(id string, want ...ringback.AttemptOutcome) {
	w.t.Helper()
	var got []ringback.AttemptOutcome
	for _, a := range w.ledger(id) {
		got = append(got, a.Outcome)
	}
	if !slices.Equal(got, want) {
		w.t.Errorf("ledger of %s: got %v, want %v", id, got, want)
	}
}

// wantWebhooks checks how many requests the receiver got for a job.
func (w *world) wantWebhooks(id string, want int) {
	w.t.Helper()
	got := 0
	for _, d := range w.receiver.Deliveries() {
		if d.JobID == id {
			got++
		}
	}
	if got != want {
		w.t.Errorf("webhooks of %s: got %d, want %d", id, got, want)
	}
}

// wantCalls checks how often the provider was called for a prompt.
func (w *world) wantCalls(prompt string, want int) {
	w.t.Helper()
	got := 0
	for _, c := range w.calls.Calls() {
		if bytes.Contains(c.Body, []byte(`"`+prompt+`"`)) { // including calls that were not understood
			got++
		}
	}
	if got != want {
		w.t.Errorf("provider calls for %q: got %d, want %d", prompt, got, want)
	}
}

// fault checks that a call was refused with a code, and returns the API's error.
func fault(t *testing.T, err error, code ringback.Code) *ringback.Error {
	t.Helper()
	e, ok := err.(*ringback.Error) //nolint:errorlint // it reaches the API as it is
	if !ok || e.Code != code {
		t.Fatalf("error: got %#v, want one with code %s", err, code)
	}
	return e
}

func event(t *testing.T, d simulate.Delivery) ringback.Event {
	t.Helper()
	var e ringback.Event
	must(t, json.Unmarshal(d.Body, &e))
	return e
}

// keys returns the keys of a JSON object.
func keys(t *testing.T, raw []byte) []string {
	t.Helper()
	var object map[string]json.RawMessage
	must(t, json.Unmarshal(raw, &object))
	return slices.Sorted(maps.Keys(object))
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	must(t, err)
	return string(b)
}
