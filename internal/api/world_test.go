package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/api"
	"github.com/ringback/ringback/internal/node"
	"github.com/ringback/ringback/internal/provider"
	"github.com/ringback/ringback/internal/simulate"
	"github.com/ringback/ringback/internal/store/sqlite"
	"github.com/ringback/ringback/internal/webhook"
)

// world is the API of a node on a real store, over real HTTP, with a simulated
// provider and receiver.
type world struct {
	t        *testing.T
	url      string
	addr     string
	node     *node.Node
	store    *sqlite.Store
	receiver *simulate.Receiver
	callback string
	client   *http.Client
	stop     context.CancelFunc // of the API
	ended    chan error
}

type setup struct {
	api    api.Config
	node   func(*node.Config)
	server func(*api.Server)
}

func start(t *testing.T, s setup) *world {
	t.Helper()
	w := &world{t: t, client: &http.Client{Transport: &http.Transport{DisableCompression: true}}}
	t.Cleanup(w.client.CloseIdleConnections)
	logger := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	w.startNode(logger, s.node)

	if s.api.Logger == nil {
		s.api.Logger = logger
	}
	w.addr = "127.0.0.1:0"
	w.serve(s)
	t.Cleanup(func() {
		w.stop()
		must(t, <-w.ended)
	})
	return w
}

// serve starts the API, at the address that it had before if it had one.
func (w *world) serve(s setup) {
	t := w.t
	server, err := api.New(s.api, w.node)
	must(t, err)
	if s.server != nil {
		s.server(server)
	}
	l, err := net.Listen("tcp", w.addr)
	must(t, err)
	w.addr = l.Addr().String()
	w.url = "http://" + w.addr
	ctx, stop := context.WithCancel(context.Background())
	w.stop, w.ended = stop, make(chan error, 1)
	go func() { w.ended <- server.Run(ctx, l) }()
}

// restart ends the API and starts it anew; the node continues.
func (w *world) restart(s setup) {
	w.t.Helper()
	w.stop()
	must(w.t, <-w.ended)
	w.serve(s)
}

func (w *world) startNode(logger *slog.Logger, change func(*node.Config)) {
	t := w.t
	const secret = "a secret of the tests"
	upstream := httptest.NewServer(simulate.NewProvider(simulate.ProviderConfig{}))
	t.Cleanup(upstream.Close)
	var err error
	w.receiver, err = simulate.NewReceiver(simulate.ReceiverConfig{Secret: secret})
	must(t, err)
	hooks := httptest.NewServer(w.receiver)
	t.Cleanup(hooks.Close)
	w.callback = hooks.URL + "/hook"

	w.store, err = sqlite.Open(t.Context(), sqlite.Config{Dir: t.TempDir()})
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
		Store: w.store, Guard: guard, Sender: sender, Secrets: []ringback.Secret{key}, DefaultModel: "sim/echo",
		Providers: map[string]node.Provider{"simulated": {Client: client}}, DrainTimeout: time.Millisecond, Logger: logger,
	}
	if change != nil {
		change(&cfg)
	}
	w.node, err = node.New(cfg)
	must(t, err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.node.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		must(t, <-ended)
		client.Close()
		must(t, w.store.Close())
	})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// answer is a response, completely read.
type answer struct {
	*http.Response
	body string
}

// do sends a request; a body makes it JSON. header is pairs of name and value.
func (w *world) do(method, path, body string, header ...string) answer {
	w.t.Helper()
	var in io.Reader
	if body != "" {
		in = strings.NewReader(body)
	}
	return w.send(method, path, in, header...)
}

func (w *world) send(method, path string, body io.Reader, header ...string) answer {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), method, w.url+path, body)
	must(w.t, err)
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := w.client.Do(r)
	must(w.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	must(w.t, err)
	return answer{resp, string(text)}
}

// submit submits a prompt and returns the job's id.
func (w *world) submit(fields string) string {
	w.t.Helper()
	got := w.do("POST", "/api/generate", `{"callback_url":"`+w.callback+`",`+fields+`}`)
	if got.StatusCode != http.StatusAccepted {
		w.t.Fatalf("submit {%s}: got %s %s", fields, got.Status, got.body)
	}
	return read[ringback.Accepted](w.t, got).JobID
}

// end waits for the end of a job.
func (w *world) end(id string) ringback.Job {
	w.t.Helper()
	job := read[ringback.Job](w.t, w.do("GET", "/api/jobs/"+id+"?wait=30", ""))
	if !job.Status.Terminal() {
		w.t.Fatalf("job %s is still %s after 30 s", id, job.Status)
	}
	return job
}

// read decodes a body that contains exactly a T.
func read[T any](t *testing.T, a answer) T {
	t.Helper()
	var v T
	d := json.NewDecoder(bytes.NewReader([]byte(a.body)))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s %s: %v in %s", a.Request.Method, a.Request.URL, err, a.body)
	}
	if err := d.Decode(new(any)); !errors.Is(err, io.EOF) {
		t.Fatalf("%s %s: more than one value in %s", a.Request.Method, a.Request.URL, a.body)
	}
	return v
}

// refused checks an answer that is an error.
func (w *world) refused(a answer, status int, want ringback.Error) {
	w.t.Helper()
	got := read[ringback.Error](w.t, a)
	if got.RequestID == "" || got.RequestID != a.Header.Get("X-Request-Id") {
		w.t.Errorf("request_id is %q, X-Request-Id %q", got.RequestID, a.Header.Get("X-Request-Id"))
	}
	got.RequestID = ""
	if a.StatusCode != status || got != want {
		w.t.Errorf("%s %s: got %d %+v, want %d %+v", a.Request.Method, a.Request.URL.Path, a.StatusCode, got, status, want)
	}
}

// eventually polls for what no event reports.
func (w *world) eventually(what string, come func() bool) {
	w.t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !come() {
		select {
		case <-tick.C:
		case <-deadline:
			w.t.Fatalf("%s: not within %s", what, patience)
		}
	}
}
