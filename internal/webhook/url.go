package webhook

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

const maxURLBytes = 2048

// Target is a URL that passed [Guard.CheckURL] or [Guard.CheckStreamURL].
type Target struct {
	// URL is what will be dialled: scheme and host in lower case and ASCII, a
	// default port left out, the rest percent-encoded.
	URL string
	// Host is the unit that shares slots: scheme, host and port, always in the form
	// "https://example.com:443".
	Host string
}

// CheckURL checks the form of a callback URL, its port and, if its host is an address, that
// address. It looks up no name; [Guard.Control] checks what a name resolves to at each
// dial.
//
// The text of an error is one sentence for the API's user that says what would be right.
func (g *Guard) CheckURL(raw string) (Target, error) {
	t, _, err := g.check(raw, callbackScheme)
	return t, err
}

// CheckNewURL checks a submitted callback URL, as CheckURL does, and refuses a name that
// resolves only to closed addresses. It takes up to 200 ms if the name was not looked up
// within the last five minutes.
func (g *Guard) CheckNewURL(raw string) (Target, error) {
	return g.checkNew(g.check(raw, callbackScheme))
}

// CheckRedeliveryURL checks the url of a redelivery, as CheckNewURL does a callback_url.
func (g *Guard) CheckRedeliveryURL(raw string) (Target, error) {
	t, host, err := g.check(raw, callbackScheme)
	return g.checkNew(t, host, inField("url", err))
}

func callbackScheme(scheme string) error {
	if scheme != "http" && scheme != "https" {
		return errScheme
	}
	return nil
}

// CheckStreamURL checks a stream_to as CheckURL does a callback_url, but also accepts the
// schemes ws and wss. The Host always has the scheme http or https, so that both ways to
// reach it share slots and holds.
func (g *Guard) CheckStreamURL(raw string) (Target, error) {
	t, _, err := g.checkStream(raw)
	return t, err
}

// CheckNewStreamURL checks a submitted stream_to, as CheckNewURL does a callback_url.
func (g *Guard) CheckNewStreamURL(raw string) (Target, error) {
	return g.checkNew(g.checkStream(raw))
}

func (g *Guard) checkStream(raw string) (Target, string, error) {
	t, host, err := g.check(raw, func(scheme string) error {
		switch scheme {
		case "http", "https", "ws", "wss":
			return nil
		}
		return errStreamScheme
	})
	return t, host, inField("stream_to", err)
}

// inField makes an error name the field that the URL comes from.
func inField(field string, err error) error {
	if f, ok := errors.AsType[fault](err); ok {
		return errors.New(f.of(field))
	}
	return err
}

// checkNew checks the host of a target whose form is right.
func (g *Guard) checkNew(t Target, host string, err error) (Target, error) {
	if err != nil {
		return Target{}, err
	}
	if _, err := netip.ParseAddr(host); err == nil { // it has been checked
		return t, nil
	}
	if err := g.names.check(host); err != nil {
		return Target{}, err
	}
	return t, nil
}

// check also returns the host as it will be dialled.
func (g *Guard) check(raw string, scheme func(string) error) (t Target, host string, err error) {
	if err := checkCharacters(raw); err != nil {
		return Target{}, "", err
	}
	u, err := parseURL(raw, scheme)
	if err != nil {
		return Target{}, "", err
	}
	port, err := portOf(u)
	if err != nil {
		return Target{}, "", err
	}
	if host, err = g.checkHost(u); err != nil {
		return Target{}, "", err
	}
	t = Target{URL: rewrite(u, host, port), Host: carrier(u.Scheme) + "://" + net.JoinHostPort(strings.TrimSuffix(host, "."), port)}
	if len(t.URL) > maxURLBytes {
		return Target{}, "", errTooLong
	}
	return t, host, nil
}

// carrier returns the scheme that opens a WebSocket; for other schemes, the scheme itself.
func carrier(scheme string) string {
	switch scheme {
	case "ws":
		return "http"
	case "wss":
		return "https"
	}
	return scheme
}

// fault is what is wrong with a URL: a sentence with %s for its field.
type fault string

// Error names callback_url.
func (f fault) Error() string { return f.of("callback_url") }

func (f fault) of(field string) string { return strings.ReplaceAll(string(f), "%s", field) }

const (
	errTooLong      fault = "%s must be at most 2048 bytes, percent-encoded"
	errCharacters   fault = "%s must hold no space, control character or backslash; percent-encode them"
	errFragment     fault = "%s must have no fragment; percent-encode # as %23"
	errScheme       fault = "%s must begin with http:// or https://"
	errStreamScheme fault = "%s must begin with http:// or https://, for one request that is held open, or with ws:// or wss://, for messages"
	errHost         fault = "%s must have a host, like https://example.com/hook"
	errUserinfo     fault = "%s must hold no user name or password; callback_headers can carry a credential"
	errForm         fault = "%s must be a valid URL, like https://example.com/hook"
	errPort         fault = "the port of %s must be 80, 443 or 1024 to 65535, and not one of another protocol"
	errAddress      fault = "the host of %s must be a name, or an address in its usual form like 93.184.215.14 or [2001:4860:4860::8888]"
	errName         fault = "the host of %s must be a valid name: labels of 1 to 63 letters, digits, - and _, at most 253 in all"
)

