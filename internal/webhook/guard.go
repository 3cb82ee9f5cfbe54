package webhook

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"syscall"

	"code.dny.dev/ssrf"
)

// GuardConfig sets up a [Guard].
type GuardConfig struct {
	// Allow are the ranges that the operator allows (--allow-callback); none by default. A
	// cloud metadata address, and an address of this machine other than loopback, is
	// allowed only by a range that lies wholly inside its own: 0.0.0.0/0 does not allow
	// 169.254.169.254, 169.254.169.254/32 does.
	Allow []netip.Prefix
	// Own returns the addresses of this machine; nil reads its network interfaces. It is
	// called again from time to time, since they change.
	Own func() ([]netip.Addr, error)
	// Resolver looks up the names in submitted URLs; nil is the default of [SenderConfig].
	Resolver *net.Resolver
}

// Guard knows which addresses a webhook may go to: public ones and those that the operator
// allowed. It is safe for concurrent use.
type Guard struct {
	allow  []netip.Prefix
	own    *ownAddresses
	closed []closedRange  // checked before all else, like own
	open   *ssrf.Guardian // with what the operator allowed
	names  *names         // in submitted URLs
}

// closedRange is a range that only a range inside it can open.
type closedRange struct {
	prefix netip.Prefix
	kind   string
}

const (
	kindMetadata = "a cloud metadata address"
	kindOwn      = "an address of this server"
	kindLoopback = "loopback"
)

// metadata are the addresses that give a cloud's machines their credentials. All but the
// last are in closed ranges anyway; they are listed because an operator who allows such a
// range does not mean them. 168.63.129.16 is public address space that Azure routes to its
// host agent.
var metadata = []netip.Prefix{
	netip.MustParsePrefix("169.254.169.254/32"), // AWS, GCE, Azure and many more
	netip.MustParsePrefix("169.254.170.0/23"),   // AWS: credentials of ECS tasks and EKS pods
	netip.MustParsePrefix("fd00:ec2::254/128"),  // AWS
	netip.MustParsePrefix("fd20:ce::254/128"),   // GCE
	netip.MustParsePrefix("100.100.100.200/32"), // Alibaba
	netip.MustParsePrefix("192.0.0.192/32"),     // Oracle
	netip.MustParsePrefix("168.63.129.16/32"),   // Azure
}

// NewGuard makes a guard. It returns an error for an Allow that is not a range or is IPv4
// written as IPv6, and when the addresses of this machine cannot be read.
func NewGuard(c GuardConfig) (*Guard, error) {
	g := &Guard{}
	var v4, v6 []netip.Prefix
	for _, p := range c.Allow {
		if !p.IsValid() || p.Addr().Is4In6() {
			return nil, fmt.Errorf("allowed callback range %v: write it like 10.0.0.0/8 or fd00::/8", p)
		}
		g.allow = append(g.allow, p.Masked())
		if p.Addr().Is4() {
			v4 = append(v4, p.Masked())
		} else {
			v6 = append(v6, p.Masked())
		}
	}
	// Once for each family, since the library's options replace instead of adding.
	g.open = ssrf.New(ssrf.WithAnyPort(), ssrf.WithAllowedV4Prefixes(v4...), ssrf.WithAllowedV6Prefixes(v6...))
	for _, p := range metadata {
		g.closed = append(g.closed, closedRange{p, kindMetadata})
	}
	own, err := newOwnAddresses(c.Own)
	if err != nil {
		return nil, fmt.Errorf("read the addresses of this machine: %w", err)
	}
	g.own = own
	g.names = newNames(orGo(c.Resolver), func(a netip.Addr) bool { return g.refuse(a) != "" })
	return g, nil
}

// Control allows or refuses a connection that is about to be opened; it is a [net.Dialer]'s
// Control. A refusal is a *[BlockedError].
func (g *Guard) Control(network, address string, _ syscall.RawConn) error {
	addr, err := netip.ParseAddrPort(address)
	if err != nil || (network != "tcp4" && network != "tcp6") {
		return &BlockedError{Kind: "not a TCP address: " + network + " " + address}
	}
	if !portOpen(addr.Port()) {
		return &BlockedError{Addr: addr, Kind: "a port of another protocol"}
	}
	if kind := g.refuse(addr.Addr()); kind != "" {
		return &BlockedError{Addr: addr, Kind: kind}
	}
	return nil
}

// BlockedError is a connection that the guard refused. Its text is fit for a tenant; its
// fields, and what slog prints of it, are only for the operator.
type BlockedError struct {
	Addr netip.AddrPort
	// Kind says what the address is, as in "127.0.0.1 is loopback".
	Kind string
}

// Error names no address: otherwise names could be looked up through us.
func (e *BlockedError) Error() string { return "callback address is not allowed" }

// LogValue includes the address, for the operator.
func (e *BlockedError) LogValue() slog.Value {
	return slog.StringValue(fmt.Sprintf("%s: %s is %s", e.Error(), e.Addr, e.Kind))
}

// refuse returns what kind of address a closed address is, and "" for an open one.
func (g *Guard) refuse(a netip.Addr) string {
	for _, c := range g.closed {
		if c.prefix.Contains(a) && !g.opensWithin(c.prefix, a) {
			return c.kind
		}
	}
	if g.own.has(a) && !g.opensWithin(netip.PrefixFrom(a, a.BitLen()), a) {
		return kindOwn
	}
	if g.open.SafeAddr(a) != nil {
		return kindOf(a)
	}
	// An operator behind DNS64 allows 64:ff9b::/96. Without a check of the IPv4 address
	// inside, that would allow 64:ff9b::127.0.0.1 and 64:ff9b::169.254.169.254.
	for _, inside := range embedded(a) {
		if kind := g.refuse(inside); kind != "" {
			return kind
		}
	}
	return ""
}

// opensWithin reports whether the operator allowed a range inside p that contains a.
func (g *Guard) opensWithin(p netip.Prefix, a netip.Addr) bool {
	for _, q := range g.allow {
		if q.Contains(a) && q.Bits() >= p.Bits() {
			return true
		}
	}
	return false
}

// kinds describe closed addresses; the rest are "reserved".
var kinds = []struct {
	kind     string
	prefixes []netip.Prefix
}{
	{kindLoopback, prefixes("127.0.0.0/8", "::1/128")},
	{"private", prefixes("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")},
	{"link-local", prefixes("169.254.0.0/16", "fe80::/10")},
	{"shared address space", prefixes("100.64.0.0/10")},
	{"unspecified", prefixes("0.0.0.0/8", "::/128")},
	{"multicast", prefixes("224.0.0.0/4", "ff00::/8")},
}

func kindOf(a netip.Addr) string {
	for _, k := range kinds {
		for _, p := range k.prefixes {
			if p.Contains(a) {
				return k.kind
			}
		}
	}
	return "reserved"
}

func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, s := range list {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}
