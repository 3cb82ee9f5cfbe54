package api

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/node"
)

// gate returns a server whose node must not be reached: it has no store.
func gate(t *testing.T, c Config) *Server {
	t.Helper()
	s, err := New(c, new(node.Node))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	return s
}

// ask sends one request to s and returns the response, with its error decoded.
func ask(t *testing.T, s http.Handler, method, target, body string, header ...string) (*http.Response, ringback.Error) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	if strings.HasPrefix(target, "/") {
		r.Host = "127.0.0.1:8080"
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	resp := w.Result()
	var e ringback.Error
	if resp.StatusCode >= 400 && method != http.MethodHead {
		if err := json.NewDecoder(resp.Body).Decode(&e); err != nil {
			t.Fatalf("%s %s: %d with a body that is no error: %v", method, target, resp.StatusCode, err)
		}
		if id := resp.Header.Get(headerRequestID); e.RequestID == "" || e.RequestID != id {
			t.Errorf("%s %s: request_id is %q in the body and %q in the header", method, target, e.RequestID, id)
		}
		e.RequestID = ""
	}
	return resp, e
}

func TestWithoutAKeyOnlyALoopbackHostIsServed(t *testing.T) {
	t.Parallel()
	s := gate(t, Config{})
	for _, host := range []string{"localhost", "localhost:8080", "LOCALHOST.:80", "127.0.0.1", "127.9.9.9:1", "[::1]:8080", "[::1]", "[::ffff:127.0.0.1]:80"} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/healthz", nil)
		r.Host = host
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			t.Errorf("Host %s: got %d, want 200", host, w.Code)
		}
	}
	for _, host := range []string{"", "example.com", "localhost.example.com", "127.0.0.1.example.com:8080", "10.0.0.7", "0.0.0.0:8080", "[fe80::1%25lo]:80", "128.0.0.1", "[::]:80", "2130706433"} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/healthz", nil)
		r.Host = host
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != http.StatusMisdirectedRequest {
			t.Errorf("Host %q: got %d, want 421", host, w.Code)
		}
	}
	_, e := ask(t, s, http.MethodGet, "http://example.com/api/jobs", "")
	want := ringback.Error{Code: "misdirected", Message: "without an API key this server answers to localhost only; set RINGBACK_API_KEY, or start it with --insecure"}
	if d := cmp.Diff(want, e); d != "" {
		t.Error(d)
	}
	for name, c := range map[string]Config{"a key": {APIKey: "k"}, "--insecure": {Insecure: true}} {
		if resp, _ := ask(t, gate(t, c), http.MethodGet, "http://example.com/healthz", ""); resp.StatusCode != http.StatusOK {
			t.Errorf("any Host, with %s: got %d, want 200", name, resp.StatusCode)
		}
	}
}

func TestAKeyIsAskedForEverywhereButAtTheHealthRoutes(t *testing.T) {
	t.Parallel()
	s := gate(t, Config{APIKey: "secret-key"})
	for _, target := range []string{"/api/jobs", "/api/generate", "/", "/metrics", "/api/jobs/x/attempts", "//healthz"} {
		resp, e := ask(t, s, http.MethodPost, target, "{}")
		if resp.StatusCode != http.StatusUnauthorized || e.Code != ringback.Unauthorized {
			t.Errorf("%s without a key: got %d %s, want 401", target, resp.StatusCode, e.Code)
		}
		if got := resp.Header.Get("WWW-Authenticate"); got != "Bearer" {
			t.Errorf("%s: WWW-Authenticate is %q, want Bearer", target, got)
		}
	}
	if resp, _ := ask(t, s, http.MethodGet, "/healthz", ""); resp.StatusCode != http.StatusOK {
		t.Errorf("/healthz without a key: got %d, want 200", resp.StatusCode)
	}
	const missing, wrong = "an API key is required; send it as Authorization: Bearer KEY or as x-api-key: KEY",
		"this API key is not known here; check RINGBACK_API_KEY on both sides"
	for _, c := range []struct{ name, value, message string }{
		{"Authorization", "Bearer secret-key", ""},
		{"Authorization", "bearer  secret-key", ""},
		{"X-Api-Key", "secret-key", ""},
		{"Authorization", "Basic secret-key", missing},
		{"Authorization", "secret-key", missing},
		{"X-Api-Key", "", missing},
		{"Authorization", "Bearer secret-ke", wrong},
	} {
		_, e := ask(t, s, http.MethodGet, "/nowhere", "", c.name, c.value)
		if c.message == "" && e.Code == ringback.NotFound || e.Message == c.message {
			continue
		}
		t.Errorf("%s: %q: got %s %q, want %q", c.name, c.value, e.Code, e.Message, c.message)
	}
}