// checkCharacters runs first, since parsers differ on exactly these characters, and "/#"
// leaves no trace in a url.URL.
func checkCharacters(raw string) error {
	if len(raw) > maxURLBytes {
		return errTooLong
	}
	if !utf8.ValidString(raw) {
		return errForm
	}
	for i := range len(raw) {
		switch c := raw[i]; {
		case c <= ' ' || c == 0x7f || c == '\\':
			return errCharacters
		case c == '#':
			return errFragment
		}
	}
	return nil
}

func parseURL(raw string, scheme func(string) error) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, errForm // url.Error would repeat the URL
	}
	if err := scheme(u.Scheme); err != nil {
		return nil, err
	}
	switch {
	case u.User != nil: // also set for https://@host/
		return nil, errUserinfo
	case u.Opaque != "" || u.Hostname() == "": // http://:80/ would reach localhost
		return nil, errHost
	}
	return u, nil
}

func portOf(u *url.URL) (string, error) {
	if u.Port() == "" {
		if carrier(u.Scheme) == "https" {
			return "443", nil
		}
		return "80", nil
	}
	n, err := strconv.ParseUint(u.Port(), 10, 16)
	if err != nil || !portOpen(uint16(n)) {
		return "", errPort
	}
	return strconv.FormatUint(n, 10), nil
}

// checkHost returns the host as it will be dialled.
func (g *Guard) checkHost(u *url.URL) (string, error) {
	host := u.Hostname()
	if strings.HasPrefix(u.Host, "[") {
		a, err := netip.ParseAddr(host)
		if err != nil || !a.Is6() || a.Zone() != "" {
			return "", errAddress
		}
		return a.String(), g.checkLiteral(a)
	}
	host, err := lower(host)
	if err != nil {
		return "", err
	}
	if a, err := netip.ParseAddr(host); err == nil {
		if !a.Is4() {
			return "", errAddress
		}
		return host, g.checkLiteral(a)
	}
	return host, g.checkName(strings.TrimSuffix(host, "."))
}

// lower maps a host as net/http does when it dials: fullwidth and circled digits,
// ideographic full stops and soft hyphens all become plain ASCII.
func lower(host string) (string, error) {
	if isASCII(host) {
		return strings.ToLower(host), nil
	}
	mapped, err := idna.Lookup.ToASCII(host)
	if err != nil {
		return "", errName
	}
	return strings.ToLower(mapped), nil
}

func (g *Guard) checkLiteral(a netip.Addr) error {
	if a.Is4In6() {
		return fmt.Errorf("%s is an IPv4 address written as IPv6; write %s", a, a.Unmap())
	}
	switch kind := g.refuse(a); kind {
	case "":
		return nil
	case "multicast":
		return fmt.Errorf("%s is multicast; a callback goes to one host", a)
	case kindMetadata, kindOwn:
		return fmt.Errorf("%s is %s; the operator can open it with --allow-callback, but only by its own range", a, kind)
	case kindLoopback:
		return fmt.Errorf("%s is loopback; the operator can open it with --allow-callback %s", a, loopbackRange(a))
	default:
		return fmt.Errorf("%s is %s; the operator can open it with --allow-callback", a, kind)
	}
}

// loopbackRange returns the range that opens a loopback address.
func loopbackRange(a netip.Addr) string {
	if a.Is4() {
		return "127.0.0.0/8"
	}
	return "::1/128"
}

var (
	loopback4 = netip.MustParseAddr("127.0.0.1")
	loopback6 = netip.IPv6Loopback()
)

func (g *Guard) checkName(name string) error {
	if err := checkLabels(name); err != nil {
		return err
	}
	local := name == "localhost" || strings.HasSuffix(name, ".localhost") // RFC 6761
	if local && g.refuse(loopback4) != "" && g.refuse(loopback6) != "" {
		return fmt.Errorf("%s is loopback; the operator can open it with --allow-callback %s", name, loopbackRange(loopback4))
	}
	return nil
}

func checkLabels(name string) error {
	if len(name) > 253 {
		return errName
	}
	last := ""
	for label := range strings.SplitSeq(name, ".") {
		if !validLabel(label) {
			return errName
		}
		last = label
	}
	// To a C library, anything that ends in a number is an IPv4 address (127.1, 0x7f000001,
	// 2130706433), and nobody treats it as a name.
	if strings.Trim(last, "0123456789") == "" || strings.HasPrefix(last, "0x") {
		return errAddress
	}
	return nil
}

func validLabel(label string) bool {
	if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
		return false
	}
	for i := range len(label) {
		switch c := label[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}

// rewrite returns the URL as it will be dialled.
func rewrite(u *url.URL, host, port string) string {
	out := *u
	switch {
	case port == "443" && carrier(u.Scheme) == "https", port == "80" && carrier(u.Scheme) == "http":
		out.Host = host
		if strings.Contains(host, ":") {
			out.Host = "[" + host + "]"
		}
	default:
		out.Host = net.JoinHostPort(host, port)
	}
	out.RawQuery = encodeNonASCII(u.RawQuery)
	return out.String()
}

// encodeNonASCII does for a query what url.URL does only for a path.
func encodeNonASCII(s string) string {
	if isASCII(s) {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		if s[i] < utf8.RuneSelf {
			b.WriteByte(s[i])
		} else {
			fmt.Fprintf(&b, "%%%02X", s[i])
		}
	}
	return b.String()
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
