package webhook

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/ringback/ringback"
)

// streamRows returns all URLs that are tried as a stream_to: those for callbacks, in each
// scheme, and those that only a stream can have.
func streamRows(t *testing.T) (rows []corpusRow) {
	for _, row := range readCorpus(t) {
		rows = append(rows, row)
		for from, to := range map[string]string{"http://": "ws://", "https://": "wss://"} {
			if len(row.url) >= len(from) && strings.EqualFold(row.url[:len(from)], from) {
				row.url = to + row.url[len(from):]
				rows = append(rows, row)
				break
			}
		}
	}
	return slices.Concat(rows, readRows(t, "testdata/stream-urls.tsv"))
}

func TestCorpusAtTheSubmitCheckOfStreams(t *testing.T) {
	g := newGuard(t, GuardConfig{Own: ownAddrs(self)})
	for _, row := range streamRows(t) {
		target, err := g.CheckStreamURL(row.url)
		if refuse := row.block && row.submit; (err != nil) != refuse {
			t.Errorf("line %d, %q (%s): CheckStreamURL gives %v, should it refuse: %v", row.line, row.url, row.why, err, refuse)
		}
		if err != nil && strings.Contains(err.Error(), "callback_url") {
			t.Errorf("%q: the refusal names another field: %v", row.url, err)
		}
		if err != nil {
			continue
		}
		if again, err := g.CheckStreamURL(target.URL); err != nil || again != target {
			t.Errorf("line %d: CheckStreamURL(%q) changes when it is checked again: %v, %v", row.line, row.url, again, err)
		}
		if !strings.HasPrefix(target.Host, "http") {
			t.Errorf("%q: its host is %q, which shares no slots with webhooks", row.url, target.Host)
		}
	}
}

func TestCorpusAtTheDiallerOfStreams(t *testing.T) {
	for i, row := range streamRows(t) {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			g := newGuard(t, GuardConfig{Own: ownAddrs(self)})
			names := map[string][]answer{}
			if u, err := url.Parse(row.url); err == nil && !row.submit {
				names[dnsName(t, row, u)] = row.answers
			}
			s := newStopping(t, g, newFakeDNS(names).resolver())
			if strings.Contains(row.why, "then") { // a check at submission sees only the first answer
				s.dialer.resolver.LookupNetIP(t.Context(), "ip4", mustParse(t, row.url).Hostname())
			}
			result := s.Push(t.Context(), streamTo(row.url, nil))
			switch refused := result.Class == ringback.TryBlocked; {
			case row.block && row.submit:
				if result.Verdict != Dead || !refused || len(s.asked) != 0 {
					t.Errorf("%q (%s): got %+v after %d dials, want it dead without any", row.url, row.why, result, len(s.asked))
				}
			case row.block && !strings.Contains(row.why, "answers 302"):
				if len(s.passed) != 0 || len(s.asked) == 0 || !refused {
					t.Errorf("%q (%s): of %v the dialler would connect to %v: %+v", row.url, row.why, s.asked, s.passed, result)
				}
			default:
				if len(s.passed) == 0 || refused || result.Verdict != Retry {
					t.Errorf("%q (%s): refused at the dial: %+v", row.url, row.why, result)
				}
			}
		})
	}
}

func TestARefusalOfAStreamSaysWhatWouldBeRight(t *testing.T) {
	g := newGuard(t, GuardConfig{Own: ownAddrs(self)})
	for raw, want := range map[string]string{
		"ftp://example.com/":     "stream_to must begin with http:// or https://, for one request that is held open, or with ws:// or wss://, for messages",
		"wss://example.com:22/":  "the port of stream_to must be 80, 443 or 1024 to 65535, and not one of another protocol",
		"ws://127.0.0.1/":        "127.0.0.1 is loopback; the operator can open it with --allow-callback 127.0.0.0/8",
		"wss://u@example.com/":   "stream_to must hold no user name or password; callback_headers can carry a credential",
		"https://example.com/#x": "stream_to must have no fragment; percent-encode # as %23",
	} {
		if _, err := g.CheckStreamURL(raw); err == nil || err.Error() != want {
			t.Errorf("CheckStreamURL(%q):\n got %v\nwant %s", raw, err, want)
		}
	}
	for _, raw := range []string{"ws://example.com/", "wss://example.com/"} {
		if _, err := g.CheckURL(raw); err == nil || err.Error() != errScheme.Error() {
			t.Errorf("CheckURL(%q): got %v, want it refused: no webhook goes there", raw, err)
		}
	}
	for raw, want := range map[string]Target{
		"WS://EXAMPLE.COM":            {"ws://example.com", "http://example.com:80"},
		"wss://example.com:443/a":     {"wss://example.com/a", "https://example.com:443"},
		"ws://example.com:443/a":      {"ws://example.com:443/a", "http://example.com:443"},
		"wss://[2001:4860:4860::1]/a": {"wss://[2001:4860:4860::1]/a", "https://[2001:4860:4860::1]:443"},
		"http://example.com/a":        {"http://example.com/a", "http://example.com:80"},
	} {
		if got, err := g.CheckStreamURL(raw); err != nil || got != want {
			t.Errorf("CheckStreamURL(%q):\n got %v, %v\nwant %v", raw, got, err, want)
		}
	}
}
