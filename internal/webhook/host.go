package webhook

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

var errHostFilter = errors.New("must be the host of a receiver, like https://example.com, example.com:8443 or http://10.0.0.7:3000")

// HostsOf parses a receiver's host as a user writes it to select webhooks: a URL, whose
// scheme, host and port count, or a host without a scheme, which means both schemes. It
// returns the hosts in the form of Target.Host.
func HostsOf(text string) ([]string, error) {
	if strings.Contains(text, "://") {
		host, err := hostOf(text)
		return []string{host}, err
	}
	var hosts []string
	for _, scheme := range []string{"https://", "http://"} {
		host, err := hostOf(scheme + text)
		if err != nil {
			return nil, err
		}
		hosts = append(hosts, host)
	}
	return hosts, nil
}

func hostOf(raw string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" || !slices.Contains([]string{"http", "https", "ws", "wss"}, u.Scheme) {
		return "", errHostFilter
	}
	port, err := portOf(u)
	if err != nil {
		return "", errHostFilter
	}
	host, err := lower(u.Hostname())
	if err != nil {
		return "", errHostFilter
	}
	host = strings.TrimSuffix(host, ".")
	if a, err := netip.ParseAddr(host); err == nil {
		host = a.String()
	} else if checkLabels(host) != nil {
		return "", errHostFilter
	}
	return carrier(u.Scheme) + "://" + net.JoinHostPort(host, port), nil
}
