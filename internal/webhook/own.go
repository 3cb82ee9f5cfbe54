package webhook

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// ownFor is how long the addresses of this machine are assumed to be unchanged: attaching a
// container to another network, or renewing a lease, changes them while the server runs.
const ownFor = 10 * time.Second

// ownAddresses knows the addresses of this machine, other than loopback. It is safe for
// concurrent use.
type ownAddresses struct {
	read func() ([]netip.Addr, error)

	reading sync.Mutex
	last    atomic.Pointer[ownRead]
}

type ownRead struct {
	at    time.Time
	addrs map[netip.Addr]bool
}

// newOwnAddresses reads them for the first time; nil reads the network interfaces.
func newOwnAddresses(read func() ([]netip.Addr, error)) (*ownAddresses, error) {
	if read == nil {
		read = interfaceAddrs
	}
	o := &ownAddresses{read: read}
	return o, o.refresh()
}

// has reports whether a is an address of this machine.
func (o *ownAddresses) has(a netip.Addr) bool {
	if time.Since(o.last.Load().at) > ownFor && o.reading.TryLock() {
		_ = o.refresh() // the previous result is better than nothing
		o.reading.Unlock()
	}
	return o.last.Load().addrs[a.Unmap().WithZone("")]
}

func (o *ownAddresses) refresh() error {
	addrs, err := o.read()
	if err != nil {
		return err
	}
	own := map[netip.Addr]bool{}
	for _, a := range addrs {
		a = a.Unmap().WithZone("")
		if !a.IsLoopback() { // closed as loopback, and allowed as such for local work
			own[a] = true
		}
	}
	o.last.Store(&ownRead{time.Now(), own})
	return nil
}

func interfaceAddrs() ([]netip.Addr, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	var own []netip.Addr
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok {
				own = append(own, ip)
			}
		}
	}
	return own, nil
}
