package webhook

import (
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/idna"
)

func newGuard(t testing.TB, c GuardConfig) *Guard {
	t.Helper()
	g, err := NewGuard(c)
	if err != nil {
		t.Fatalf("NewGuard: %v", err)
	}
	return g
}

// localGuard is open to loopback, as it is in demonstrations and tests.
func localGuard(t testing.TB) *Guard {
	return newGuard(t, GuardConfig{Allow: prefixes("127.0.0.0/8", "::1/128")})
}

func ownAddrs(addrs ...netip.Addr) func() ([]netip.Addr, error) {
	return func() ([]netip.Addr, error) { return addrs, nil }
}

func TestARefusalSaysWhatWouldBeRight(t *testing.T) {
	g := newGuard(t, GuardConfig{Own: ownAddrs(self)})
	for raw, want := range map[string]string{
		"http://10.0.0.7/":                          "10.0.0.7 is private; the operator can open it with --allow-callback",
		"http://[fd00::1]/":                         "fd00::1 is private; the operator can open it with --allow-callback",
		"http://127.0.0.1/":                         "127.0.0.1 is loopback; the operator can open it with --allow-callback 127.0.0.0/8",
		"http://[::1]/":                             "::1 is loopback; the operator can open it with --allow-callback ::1/128",
		"http://LOCALHOST/":                         "localhost is loopback; the operator can open it with --allow-callback 127.0.0.0/8",
		"http://169.254.1.1/":                       "169.254.1.1 is link-local; the operator can open it with --allow-callback",
		"http://100.64.0.1/":                        "100.64.0.1 is shared address space; the operator can open it with --allow-callback",
		"http://0.0.0.0/":                           "0.0.0.0 is unspecified; the operator can open it with --allow-callback",
		"http://240.0.0.1/":                         "240.0.0.1 is reserved; the operator can open it with --allow-callback",
		"http://224.0.0.1/":                         "224.0.0.1 is multicast; a callback goes to one host",
		"http://169.254.169.254/":                   "169.254.169.254 is a cloud metadata address; the operator can open it with --allow-callback, but only by its own range",
		"http://93.184.215.20/":                     "93.184.215.20 is an address of this server; the operator can open it with --allow-callback, but only by its own range",
		"http://[::ffff:10.0.0.1]/":                 "::ffff:10.0.0.1 is an IPv4 address written as IPv6; write 10.0.0.1",
		"http://127.1/":                             errAddress.Error(),
		"ftp://example.com/":                        errScheme.Error(),
		"example.com/hook":                          errScheme.Error(),
		"http:///hook":                              errHost.Error(),
		"http://u:secret@example.com/":              errUserinfo.Error(),
		"http://example.com/#x":                     errFragment.Error(),
		"http://example.com/a b":                    errCharacters.Error(),
		"http://example.com:22/":                    errPort.Error(),
		"http://exa_mple..com/":                     errName.Error(),
		"http://example.com/%zz":                    errForm.Error(),
		"http://example.com/\xff":                   errForm.Error(),
		"http://e.com/" + strings.Repeat("a", 2048): errTooLong.Error(),
		"http://e.com/" + strings.Repeat("ü", 1000): errTooLong.Error(),
	} {
		if _, err := g.CheckURL(raw); err == nil || err.Error() != want {
			t.Errorf("CheckURL(%.60q):\n got %v\nwant %s", raw, err, want)
		}
	}
}

