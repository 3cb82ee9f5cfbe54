package api

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ringback/ringback"
)

func TestUnknownPathsAreNotFound(t *testing.T) {
	t.Parallel()
	s := gate(t, Config{})
	for _, target := range []string{
		"/", "/api", "/api/", "/api/jobs/", "/api//jobs", "/api/./jobs", "/api/x/../jobs", "/api/jobs/a/b",
		"/api/jobs/a/stream/b", "/api/jobs/a/events", "/api/dead/a", "/api/batches", "/docs/",
		"/docs/a/b", "/healthz/",
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete, http.MethodOptions} {
			resp, e := ask(t, s, method, target, "")
			if resp.StatusCode != http.StatusNotFound || e.Code != ringback.NotFound {
				t.Errorf("%s %s: got %d %s, want 404", method, target, resp.StatusCode, e.Code)
			}
		}
	}
}

func TestWrongMethodsAreToldTheRightOnes(t *testing.T) {
	t.Parallel()
	s := gate(t, Config{})
	for target, allow := range map[string]string{
		"/api/generate": "POST", "/api/jobs": "GET, HEAD", "/api/jobs/a": "DELETE, GET, HEAD", "/api/jobs/a/attempts": "GET, HEAD",
		"/api/jobs/a/deliveries": "GET, HEAD", "/api/jobs/a/cancel": "POST", "/api/jobs/a/retry": "POST",
		"/api/jobs/a/stream": "GET, HEAD", "/api/jobs/a/ws": "GET, HEAD",
		"/api/jobs/a/redeliver": "POST", "/api/dead": "DELETE, GET, HEAD", "/api/dead/replay": "POST", "/healthz": "GET, HEAD", "/readyz": "GET, HEAD",
		"/openapi.json": "GET, HEAD", "/docs": "GET, HEAD", "/docs/page.js": "GET, HEAD",
	} {
		for _, method := range []string{http.MethodPut, http.MethodPatch, http.MethodOptions, http.MethodTrace, "BREW"} {
			resp, e := ask(t, s, method, target, "")
			if resp.StatusCode != http.StatusMethodNotAllowed || resp.Header.Get("Allow") != allow || e.Message != "this path takes "+allow {
				t.Errorf("%s %s: got %d, Allow: %q, %q", method, target, resp.StatusCode, resp.Header.Get("Allow"), e.Message)
			}
		}
	}
}

func TestEveryAnswerHasTheSameFrame(t *testing.T) {
	t.Parallel()
	s := gate(t, Config{Version: "1.2.3"})
	resp, _ := ask(t, s, http.MethodGet, "/healthz", "", "X-Request-Id", "mine")
	got := map[string]string{}
	for name := range resp.Header {
		got[name] = resp.Header.Get(name)
	}
	want := map[string]string{
		"Cache-Control": "no-store", "Content-Type": "application/json", "X-Content-Type-Options": "nosniff", "X-Request-Id": "mine",
		"Content-Length": "34",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error("headers (-want +got):\n" + d)
	}
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost/healthz", nil)
	s.ServeHTTP(w, r)
	if got, want := w.Body.String(), `{"status":"ok","version":"1.2.3"}`+"\n"; got != want {
		t.Errorf("body: got %s, want %s", got, want)
	}
}

func TestTheFormIsCheckedBeforeTheNodeIsAsked(t *testing.T) {
	t.Parallel()
	s := gate(t, Config{})
	for _, c := range []struct {
		name, method, target, body string
		header                     []string
		want                       ringback.Error
	}{
		{"no content type", "POST", "/api/generate", "{}", []string{"Content-Type", ""}, ringback.Error{Code: "unsupported_media_type", Message: "send JSON, with Content-Type: application/json"}},
		{"a form", "POST", "/api/generate", "a=b", []string{"Content-Type", "application/x-www-form-urlencoded"}, ringback.Error{Code: "unsupported_media_type", Message: "send JSON, with Content-Type: application/json"}},
		{"Latin-1", "POST", "/api/generate", "{}", []string{"Content-Type", "application/json; charset=iso-8859-1"}, ringback.Error{Code: "unsupported_media_type", Message: "send JSON as UTF-8, with Content-Type: application/json"}},
		{"gzip", "POST", "/api/generate", "{}", []string{"Content-Encoding", "gzip"}, ringback.Error{Code: "unsupported_media_type", Message: "send the body uncompressed, without Content-Encoding"}},
		{"a parameter", "POST", "/api/generate?wait=3", "{}", nil, ringback.Error{Code: "invalid_request", Field: "wait", Message: "wait is not a query parameter here; there are none"}},
		{"another include", "GET", "/api/jobs/a?include=answer", "", nil, ringback.Error{Code: "invalid_request", Field: "include", Message: "include must be one of request"}},
		{"a long wait", "GET", "/api/jobs/a?wait=61", "", nil, ringback.Error{Code: "invalid_request", Field: "wait", Message: "wait must be from 0 to 60 seconds, such as 30 or 30s"}},
		{"a bad limit", "GET", "/api/jobs/a/attempts?limit=0", "", nil, ringback.Error{Code: "invalid_request", Field: "limit", Message: "limit must be a whole number from 1 to 100"}},
		{"a bad limit", "GET", "/api/jobs/a/deliveries?limit=x", "", nil, ringback.Error{Code: "invalid_request", Field: "limit", Message: "limit must be a whole number from 1 to 100"}},
		{"a parameter", "GET", "/readyz?verbose", "", nil, ringback.Error{Code: "invalid_request", Field: "verbose", Message: "verbose is not a query parameter here; there are none"}},
	} {
		if _, e := ask(t, s, c.method, c.target, c.body, c.header...); cmp.Diff(c.want, e) != "" {
			t.Errorf("%s, %s %s (-want +got):\n%s", c.name, c.method, c.target, cmp.Diff(c.want, e))
		}
	}
}

func TestAPanicIsAnInternalErrorThatIsLoggedOnce(t *testing.T) {
	t.Parallel()
	logger, logged := logTo(t)
	s := gate(t, Config{Logger: logger})
	resp, e := ask(t, s, http.MethodGet, "/api/jobs", "", "X-Request-Id", "req-1") // the node has no store
	want := ringback.Error{Code: "internal", Message: "internal error; the server's log has its cause under this request_id"}
	if d := cmp.Diff(want, e); d != "" || resp.StatusCode != http.StatusInternalServerError {
		t.Errorf("%d %s", resp.StatusCode, d)
	}
	if got := logged(); strings.Count(got, "level=ERROR") != 1 || !strings.Contains(got, "request_id=req-1") || !strings.Contains(got, "panic: ") {
		t.Errorf("the panic is to be logged once, with request_id and cause; got:\n%s", got)
	}
}
