package api

import (
	"net/http"
	"strings"
	"testing"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/node"
)

const (
	app   = "https://app.example.com"
	other = "https://other.example.com"
)

// cors returns the headers of CORS in a response.
func cors(h http.Header) (found []string) {
	for name := range h {
		if strings.HasPrefix(name, "Access-Control-") {
			found = append(found, name)
		}
	}
	return found
}

func TestAPageOfAnAllowedOriginMayCallTheAPI(t *testing.T) {
	t.Parallel()
	for allowed, want := range map[string]string{app: app, "*": "*"} {
		s := gate(t, Config{APIKey: "k", AllowOrigins: []string{allowed}})
		resp, _ := ask(t, s, http.MethodOptions, "/api/jobs/a/stream", "", "Origin", app,
			"Access-Control-Request-Method", "GET", "Access-Control-Request-Headers", "authorization,last-event-id")
		h := resp.Header
		if resp.StatusCode != http.StatusNoContent || h.Get("Access-Control-Allow-Origin") != want ||
			!strings.Contains(h.Get("Access-Control-Allow-Headers"), "Last-Event-ID") || h.Get("Access-Control-Allow-Methods") != "GET, POST, DELETE" {
			t.Errorf("%s, preflight: got %d, %v", allowed, resp.StatusCode, h)
		}
		for _, sent := range []string{"Cache-Control", "Pragma", "X-Requested-With"} { // by replacements for EventSource
			if !strings.Contains(h.Get("Access-Control-Allow-Headers"), sent) {
				t.Errorf("%s, preflight: %s is not allowed: %v", allowed, sent, h)
			}
		}
		// Its requests pass the protection, and an error can be read, too.
		resp, e := ask(t, s, http.MethodPost, "/api/generate", "", "Origin", app, "Sec-Fetch-Site", "cross-site", "X-Api-Key", "k")
		if e.Code != ringback.UnsupportedMediaType || resp.Header.Get("Access-Control-Allow-Origin") != want ||
			!strings.Contains(resp.Header.Get("Access-Control-Expose-Headers"), "Preference-Applied") {
			t.Errorf("%s, POST: got %d %s, %v", allowed, resp.StatusCode, e.Code, resp.Header)
		}
		if vary := resp.Header.Get("Vary"); (vary == "Origin") != (allowed == app) {
			t.Errorf("%s: Vary is %q", allowed, vary)
		}
		if resp, _ := ask(t, s, http.MethodGet, "/metrics", "", "Origin", app); len(cors(resp.Header)) > 0 {
			t.Errorf("%s: /metrics is given away: %v", allowed, resp.Header)
		}
	}
}

func TestAPageOfAnotherOriginMayNot(t *testing.T) {
	t.Parallel()
	for _, c := range []Config{{}, {AllowOrigins: []string{app}}} {
		s := gate(t, c)
		resp, e := ask(t, s, http.MethodOptions, "/api/generate", "", "Origin", other, "Access-Control-Request-Method", "POST")
		if e.Code != ringback.MethodNotAllowed || len(cors(resp.Header)) > 0 {
			t.Errorf("%v, preflight: got %d, %v", c.AllowOrigins, resp.StatusCode, resp.Header)
		}
		resp, e = ask(t, s, http.MethodPost, "/api/generate", `{}`, "Origin", other, "Sec-Fetch-Site", "cross-site")
		if e.Code != ringback.Forbidden || len(cors(resp.Header)) > 0 {
			t.Errorf("%v, POST: got %d, %v", c.AllowOrigins, resp.StatusCode, resp.Header)
		}
	}
}

func TestAWebSocketIsForPagesThatMay(t *testing.T) {
	t.Parallel()
	s := gate(t, Config{PublicURL: "https://r.example.com/x", AllowOrigins: []string{app}, Insecure: true})
	for origin, want := range map[string]ringback.Code{
		"": ringback.InvalidRequest, app: ringback.InvalidRequest, "http://127.0.0.1:8080": ringback.InvalidRequest, "https://r.example.com": ringback.InvalidRequest,
		other: ringback.Forbidden, "null": ringback.Forbidden, "http://127.0.0.1:9090": ringback.Forbidden, "https://app.example.com:444": ringback.Forbidden,
	} {
		header := []string{"Connection", "Upgrade", "Upgrade", "websocket"} // without a version: allowed pages get an error about that
		if origin != "" {
			header = append(header, "Origin", origin)
		}
		if _, e := ask(t, s, http.MethodGet, "/api/jobs/a/ws", "", header...); e.Code != want {
			t.Errorf("Origin %q: got %s, want %s", origin, e.Code, want)
		}
	}
}

func TestABadOriginIsNamed(t *testing.T) {
	t.Parallel()
	for _, origin := range []string{"", "app.example.com", "https://app.example.com/", "https://app.example.com/x", "https://app.example.com:443", "null", "https://a b"} {
		_, err := New(Config{APIKey: "k", AllowOrigins: []string{origin}}, new(node.Node))
		if err == nil || !strings.HasPrefix(err.Error(), "AllowOrigins: ") {
			t.Errorf("%q: got %v", origin, err)
		}
	}
	if _, err := New(Config{AllowOrigins: []string{"*"}}, new(node.Node)); err == nil {
		t.Error("every page may spend money, and New returns no error")
	}
	for _, origin := range []string{"http://localhost:3000", "https://APP.example.com", "http://[::1]:8080", "chrome-extension://abc"} {
		if _, err := New(Config{AllowOrigins: []string{origin}}, new(node.Node)); err != nil {
			t.Errorf("%q: got %v", origin, err)
		}
	}
}
