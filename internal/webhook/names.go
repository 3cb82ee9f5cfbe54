package webhook

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

const (
	// lookUpTimeout is how long a submission waits for a name at most.
	lookUpTimeout = 200 * time.Millisecond
	// knownFor is how long the result for a name is reused, unknownFor how long for a name
	// that did not resolve.
	knownFor   = 5 * time.Minute
	unknownFor = 10 * time.Second
	// maxKnown bounds the names that are remembered, maxLookUps the concurrent lookups: a
	// name beyond that is left to the dial.
	maxKnown   = 10_000
	maxLookUps = 64
)

// names remembers which host names resolve only to closed addresses. It only avoids
// submissions that could not be delivered: what a name resolves to may change at any time,
// so [Guard.Control] checks each dial anew. It is safe for concurrent use.
type names struct {
	resolver *net.Resolver
	closed   func(netip.Addr) bool
	lookUps  singleflight.Group
	running  chan struct{} // holds one element for each lookup

	mu    sync.Mutex
	known map[string]finding // at most maxKnown
}

type finding struct {
	closed bool
	until  time.Time
}

var errClosedName = errors.New("leads to a private address; the operator can open it with --allow-callback")

func newNames(resolver *net.Resolver, closed func(netip.Addr) bool) *names {
	return &names{
		resolver: resolver, closed: closed,
		running: make(chan struct{}, maxLookUps),
		known:   map[string]finding{},
	}
}

// check refuses a name whose addresses are all closed: the dial would find no address to
// try. A name that does not resolve, or not in time, passes. The error does not contain the
// address, since otherwise names could be looked up through us.
func (n *names) check(name string) error {
	closed, known := n.lookUpKnown(name)
	if !known {
		v, _, _ := n.lookUps.Do(name, func() (any, error) { return n.lookUp(name), nil })
		closed, _ = v.(bool)
	}
	if closed {
		return fmt.Errorf("%s %w", strings.TrimSuffix(name, "."), errClosedName)
	}
	return nil
}

func (n *names) lookUpKnown(name string) (closed, known bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	j, ok := n.known[name]
	if !ok || !time.Now().Before(j.until) {
		return false, false
	}
	return j.closed, true
}

// lookUp reports whether a name is closed. It has its own deadline, not that of the request
// that happens to ask first: others wait for its result too.
func (n *names) lookUp(name string) bool {
	select {
	case n.running <- struct{}{}:
		defer func() { <-n.running }()
	default:
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookUpTimeout)
	defer cancel()
	addrs, err := n.resolver.LookupNetIP(ctx, "ip", name)
	if err != nil || len(addrs) == 0 {
		n.remember(name, finding{closed: false, until: time.Now().Add(unknownFor)})
		return false
	}
	closed := true
	for _, a := range addrs {
		closed = closed && n.closed(a.Unmap().WithZone(""))
	}
	n.remember(name, finding{closed, time.Now().Add(knownFor)})
	return closed
}

func (n *names) remember(name string, j finding) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, known := n.known[name]; !known && len(n.known) >= maxKnown {
		for other := range n.known { // any one: a name in use will be back soon
			delete(n.known, other)
			break
		}
	}
	n.known[name] = j
}
