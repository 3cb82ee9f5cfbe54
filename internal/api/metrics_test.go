package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/api"
	"github.com/ringback/ringback/internal/node"
)

func TestMetricsAreTextForWhoHasTheKey(t *testing.T) {
	t.Parallel()
	metrics := prometheus.NewRegistry()
	w := start(t, setup{
		api:  api.Config{APIKey: "k-1", Metrics: metrics},
		node: func(c *node.Config) { c.Metrics = metrics },
	})
	got := w.do("GET", "/metrics", "", "Authorization", "Bearer k-1", "Accept", "application/openmetrics-text")
	if kind := got.Header.Get("Content-Type"); got.StatusCode != http.StatusOK || !strings.HasPrefix(kind, "text/plain; version=0.0.4; charset=utf-8") {
		t.Errorf("got %s, %s", got.Status, kind)
	}
	for _, line := range []string{"# TYPE ringback_jobs gauge\n", "ringback_jobs{state=\"queued\"} 0\n", "# TYPE ringback_ready gauge\n"} {
		if !strings.Contains(got.body, line) {
			t.Errorf("%q is missing in\n%s", line, got.body)
		}
	}
	w.refused(w.do("GET", "/metrics", ""), http.StatusUnauthorized, ringback.Error{
		Code: ringback.Unauthorized, Message: "an API key is required; send it as Authorization: Bearer KEY or as x-api-key: KEY",
	})
}

func TestWithoutARegistryThereAreNoMetrics(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	if got := w.do("GET", "/metrics", ""); got.StatusCode != http.StatusOK || got.body != "" {
		t.Errorf("got %s %q", got.Status, got.body)
	}
}
