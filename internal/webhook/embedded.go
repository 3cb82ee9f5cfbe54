package webhook

import (
	"bytes"
	"net/netip"
)

// embeddings are the ranges of IPv6 in which an address contains an IPv4 address that a
// translator or a tunnel on the way may use. Checking it as well ensures that an operator
// who allows such a range, or all of IPv6, does not allow the cloud's metadata service
// under another spelling.
var embeddings = []struct {
	prefix   []byte
	at       int // of the four bytes
	inverted bool
}{
	{prefix: []byte{10: 0xff, 11: 0xff}, at: 12},               // IPv4-mapped, RFC 4291
	{prefix: make([]byte, 12), at: 12},                         // IPv4-compatible, RFC 4291
	{prefix: []byte{8: 0xff, 9: 0xff, 11: 0}, at: 12},          // IPv4-translated, RFC 2765
	{prefix: []byte{0, 0x64, 0xff, 0x9b, 11: 0}, at: 12},       // NAT64, RFC 6052
	{prefix: []byte{0, 0x64, 0xff, 0x9b, 0, 1}, at: 12},        // local NAT64, RFC 8215
	{prefix: []byte{0x20, 0x02}, at: 2},                        // 6to4, RFC 3056
	{prefix: []byte{0x20, 0x01, 0, 0}, at: 4},                  // Teredo, RFC 4380: the server
	{prefix: []byte{0x20, 0x01, 0, 0}, at: 12, inverted: true}, // and the client
}

// isatap begins the interface part of addresses that RFC 5214 makes, in any network; the
// IPv4 address follows.
var isatap = [][]byte{{0x00, 0x00, 0x5e, 0xfe}, {0x02, 0x00, 0x5e, 0xfe}}

// embedded returns the IPv4 addresses that an IPv6 address may contain.
func embedded(a netip.Addr) []netip.Addr {
	if a.Is4() {
		return nil
	}
	b := a.As16()
	var found []netip.Addr
	add := func(at int, inverted bool) {
		four := [4]byte(b[at : at+4])
		for i := range four {
			if inverted {
				four[i] ^= 0xff
			}
		}
		if v4 := netip.AddrFrom4(four); four[0] != 0 { // ::1 and :: are not IPv4 addresses
			found = append(found, v4)
		}
	}
	for _, e := range embeddings {
		if bytes.HasPrefix(b[:], e.prefix) {
			add(e.at, e.inverted)
		}
	}
	for _, begin := range isatap {
		if bytes.Equal(b[8:12], begin) {
			add(12, false)
		}
	}
	return found
}
