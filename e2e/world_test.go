package e2e_test

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/simulate"
)

// world is a server's environment: a provider and a receiver, which outlive it, a data
// directory, and clients that find it wherever it is.
type world struct {
	t        *testing.T
	calls    *simulate.CallLog
	receiver *simulate.Receiver
	callback string   // the receiver's URL
	upstream string   // the provider's URL
	config   string   // the path of the configuration file: the provider is ezai, for claude-* and sim/*
	dir      string   // the data directory
	keeps    []string // the flags that say where jobs are kept; nil: in dir
	command  []string // that starts the server
	env      []string
	hangUp   func() // ends all connections of provider and receiver
	*endpoint
}

// setup says what is special about a world; in the zero value everything works.
type setup struct {
	receiver simulate.ReceiverConfig
	// observe sees each call of the provider as it proceeds.
	observe func(simulate.Call)
	barrier *barrier // nil: none
	// provider replaces the simulated provider.
	provider http.Handler
	enemy    string // the base URL of a second provider, for enemy/*; "": there is none
	racing   bool   // the server has the race detector
}

func newWorld(t *testing.T, s setup) *world {
	t.Helper()
	s.receiver.Secret = cmp.Or(s.receiver.Secret, whsecSecret)
	w := &world{t: t, calls: new(simulate.CallLog), dir: filepath.Join(t.TempDir(), "data"), endpoint: newEndpoint(t),
		env: []string{"EZAI_API_KEY=key", "WEBHOOK_SECRET=" + s.receiver.Secret, "GORACE=halt_on_error=1"}}
	binary, err := program()
	if s.racing {
		binary, err = racingProgram()
	}
	must(t, err)
	w.command = []string{binary}

	if s.provider == nil {
		s.provider = simulate.NewProvider(simulate.ProviderConfig{Observe: func(c simulate.Call) {
			w.calls.Observe(c)
			if s.observe != nil {
				s.observe(c)
			}
			s.barrier.stop(c)
		}})
	}
	upstream := httptest.NewServer(s.provider)
	w.upstream = upstream.URL
	t.Cleanup(upstream.Close)
	if s.barrier != nil {
		t.Cleanup(s.barrier.lift) // before upstream.Close, which waits for the calls
	}

	w.receiver, err = simulate.NewReceiver(s.receiver)
	must(t, err)
	hooks := httptest.NewServer(w.receiver)
	t.Cleanup(func() {
		hooks.CloseClientConnections() // of those that hang on purpose
		hooks.Close()
		for _, violation := range w.receiver.Violations() {
			t.Errorf("the receiver saw: %s", violation)
		}
	})
	w.callback = hooks.URL + "/hook"
	w.hangUp = func() { upstream.CloseClientConnections(); hooks.CloseClientConnections() }

	w.config = filepath.Join(t.TempDir(), "ringback.yaml")
	config := fmt.Sprintf("providers:\n  ezai: {base_url: %q}\nroutes:\n  - {model: \"sim/*\", provider: ezai}\n", upstream.URL)
	if s.enemy != "" {
		config = fmt.Sprintf("providers:\n  ezai: {base_url: %q}\n  enemy: {protocol: anthropic, base_url: %q}\n"+
			"routes:\n  - {model: \"sim/*\", provider: ezai}\n  - {model: \"enemy/*\", provider: enemy}\n", upstream.URL, s.enemy)
	}
	must(t, os.WriteFile(w.config, []byte(config), 0o600))
	return w
}

// start starts the server on what it left behind, and returns when it is up.
func (w *world) start(args ...string) *server {
	w.t.Helper()
	keeps := w.keeps
	if keeps == nil {
		keeps = []string{"--data", w.dir}
	}
	s := launch(w.t, w.command, w.env, slices.Concat(keeps, []string{
		"--addr", "127.0.0.1:0", "--config", w.config, "--allow-callback", "127.0.0.0/8",
	}, args)...)
	url, ok := <-s.up
	if !ok {
		w.t.Fatal("the server did not come up")
	}
	s.url = url
	w.leadTo(url[len("http://"):])
	return s
}

// ready waits until the server accepts jobs.
func (w *world) ready() {
	w.t.Helper()
	eventually(w.t, "ready", func() bool { return w.readiness() == http.StatusOK })
}

// readiness returns the status of /readyz; 0 if there is no answer.
func (w *world) readiness() int {
	resp, err := w.http.Get("http://127.0.0.1/readyz")
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

// submit submits a request, with the world's receiver.
func (w *world) submit(r ringback.Request) string {
	w.t.Helper()
	if r.CallbackURL == "" {
		r.CallbackURL = w.callback
	}
	accepted, err := w.api.Submit(w.t.Context(), r)
	must(w.t, err)
	return accepted.JobID
}

// ended waits for the end of a job.
func (w *world) ended(id string) ringback.Job {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	job, err := w.api.Wait(ctx, id)
	must(w.t, err)
	return job
}

// delivered waits until a job's webhook is recorded as delivered.
func (w *world) delivered(id string) ringback.Job {
	w.t.Helper()
	job, err := w.deliveredWithin(id)
	must(w.t, err)
	return job
}

// deliveredWithin is delivered for any goroutine. It may take minutes for a job that was
// refused twice.
func (w *world) deliveredWithin(id string) (ringback.Job, error) {
	limit := 2 * patience
	if long {
		// A flaky model fails again after each answer that a kill cut off, and the pause
		// before the next attempt doubles each time: minutes, after many kills.
		limit = 15 * time.Minute
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), limit)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	if _, err := w.api.Wait(ctx, id); err != nil {
		return ringback.Job{}, err
	}
	for {
		job, err := w.api.Get(ctx, id)
		if err != nil || job.Webhook != nil && job.Webhook.Status == ringback.DeliveryDelivered {
			return job, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return job, fmt.Errorf("its webhook is not delivered: %w", ctx.Err())
		}
	}
}

// webhook waits for a webhook of a job.
func (w *world) webhook(id string) simulate.Delivery {
	w.t.Helper()
	return w.received(func(d simulate.Delivery) bool { return d.JobID == id })
}

func (w *world) received(match func(simulate.Delivery) bool) simulate.Delivery {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	d, err := w.receiver.WaitFor(ctx, match)
	must(w.t, err)
	return d
}

// call waits for a call of the provider.
func (w *world) call(match func(simulate.Call) bool) simulate.Call {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	c, err := w.calls.Wait(ctx, match)
	must(w.t, err)
	return c
}

// outcomes returns those of a job's ledger, oldest first.
func (w *world) outcomes(id string) []ringback.AttemptOutcome {
	w.t.Helper()
	attempts, err := w.api.Attempts(w.t.Context(), id)
	must(w.t, err)
	var outcomes []ringback.AttemptOutcome
	for _, a := range attempts {
		outcomes = append(outcomes, a.Outcome)
	}
	return outcomes
}

// barrier holds back calls of the provider until it is lifted, at the end of the test at
// the latest.
type barrier struct {
	words   int      // calls get this far
	prompts []string // only for these; nil: all calls
	lifted  chan struct{}
	lift    func()
}

func newBarrier(words int, prompts ...string) *barrier {
	b := &barrier{words: words, prompts: prompts, lifted: make(chan struct{})}
	b.lift = sync.OnceFunc(func() { close(b.lifted) })
	return b
}

func (b *barrier) stop(c simulate.Call) {
	if b != nil && c.End == simulate.Running && c.Words >= b.words && (b.prompts == nil || slices.Contains(b.prompts, c.Prompt)) {
		<-b.lifted
	}
}
