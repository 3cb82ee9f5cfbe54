package api

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/api/fanout"
)

// origins decides what web pages may do. A page of the server's own origin, or of its
// public URL's, may do everything; one of another origin may change nothing and read
// nothing, unless the configuration allows its origin: then it may do everything, too.
type origins struct {
	protection *http.CrossOriginProtection
	public     string          // origin of the public URL; "" if there is none
	allowed    map[string]bool // by the configuration
	any        bool            // it allows all origins
	sent       string          // the headers that an allowed page may send
}

// newOrigins returns an error that names the invalid field.
func newOrigins(publicURL string, allowed, providerHeaders []string) (*origins, error) {
	o := &origins{
		protection: http.NewCrossOriginProtection(), allowed: map[string]bool{},
		sent: corsSent + ", " + strings.Join(providerHeaders, ", "),
	}
	if publicURL != "" {
		u, err := url.Parse(publicURL)
		if err == nil && (u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
			err = fmt.Errorf("%q is not an http or https URL", publicURL)
		}
		if err == nil {
			o.public = originOf(u)
			err = o.protection.AddTrustedOrigin(o.public)
		}
		if err != nil {
			return nil, fmt.Errorf("PublicURL: %w", err)
		}
	}
	for _, origin := range allowed {
		if err := o.allow(origin); err != nil {
			return nil, fmt.Errorf("AllowOrigins: %w", err)
		}
	}
	return o, nil
}

// CheckOrigin returns what is wrong with an origin in Config.AllowOrigins.
func CheckOrigin(origin string) error {
	u, err := url.Parse(origin)
	if origin != "*" && (err != nil || u.Scheme == "" || u.Host == "" || originOf(u) != strings.ToLower(origin)) {
		return fmt.Errorf("%q is not an origin; write it like https://app.example.com, without a path, or * for all", origin)
	}
	return nil
}

func (o *origins) allow(origin string) error {
	if err := CheckOrigin(origin); err != nil || origin == "*" {
		o.any = err == nil
		return err
	}
	origin = strings.ToLower(origin)
	o.allowed[origin] = true
	return o.protection.AddTrustedOrigin(origin)
}

// originOf returns the origin of a URL as browsers write it: without the scheme's port.
func originOf(u *url.URL) string {
	host := strings.ToLower(u.Host)
	switch port := u.Port(); {
	case u.Scheme == "http" && port == "80", u.Scheme == "https" && port == "443":
		host = strings.TrimSuffix(host, ":"+port)
	}
	return strings.ToLower(u.Scheme) + "://" + host
}

func (o *origins) allows(origin string) bool { return o.any || o.allowed[origin] }

// check refuses requests that a browser sends on behalf of a page that may not make them. A
// WebSocket is a GET, but its messages are not hidden from the page.
func (o *origins) check(r *http.Request) error {
	if o.any {
		return nil
	}
	err := o.protection.Check(r)
	if origin := r.Header.Get("Origin"); origin != "" && fanout.IsUpgrade(r.Header) && !o.mayConnect(origin, r.Host) {
		err = http.ErrNotSupported
	}
	if err != nil {
		return &ringback.Error{
			Code:    ringback.Forbidden,
			Message: "a web page of another origin may not do this; call the API from your own server",
		}
	}
	return nil
}

// mayConnect reports whether a page may open a WebSocket to host.
func (o *origins) mayConnect(origin, host string) bool {
	u, err := url.Parse(origin)
	return o.allowed[origin] || o.public != "" && origin == o.public || err == nil && strings.EqualFold(u.Host, host)
}

// The methods and headers that a page of an allowed origin may send, and the headers that
// it may see of a response, in addition to those of all pages.
const (
	corsMethods = "GET, POST, DELETE"
	corsSent    = "Authorization, X-API-Key, Cache-Control, Content-Type, Idempotency-Key, Last-Event-ID, Pragma, Prefer, X-Callback-URL, X-Request-Id, X-Requested-With, traceparent, tracestate"
	corsSeen    = "Location, X-Request-Id, Preference-Applied, Idempotency-Replayed, Retry-After"
	corsMaxAge  = "600" // seconds
)

// answer sets the headers that let a page of another origin read the response, if it may.
func (o *origins) answer(h http.Header, r *http.Request) {
	switch origin := r.Header.Get("Origin"); {
	case !o.any && len(o.allowed) == 0, !strings.HasPrefix(r.URL.Path, "/api/"):
		return
	case o.any:
		h.Set("Access-Control-Allow-Origin", "*")
	default:
		h.Set("Vary", "Origin")
		if !o.allowed[origin] {
			return
		}
		h.Set("Access-Control-Allow-Origin", origin)
	}
	h.Set("Access-Control-Expose-Headers", corsSeen)
}

// preflight answers a browser that asks whether a page may make a request.
func (o *origins) preflight(r *http.Request) (h http.Header, asked bool) {
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" ||
		!strings.HasPrefix(r.URL.Path, "/api/") || !o.allows(r.Header.Get("Origin")) {
		return nil, false
	}
	return http.Header{
		"Access-Control-Allow-Methods": {corsMethods},
		"Access-Control-Allow-Headers": {o.sent},
		"Access-Control-Max-Age":       {corsMaxAge},
	}, true
}
