package api_test

import (
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/ringback/ringback/internal/api"
)

const (
	notHere = "this server does not take requests in the providers' own formats yet: send the prompt or messages to POST /api/generate, " +
		"with a callback_url for the answer; GET /docs describes it"
	keyUnknown = "this API key is not known here; check RINGBACK_API_KEY on both sides"
	keyMissing = "an API key is required; send it as Authorization: Bearer KEY or as x-api-key: KEY"
)

func TestSDKsOfProvidersAreToldInTheirOwnFormWhatToUseInstead(t *testing.T) {
	t.Parallel()
	w := start(t, setup{api: api.Config{APIKey: "the-key"}})
	anthropic := func(kind, message string) string {
		return fmt.Sprintf(`{"type":"error","error":{"type":%q,"message":%q},"request_id":"req-1"}`+"\n", kind, message)
	}
	openai := func(code, message string) string {
		return fmt.Sprintf(`{"error":{"message":%q,"type":"invalid_request_error","param":null,"code":%q}}`+"\n", message, code)
	}
	key := []string{"Authorization", "Bearer the-key"}
	for _, c := range []struct {
		method, path string
		header       []string
		status       int
		want         string
	}{
		{"POST", "/v1/messages", []string{"x-api-key", "the-key"}, 404, anthropic("not_found_error", notHere)},
		{"POST", "/v1/messages/batches", key, 404, anthropic("not_found_error", notHere)},
		{"POST", "/v1/messages/count_tokens", key, 404, anthropic("not_found_error", notHere)},
		{"POST", "/messages", key, 404, anthropic("not_found_error", notHere)},
		{"POST", "/v1/v1/messages", key, 404, anthropic("not_found_error", notHere)},
		{"GET", "/v1/models", append([]string{"anthropic-version", "2023-06-01"}, key...), 404, anthropic("not_found_error", notHere)},
		{"GET", "/v1/models", key, 404, openai("not_found", notHere)},
		{"POST", "/v1/chat/completions", key, 404, openai("not_found", notHere)},
		{"POST", "/chat/completions", key, 404, openai("not_found", notHere)},
		{"POST", "/api/v1/chat/completions", key, 404, openai("not_found", notHere)},
		{"DELETE", "/v1/responses/resp_1", key, 404, openai("not_found", notHere)},
		{"POST", "/v1//responses", key, 404, openai("not_found", notHere)},
		{"GET", "/v1", key, 404, openai("not_found", notHere)},
		{"POST", "/v1/messages", []string{"x-api-key", "sk-ant-x"}, 401, anthropic("authentication_error", keyUnknown)},
		{"POST", "/v1/messages", nil, 401, anthropic("authentication_error", keyMissing)},
		{"POST", "/v1/responses", []string{"Authorization", "Bearer sk-x"}, 401, openai("unauthorized", keyUnknown)},
	} {
		body := ""
		if c.method == "POST" {
			body = `{}`
		}
		got := w.do(c.method, c.path, body, append([]string{"X-Request-Id", "req-1"}, c.header...)...)
		if got.StatusCode != c.status || got.body != c.want {
			t.Errorf("%s %s: got %d %s\nwant %d %s", c.method, c.path, got.StatusCode, got.body, c.status, c.want)
		}
		if got.Header.Get("X-Should-Retry") != "false" || got.Header.Get("X-Request-Id") != "req-1" || got.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s: headers %v", c.method, c.path, got.Header)
		}
	}
	if got := w.do("GET", "/api/nothing", "", key...); got.Header.Get("X-Should-Retry") != "" {
		t.Errorf("a path of ours: got %v", got.Header)
	}
}

func TestSDKsThatReachAServerByANameWithoutAKeyAreToldInTheirForm(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url+"/v1/chat/completions", http.NoBody)
	must(t, err)
	r.Host = "ringback.example.com"
	resp, err := w.client.Do(r)
	must(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	must(t, err)
	want := `{"error":{"message":"without an API key this server answers to localhost only; set RINGBACK_API_KEY, or start it with --insecure",` +
		`"type":"invalid_request_error","param":null,"code":"misdirected"}}` + "\n"
	if resp.StatusCode != http.StatusMisdirectedRequest || string(text) != want {
		t.Errorf("got %d %s, want 421 %s", resp.StatusCode, text, want)
	}
}