func TestCheckURLGivesWhatIsDialledAndWhatSharesSlots(t *testing.T) {
	g := localGuard(t)
	for raw, want := range map[string]Target{
		"HTTPS://EXAMPLE.com":                 {"https://example.com", "https://example.com:443"},
		"https://example.com:443/a?b=c":       {"https://example.com/a?b=c", "https://example.com:443"},
		"https://example.com./a":              {"https://example.com./a", "https://example.com:443"},
		"http://example.com:0443/a":           {"http://example.com:443/a", "http://example.com:443"},
		"http://example.com:/a":               {"http://example.com/a", "http://example.com:80"},
		"https://bücher.example/ü?ü=%C3%BC":   {"https://xn--bcher-kva.example/%C3%BC?%C3%BC=%C3%BC", "https://xn--bcher-kva.example:443"},
		"https://[2001:4860:4860:0::8888]/":   {"https://[2001:4860:4860::8888]/", "https://[2001:4860:4860::8888]:443"},
		"https://[2001:4860:4860::8888]:8443": {"https://[2001:4860:4860::8888]:8443", "https://[2001:4860:4860::8888]:8443"},
		"http://LocalHost:9099/hook":          {"http://localhost:9099/hook", "http://localhost:9099"},
		"http://127.0.0.1:9099/a%2Fb":         {"http://127.0.0.1:9099/a%2Fb", "http://127.0.0.1:9099"},
	} {
		if got, err := g.CheckURL(raw); err != nil || got != want {
			t.Errorf("CheckURL(%q):\n got %v, %v\nwant %v", raw, got, err, want)
		}
	}
}

func TestWhatTheOperatorOpens(t *testing.T) {
	for _, c := range []struct {
		name   string
		allow  []netip.Prefix
		open   []string
		closed []string
	}{
		{"nothing", nil, []string{"93.184.215.14"}, []string{"10.0.0.1", "127.0.0.1", "::1", "93.184.215.20"}},
		{"a private range", prefixes("10.1.0.0/16"), []string{"10.1.2.3"}, []string{"10.2.0.1", "192.168.0.1", "127.0.0.1"}},
		{"two ranges of each family", prefixes("10.0.0.0/8", "127.0.0.0/8", "fd00::/8", "::1/128"), []string{"10.0.0.1", "127.0.0.9", "fd00::9", "::1"}, []string{"fe80::1", "192.168.0.1"}},
		{"a range written with a host's bits", prefixes("10.1.2.3/16"), []string{"10.1.9.9"}, []string{"10.2.0.1"}},
		{"everything, but for metadata and itself", prefixes("0.0.0.0/0", "::/0"), []string{"10.0.0.1", "127.0.0.1", "fe80::1"},
			[]string{"169.254.169.254", "169.254.170.2", "100.100.100.200", "192.0.0.192", "168.63.129.16", "fd00:ec2::254", "fd20:ce::254", "93.184.215.20", "fe80::1%eth0"}},
		{"link-local, but for metadata", prefixes("169.254.0.0/16"), []string{"169.254.1.1"}, []string{"169.254.169.254", "169.254.170.23"}},
		{"metadata by its own range", prefixes("169.254.169.254/32", "169.254.170.2/32"), []string{"169.254.169.254", "169.254.170.2"}, []string{"169.254.170.3", "169.254.1.1"}},
		{"itself by its own range", prefixes("93.184.215.20/32"), []string{"93.184.215.20"}, nil},
		{"all of IPv6, but for metadata by another spelling", prefixes("::/0"), []string{"2001:4860:4860::8888", "fd00::9", "::1", "2002:5db8:d70e::1", "::ffff:93.184.215.14"},
			[]string{"::ffff:169.254.169.254", "::169.254.169.254", "::ffff:0:169.254.169.254", "64:ff9b::169.254.169.254", "64:ff9b:1::169.254.169.254",
				"2002:a9fe:a9fe::1", "2001:0:a9fe:a9fe::1", "2001:0:5db8:d70e:0:0:5601:5601", "2001:4860::5efe:169.254.169.254", "2001:4860::200:5efe:10.0.0.1",
				"::ffff:10.0.0.1", "2002:7f00:1::1", "::ffff:93.184.215.20"}},
		{"NAT64, but for what it hides", prefixes("64:ff9b::/96"), []string{"64:ff9b::93.184.215.14"}, []string{"64:ff9b::127.0.0.1", "64:ff9b::169.254.169.254", "64:ff9b::10.0.0.1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newGuard(t, GuardConfig{Allow: c.allow, Own: ownAddrs(self)})
			for _, a := range c.open {
				if err := g.Control("tcp"+family(a), netip.AddrPortFrom(netip.MustParseAddr(a), 443).String(), nil); err != nil {
					t.Errorf("%s is closed: %v", a, err)
				}
			}
			for _, a := range c.closed {
				_, blocked := errors.AsType[*BlockedError](g.Control("tcp"+family(a), netip.AddrPortFrom(netip.MustParseAddr(a), 443).String(), nil))
				if !blocked {
					t.Errorf("%s is open", a)
				}
			}
		})
	}
}

