package client_test

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/client"
	"github.com/ringback/ringback/internal/api"
	"github.com/ringback/ringback/internal/node"
	"github.com/ringback/ringback/internal/provider"
	"github.com/ringback/ringback/internal/simulate"
	"github.com/ringback/ringback/internal/store/sqlite"
	"github.com/ringback/ringback/internal/webhook"
)

const (
	apiKey        = "key-of-the-tests"
	webhookSecret = "whsec_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="
)

// A world is a whole server with a simulated provider, and a client for it. The server can
// be stopped and started again on the same data and address.
type world struct {
	t        *testing.T
	client   *client.Client
	provider string
	dir      string
	addr     string
	stop     func()
}

func start(t *testing.T) *world {
	t.Helper()
	upstream := httptest.NewServer(simulate.NewProvider(simulate.ProviderConfig{}))
	t.Cleanup(upstream.Close)
	w := &world{t: t, provider: upstream.URL, dir: t.TempDir(), addr: "127.0.0.1:0"}
	w.serve()
	t.Cleanup(func() { w.stop() })
	w.client = w.newClient(apiKey)
	return w
}

func (w *world) newClient(key string) *client.Client {
	w.t.Helper()
	transport := &http.Transport{}
	w.t.Cleanup(transport.CloseIdleConnections)
	c, err := client.New(client.Config{URL: "http://" + w.addr + "/", APIKey: key, HTTPClient: &http.Client{Transport: transport}})
	must(w.t, err)
	return c
}

func (w *world) serve() {
	t := w.t
	t.Helper()
	logger := slog.New(slog.NewTextHandler(t.Output(), nil))
	store, err := sqlite.Open(t.Context(), sqlite.Config{Dir: w.dir})
	must(t, err)
	upstream, err := provider.New(provider.Config{Name: "simulated", Protocol: "anthropic", BaseURL: w.provider})
	must(t, err)
	guard, err := webhook.NewGuard(webhook.GuardConfig{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	must(t, err)
	sender, err := webhook.NewSender(webhook.SenderConfig{Guard: guard, UserAgent: "Ringback/test"})
	must(t, err)
	secret, err := ringback.ParseSecret(webhookSecret)
	must(t, err)
	n, err := node.New(node.Config{
		Store: store, Guard: guard, Sender: sender, Secrets: []ringback.Secret{secret}, DefaultModel: "sim/echo",
		Providers: map[string]node.Provider{"simulated": {Client: upstream}}, DrainTimeout: time.Millisecond, Logger: logger,
	})
	must(t, err)
	server, err := api.New(api.Config{APIKey: apiKey, Logger: logger}, n)
	must(t, err)
	l, err := net.Listen("tcp", w.addr)
	must(t, err)
	w.addr = l.Addr().String()

	nodeCtx, stopNode := context.WithCancel(context.Background())
	apiCtx, stopAPI := context.WithCancel(context.Background())
	nodeEnded, apiEnded := make(chan error, 1), make(chan error, 1)
	go func() { nodeEnded <- n.Run(nodeCtx) }()
	go func() { apiEnded <- server.Run(apiCtx, l) }()
	w.stop = func() {
		stopAPI()
		must(t, <-apiEnded)
		stopNode()
		must(t, <-nodeEnded)
		upstream.Close()
		must(t, store.Close())
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
