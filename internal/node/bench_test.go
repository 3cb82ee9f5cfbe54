package node_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/node"
	"github.com/ringback/ringback/internal/provider"
	"github.com/ringback/ringback/internal/simulate"
	"github.com/ringback/ringback/internal/store/sqlite"
	"github.com/ringback/ringback/internal/webhook"
)

// BenchmarkJob measures a job from its submission to its webhook, but without the API, 50
// at a time: stored, answered at once over HTTP, stored, delivered over HTTP.
func BenchmarkJob(b *testing.B) {
	upstream := httptest.NewServer(simulate.NewProvider(simulate.ProviderConfig{}))
	defer upstream.Close()
	var delivered sync.WaitGroup
	hooks := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { delivered.Done() }))
	defer hooks.Close()
	st, err := sqlite.Open(b.Context(), sqlite.Config{Dir: b.TempDir()})
	must(b, err)
	defer st.Close()
	client, err := provider.New(provider.Config{Name: "simulated", Protocol: "anthropic", BaseURL: upstream.URL})
	must(b, err)
	guard, err := webhook.NewGuard(webhook.GuardConfig{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	must(b, err)
	sender, err := webhook.NewSender(webhook.SenderConfig{Guard: guard, UserAgent: "Ringback/bench"})
	must(b, err)
	n, err := node.New(node.Config{
		Store: st, Guard: guard, Sender: sender, Secrets: []ringback.Secret{ringback.NewSecret()},
		Providers: map[string]node.Provider{"simulated": {Client: client}}, DefaultModel: "sim/echo",
	})
	must(b, err)
	run := startRun(b, n)
	defer run()

	b.SetParallelism(25)
	b.ReportAllocs()
	b.ResetTimer()
	delivered.Add(b.N)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			_, _, err := n.Submit(b.Context(), asking(ringback.Request{
				Prompt: "What is a webhook?", CallbackURL: hooks.URL + "/hook",
			}))
			must(b, err)
		}
	})
	delivered.Wait()
}

// startRun runs a node until the function that it returns is called.
func startRun(b *testing.B, n *node.Node) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	return func() {
		cancel()
		must(b, <-ended)
	}
}