func family(a string) string {
	if strings.Contains(a, ":") {
		return "6"
	}
	return "4"
}

func TestControlPassesOnlyTCPAndPortsOfWebhooks(t *testing.T) {
	g := newGuard(t, GuardConfig{})
	for _, c := range []struct {
		network, address string
		open             bool
	}{
		{"tcp4", "93.184.215.14:80", true}, {"tcp4", "93.184.215.14:443", true}, {"tcp4", "93.184.215.14:1024", true}, {"tcp4", "93.184.215.14:65535", true},
		{"tcp4", "93.184.215.14:0", false}, {"tcp4", "93.184.215.14:81", false}, {"tcp4", "93.184.215.14:1023", false}, {"tcp4", "93.184.215.14:6379", false},
		{"udp4", "93.184.215.14:443", false}, {"tcp", "93.184.215.14:443", false}, {"tcp4", ":443", false}, {"unix", "/run/docker.sock", false}, {"tcp6", "[::ffff:93.184.215.14]:443", false},
	} {
		if err := g.Control(c.network, c.address, nil); (err == nil) != c.open {
			t.Errorf("Control(%s, %s): got %v, should it pass: %v", c.network, c.address, err, c.open)
		}
	}
}

func TestTheOwnInterfacesAreClosed(t *testing.T) {
	g := newGuard(t, GuardConfig{Allow: prefixes("0.0.0.0/0", "::/0")})
	own, err := interfaceAddrs()
	if err != nil || len(own) == 0 {
		t.Fatalf("this machine has no addresses: %v", err)
	}
	for _, a := range own {
		if kind := g.refuse(a.Unmap()); (kind == kindOwn) == a.IsLoopback() {
			t.Errorf("own address %s: got %q", a, kind)
		}
	}
}

func TestAnAddressThatThisMachineGetsLaterIsClosedToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		later := netip.MustParseAddr("93.184.215.21")
		own := []netip.Addr{self}
		var err error
		g := newGuard(t, GuardConfig{Own: func() ([]netip.Addr, error) { return own, err }})
		if kind := g.refuse(later); kind != "" {
			t.Errorf("before: %s is %s, want it open", later, kind)
		}
		own = append(own, later)
		time.Sleep(ownFor + time.Second)
		if kind := g.refuse(later); kind != kindOwn {
			t.Errorf("afterwards: %s is %q, want %q", later, kind, kindOwn)
		}
		own, err = nil, errors.New("no interfaces")
		time.Sleep(ownFor + time.Second)
		if kind := g.refuse(later); kind != kindOwn {
			t.Errorf("when they cannot be read: %s is %q, want %q as before", later, kind, kindOwn)
		}
	})
}

func TestNewGuardRefuses(t *testing.T) {
	for _, p := range []netip.Prefix{{}, netip.MustParsePrefix("::ffff:10.0.0.0/104")} {
		if _, err := NewGuard(GuardConfig{Allow: []netip.Prefix{p}}); err == nil {
			t.Errorf("NewGuard takes %v", p)
		}
	}
	broken := errors.New("no interfaces")
	if _, err := NewGuard(GuardConfig{Own: func() ([]netip.Addr, error) { return nil, broken }}); !errors.Is(err, broken) {
		t.Errorf("NewGuard without its own addresses: got %v", err)
	}
}

