package api_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/api"
	"github.com/ringback/ringback/internal/node"
	"github.com/ringback/ringback/internal/provider"
	"github.com/ringback/ringback/internal/store/sqlite"
	"github.com/ringback/ringback/internal/webhook"
)

// BenchmarkSubmit measures a request until its 202, after net/http: handler, node, and a
// commit that it shares with those of 64 submitters. The node does not run: jobs are only
// accepted.
func BenchmarkSubmit(b *testing.B) {
	st, err := sqlite.Open(b.Context(), sqlite.Config{Dir: b.TempDir()})
	must(b, err)
	defer st.Close()
	client, err := provider.New(provider.Config{Name: "simulated", Protocol: "anthropic", BaseURL: "http://127.0.0.1:1"})
	must(b, err)
	defer client.Close()
	guard, err := webhook.NewGuard(webhook.GuardConfig{})
	must(b, err)
	sender, err := webhook.NewSender(webhook.SenderConfig{Guard: guard, UserAgent: "Ringback/bench"})
	must(b, err)
	defer sender.Close()
	n, err := node.New(node.Config{
		Store: st, Guard: guard, Sender: sender, Secrets: []ringback.Secret{ringback.NewSecret()}, MaxQueued: 1 << 40,
		Providers: map[string]node.Provider{"simulated": {Client: client}},
	})
	must(b, err)
	server, err := api.New(api.Config{APIKey: "key"}, n)
	must(b, err)
	body, err := json.Marshal(map[string]any{
		"prompt": strings.Repeat("What is a webhook, and why? ", 1<<10/28), "model": "sim/echo",
		"max_tokens": 1024, "callback_url": "https://example.com/hook",
	})
	must(b, err)

	b.SetParallelism(32) // of each core
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		request, err := http.NewRequestWithContext(b.Context(), http.MethodPost, "http://example.com/api/generate", nil)
		if err != nil {
			b.Error(err)
			return
		}
		request.Header.Set("Authorization", "Bearer key")
		request.Header.Set("Content-Type", "application/json")
		request.ContentLength = int64(len(body))
		answer := &head{header: http.Header{}}
		for pb.Next() {
			clear(answer.header)
			request.Body = io.NopCloser(bytes.NewReader(body))
			server.ServeHTTP(answer, request)
			if answer.status != http.StatusAccepted {
				b.Errorf("got %d, want 202", answer.status)
				return
			}
		}
	})
}

// head receives a response like net/http, and keeps what precedes its body.
type head struct {
	header http.Header
	status int
}

func (h *head) Header() http.Header              { return h.header }
func (h *head) WriteHeader(status int)           { h.status = status }
func (h *head) Write(p []byte) (int, error)      { return len(p), nil }
func (h *head) SetReadDeadline(time.Time) error  { return nil }
func (h *head) SetWriteDeadline(time.Time) error { return nil }
