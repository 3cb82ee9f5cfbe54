package api_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/intake"
	"github.com/ringback/ringback/internal/node"
	"github.com/ringback/ringback/internal/provider"
	"github.com/ringback/ringback/internal/simulate"
)

// heeding returns a world whose provider records its calls; its version is set in the
// configuration.
func heeding(t *testing.T) (*world, *simulate.CallLog) {
	t.Helper()
	log := new(simulate.CallLog)
	upstream := httptest.NewServer(simulate.NewProvider(simulate.ProviderConfig{Observe: log.Observe}))
	t.Cleanup(upstream.Close)
	client, err := provider.New(provider.Config{Name: "heeding", Protocol: "anthropic", BaseURL: upstream.URL, Version: "2024-01-01", APIKey: "sk-of-the-server"})
	must(t, err)
	t.Cleanup(client.Close)
	return start(t, setup{node: func(c *node.Config) {
		c.Providers = map[string]node.Provider{"heeding": {Client: client}}
		c.Routes = []intake.Route{{Model: "*", Provider: "heeding"}}
		c.ProviderHeaders = []string{"x-team"}
		c.RetryDelay = 1
	}}), log
}

var passedOn = []string{"anthropic-beta", "anthropic-version", "openai-beta", "x-team", "x-other", "x-api-key"}

func TestHeadersForTheProviderGoWithEveryCall(t *testing.T) {
	t.Parallel()
	w, log := heeding(t)
	const key = "sk-of-the-server"
	for _, c := range []struct {
		name, body string
		header     []string
		want       map[string]string
	}{
		{"none", ``, nil, map[string]string{"anthropic-version": "2024-01-01"}},
		{"in the body", `,"provider_headers":{"Anthropic-Beta":"a,b","anthropic-version":"2026-10-21","X-Team":"blue"}`, nil,
			map[string]string{"anthropic-beta": "a,b", "anthropic-version": "2026-10-21", "x-team": "blue"}},
		{"of the request", ``, []string{"anthropic-beta", "a", "openai-beta", "x=1", "x-team", "red", "x-other", "no", "x-api-key", "sk-of-the-caller"},
			map[string]string{"anthropic-beta": "a", "anthropic-version": "2024-01-01", "openai-beta": "x=1", "x-team": "red"}},
		{"in both", `,"provider_headers":{"anthropic-beta":"a"}`, []string{"anthropic-beta", "a", "x-team", "red"},
			map[string]string{"anthropic-beta": "a", "anthropic-version": "2024-01-01", "x-team": "red"}},
	} {
		got := w.do("POST", "/api/generate", `{"prompt":"`+c.name+`","model":"sim/flaky-1","callback_url":"`+w.callback+`"`+c.body+`}`, c.header...)
		if got.StatusCode != http.StatusAccepted {
			t.Fatalf("%s: got %s %s", c.name, got.Status, got.body)
		}
		if j := w.end(read[ringback.Accepted](t, got).JobID); j.Status != ringback.Completed || j.Attempts != 2 {
			t.Fatalf("%s: got %s after %d attempts", c.name, j.Status, j.Attempts)
		}
		c.want["x-api-key"] = key
		for _, call := range log.Of(c.name) {
			sent := map[string]string{}
			for _, name := range passedOn {
				if v := call.Header.Get(name); v != "" {
					sent[name] = v
				}
			}
			if diff := cmp.Diff(c.want, sent); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.name, diff)
			}
		}
	}
}

func TestHeadersForTheProviderAreShownWithTheRequestAlone(t *testing.T) {
	t.Parallel()
	w, _ := heeding(t)
	id := w.submit(`"prompt":"shown","provider_headers":{"openai-beta":"x"}`)
	w.end(id)
	job := read[ringback.Job](t, w.do("GET", "/api/jobs/"+id+"?include=request", ""))
	if diff := cmp.Diff(map[string]string{"openai-beta": "x"}, job.ProviderHeaders); diff != "" {
		t.Errorf("with the request (-want +got):\n%s", diff)
	}
	for _, path := range []string{"/api/jobs/" + id, "/api/jobs"} {
		if got := w.do("GET", path, ""); strings.Contains(got.body, "provider_headers") {
			t.Errorf("GET %s shows them: %s", path, got.body)
		}
	}
}

func TestHeadersForTheProviderThatContradictAreRefused(t *testing.T) {
	t.Parallel()
	w, _ := heeding(t)
	submit := func(body string, header ...string) answer {
		return w.do("POST", "/api/generate", `{"prompt":"a","callback_url":"`+w.callback+`","provider_headers":`+body+`}`, header...)
	}
	got := submit(`{"Anthropic-Beta":"a"}`, "anthropic-beta", "b")
	w.refused(got, http.StatusBadRequest, ringback.Error{
		Code: ringback.InvalidRequest, Field: "provider_headers.Anthropic-Beta",
		Message: "provider_headers.Anthropic-Beta and the header anthropic-beta of this request differ; give one of them",
	})
	got = submit(`{"cookie":"a"}`)
	w.refused(got, http.StatusBadRequest, ringback.Error{
		Code: ringback.InvalidRequest, Field: "provider_headers.cookie",
		Message: "provider_headers.cookie is not a header that may be passed on to the provider; allowed are " +
			"anthropic-beta, anthropic-version, openai-beta, openai-organization, openai-project, x-team",
	})
	got = submit(`[]`)
	w.refused(got, http.StatusBadRequest, ringback.Error{
		Code: ringback.InvalidRequest, Field: "provider_headers", Message: "provider_headers must be an object, not an array",
	})
}

func TestHeadersForTheProviderInTheBodyAreComparedUnderAnIdempotencyKey(t *testing.T) {
	t.Parallel()
	w, _ := heeding(t)
	submit := func(beta string) int {
		value, err := json.Marshal(beta)
		must(t, err)
		return w.do("POST", "/api/generate", `{"prompt":"a","callback_url":"`+w.callback+`","provider_headers":{"anthropic-beta":`+string(value)+`}}`,
			"Idempotency-Key", "k").StatusCode
	}
	if first, same, other := submit("a"), submit("a"), submit("b"); first != 202 || same != 202 || other != http.StatusUnprocessableEntity {
		t.Errorf("got %d, the same again %d, another one %d; want 202, 202, 422", first, same, other)
	}
}
