package api

import (
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/ringback/ringback"
)

// admit refuses requests that must not get in, whatever they ask for.
func (s *Server) admit(r *http.Request) error {
	if s.loopbackOnly && !isLoopback(r.Host) {
		return &ringback.Error{
			Code: ringback.Misdirected,
			Message: "without an API key this server answers to localhost only; " +
				"set RINGBACK_API_KEY, or start it with --insecure",
		}
	}
	return refuseLoop(r.Header)
}

// isLoopback reports whether a Host header names only this machine. A web page whose name
// was made to resolve to 127.0.0.1 (DNS rebinding) sends its own name.
func isLoopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if strings.EqualFold(strings.TrimSuffix(host, "."), "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// refuseLoop refuses Ringback's own webhooks, whose callback URL leads back here: if
// accepted, each would cause the next.
func refuseLoop(h http.Header) error {
	if strings.HasPrefix(h.Get("User-Agent"), "Ringback/") && h.Get(ringback.HeaderWebhookID) != "" {
		return &ringback.Error{
			Code:    ringback.Loop,
			Message: "this is a webhook of Ringback sent to Ringback; point callback_url at your receiver",
		}
	}
	return nil
}