func TestABlockedErrorShowsTheAddressToTheOperatorAlone(t *testing.T) {
	err := newGuard(t, GuardConfig{}).Control("tcp4", "10.1.2.3:443", nil)
	if strings.Contains(err.Error(), "10.1.2.3") {
		t.Errorf("the error's text holds the address: %v", err)
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Warn("blocked", "err", err)
	if !strings.Contains(log.String(), "10.1.2.3:443 is private") {
		t.Errorf("the operator's log does not name the address: %s", &log)
	}
}

func TestHeaders(t *testing.T) {
	got, err := Headers(map[string]string{"authorization": "Bearer x", "X-Tenant": "ü 7"})
	if want := (http.Header{"Authorization": {"Bearer x"}, "X-Tenant": {"ü 7"}}); err != nil || !slices.Equal(got["Authorization"], want["Authorization"]) || !slices.Equal(got["X-Tenant"], want["X-Tenant"]) || len(got) != 2 {
		t.Errorf("Headers: got %v, %v, want %v", got, err, want)
	}
	for _, name := range []string{
		"Host", "Content-Length", "content-type", "Content-Encoding", "Transfer-Encoding", "Connection", "TE", "Trailer", "Upgrade", "Expect", "Keep-Alive",
		"Proxy-Authorization", "Proxy-Connection", "User-Agent", "Webhook-Id", "webhook_signature", "X-Webhook-Signature", "Idempotency-Key", "X-Idempotency-Key", "x_idempotency_key",
		"Metadata-Flavor", "Metadata", "X-aws-ec2-metadata-token", "X-aws-ec2-metadata-token-ttl-seconds", "X-Forwarded-For", "", "a b", "a:b", "a\r\nb", "ü",
	} {
		if _, err := Headers(map[string]string{"X-Good": "1", name: "1"}); err == nil || !strings.Contains(err.Error(), strings.Trim(strings.ToValidUTF8(name, ""), "\r\nab")) {
			t.Errorf("Headers takes %q, or does not name it: %v", name, err)
		}
	}
	for _, value := range []string{"a\r\nb", "a\nb", "\x00", "\x7f"} {
		if _, err := Headers(map[string]string{"X-Bad": value}); err == nil || !strings.Contains(err.Error(), "X-Bad") {
			t.Errorf("Headers takes the value %q, or does not name its header: %v", value, err)
		}
	}
	for name, in := range map[string]map[string]string{
		"eleven":     {"a": "", "b": "", "c": "", "d": "", "e": "", "f": "", "g": "", "h": "", "i": "", "j": "", "k": ""},
		"two twins":  {"X-A": "1", "x-a": "2"},
		"a long one": {"X-A": strings.Repeat("a", maxHeaderBytes)},
	} {
		if _, err := Headers(in); err == nil {
			t.Errorf("Headers takes %s", name)
		}
	}
}

// A URL that CheckURL accepts stays the same when it is checked again, is what net/http
// will dial, and is no closed address in disguise.
func FuzzCheckURL(f *testing.F) {
	for _, row := range readCorpus(f) {
		f.Add(row.url)
	}
	g := newGuard(f, GuardConfig{})
	f.Fuzz(func(t *testing.T, raw string) {
		target, err := g.CheckURL(raw)
		if err != nil {
			if target != (Target{}) {
				t.Fatalf("CheckURL(%q) refuses and gives %v", raw, target)
			}
			return
		}
		if again, err := g.CheckURL(target.URL); err != nil || again != target {
			t.Fatalf("CheckURL(%q) = %v; checked again: %v, %v", raw, target, again, err)
		}
		u, err := url.Parse(target.URL)
		if err != nil {
			t.Fatalf("CheckURL(%q) = %q: %v", raw, target.URL, err)
		}
		host := u.Hostname()
		if a, err := netip.ParseAddr(host); err == nil {
			if !a.IsGlobalUnicast() || a.IsPrivate() || a.Is4In6() || a.Zone() != "" {
				t.Fatalf("CheckURL(%q) takes the address %s", raw, a)
			}
		} else if mapped, err := idna.Lookup.ToASCII(host); err == nil && mapped != host {
			t.Fatalf("CheckURL(%q) gives the host %q, which net/http would dial as %q", raw, host, mapped)
		}
		if u.User != nil || u.Fragment != "" || !strings.HasPrefix(target.Host, u.Scheme+"://") {
			t.Fatalf("CheckURL(%q) = %v", raw, target)
		}
	})
}

// BenchmarkCheckURL is the check that each request's callback_url goes through.
func BenchmarkCheckURL(b *testing.B) {
	g := newGuard(b, GuardConfig{})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := g.CheckURL("https://hooks.example.com/ringback/jobs?tenant=17"); err != nil {
			b.Fatal(err)
		}
	}
}
