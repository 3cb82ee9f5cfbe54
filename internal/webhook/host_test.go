package webhook

import (
	"slices"
	"testing"
)

func TestAHostIsFoundHoweverItIsWritten(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"https://example.com":              {"https://example.com:443"},
		"https://example.com:443/hook?a=b": {"https://example.com:443"},
		"HTTPS://Example.COM./":            {"https://example.com:443"},
		"http://example.com/hook":          {"http://example.com:80"},
		"wss://example.com/stream":         {"https://example.com:443"},
		"https://user@example.com:8443":    {"https://example.com:8443"},
		"example.com":                      {"https://example.com:443", "http://example.com:80"},
		"example.com/hook":                 {"https://example.com:443", "http://example.com:80"},
		"example.com:8443":                 {"https://example.com:8443", "http://example.com:8443"},
		"localhost:3000":                   {"https://localhost:3000", "http://localhost:3000"},
		"127.0.0.1:3000":                   {"https://127.0.0.1:3000", "http://127.0.0.1:3000"},
		"http://[2001:db8:0::1]:3000/":     {"http://[2001:db8::1]:3000"},
		"https://bücher.example":           {"https://xn--bcher-kva.example:443"},
	} {
		if got, err := HostsOf(text); err != nil || !slices.Equal(got, want) {
			t.Errorf("HostsOf(%q) = %q, %v; want %q", text, got, err, want)
		}
	}
	for _, text := range []string{"/hook", "https://", "ftp://example.com", "example.com:port", "example.com:22", "a b", "exa_mple..com", "10.1", "%zz"} {
		if got, err := HostsOf(text); err == nil {
			t.Errorf("HostsOf(%q) = %q, want an error", text, got)
		}
	}
}

// A host selects webhooks under the name that the guard gave it.
func TestAHostIsNamedAsTheGuardNamesIt(t *testing.T) {
	t.Parallel()
	g := newGuard(t, GuardConfig{})
	for _, raw := range []string{"https://example.com/hook", "http://example.com:8080/", "https://EXAMPLE.com.:443/x?y", "https://bücher.example/", "https://93.184.215.14/", "http://[2001:4860:4860::8888]:8080/a"} {
		target, err := g.CheckURL(raw)
		if err != nil {
			t.Fatalf("CheckURL(%q): %v", raw, err)
		}
		if got, err := HostsOf(raw); err != nil || !slices.Equal(got, []string{target.Host}) {
			t.Errorf("HostsOf(%q) = %q, %v; the guard says %q", raw, got, err, target.Host)
		}
	}
}