func TestAKeyIsNeverPrinted(t *testing.T) {
	t.Parallel()
	var logged strings.Builder
	s := gate(t, Config{APIKey: "secret-key", Logger: slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	ask(t, s, http.MethodPost, "/api/jobs?cursor=private", `{"prompt":"private"}`, "X-Api-Key", "secret-key", "Authorization", "Bearer other-key")
	ask(t, s, http.MethodGet, "/api/nowhere?private=1", "", "X-Api-Key", "other-key")
	if got := logged.String(); strings.Count(got, "\n") != 2 || strings.Contains(got, "-key") || strings.Contains(got, "private") {
		t.Errorf("two requests are to be logged, without keys, queries and bodies; got:\n%s", got)
	}
}

func TestAWebPageOfAnotherOriginChangesNothing(t *testing.T) {
	t.Parallel()
	s := gate(t, Config{PublicURL: "https://ringback.example.com/sub"})
	for _, header := range [][]string{
		{"Sec-Fetch-Site", "cross-site"},
		{"Sec-Fetch-Site", "same-site"},
		{"Origin", "https://evil.example.com"},
	} {
		resp, e := ask(t, s, http.MethodPost, "/api/generate", "{}", header...)
		if resp.StatusCode != http.StatusForbidden || e.Code != ringback.Forbidden {
			t.Errorf("%v: got %d %s, want 403", header, resp.StatusCode, e.Code)
		}
	}
	for _, header := range [][]string{
		{"Sec-Fetch-Site", "same-origin"},
		{"Origin", "http://127.0.0.1:8080"},
		{"Origin", "https://ringback.example.com", "Sec-Fetch-Site", "cross-site"},
	} {
		header = append(header, "Content-Type", "text/plain")
		if _, e := ask(t, s, http.MethodPost, "/api/generate", "Hi", header...); e.Code != ringback.UnsupportedMediaType {
			t.Errorf("%v: got %+v, want the body to be read", header, e)
		}
	}
}

func TestOurOwnWebhookIsALoop(t *testing.T) {
	t.Parallel()
	s := gate(t, Config{APIKey: "k"}) // even if the webhook has no key: it must say what is wrong
	resp, e := ask(t, s, http.MethodPost, "/api/generate", "{}", "User-Agent", "Ringback/0.1.0", "webhook-id", "msg_1")
	if resp.StatusCode != http.StatusLoopDetected || e.Code != ringback.Loop {
		t.Errorf("got %d %s, want 508 loop", resp.StatusCode, e.Code)
	}
	for _, header := range [][]string{{"User-Agent", "Ringback/0.1.0"}, {"User-Agent", "curl/8", "webhook-id", "msg_1"}} {
		if _, e := ask(t, s, http.MethodPost, "/api/generate", "{}", header...); e.Code != ringback.Unauthorized {
			t.Errorf("%v: got %s, want unauthorized", header, e.Code)
		}
	}
}

func TestAPublicURLThatIsNoneIsAnErrorAtTheStart(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"example.com", "ftp://example.com", "https://", "http://a b/"} {
		if _, err := New(Config{PublicURL: url}, new(node.Node)); err == nil || !strings.HasPrefix(err.Error(), "PublicURL: ") {
			t.Errorf("%s: got %v", url, err)
		}
	}
}
