package delivery

import (
	"cmp"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/limit"
	"github.com/ringback/ringback/internal/store"
)

// HostHold is the hold of a receiver's host, in local time.
type HostHold struct {
	Host   store.Host
	Until  time.Time
	Reason string
}

// Holds returns the hosts that are held, those that are held longest first: at most as many
// as the limit says.
func (d *Dispatcher) Holds(limit int) []HostHold {
	s := &d.scheduler
	s.mu.Lock()
	defer s.mu.Unlock()
	var holds []HostHold
	for h, to := range s.hosts {
		if until, reason, held := to.gate.Held(); held {
			holds = append(holds, HostHold{h, until, reason})
		}
	}
	slices.SortFunc(holds, func(a, b HostHold) int {
		return cmp.Or(b.Until.Compare(a.Until), cmp.Compare(a.Host.Host, b.Host.Host))
	})
	return holds[:min(limit, len(holds))]
}

// HostHold returns the hold of a receiver's host that this node knows of; nil if there is
// none.
func (d *Dispatcher) HostHold(h store.Host) *ringback.HostHold {
	g := d.scheduler.gateOf(h)
	if g == nil {
		return nil
	}
	until, reason, held := g.Held()
	if !held {
		return nil
	}
	return &ringback.HostHold{Reason: reason, Until: ringback.Time{Time: d.clock.Shared(until)}}
}

// OnHold reports whether a host is on hold.
func (d *Dispatcher) OnHold(h store.Host) bool {
	g := d.scheduler.gateOf(h)
	if g == nil {
		return false
	}
	_, _, held := g.Held()
	return held
}

// gateOf returns a host's gate; nil if there is none.
func (s *scheduler) gateOf(h store.Host) *limit.Gate {
	s.mu.Lock()
	defer s.mu.Unlock()
	if to := s.hosts[h]; to != nil {
		return to.gate
	}
	return nil
}

// recordHold logs what a try has changed about its host's hold.
func (d *Dispatcher) recordHold(h store.Host) {
	if g := d.scheduler.gateOf(h); !d.holdLog.NothingFor(g) {
		d.holdLog.Record(d.log, h, g, "host", h.Host)
	}
}

// RecordHoldsOver logs which holds ended without a try.
func (d *Dispatcher) RecordHoldsOver() {
	for _, h := range d.holdLog.Begun() {
		d.recordHold(h)
	}
}

// The classes of receivers' hosts, as a label: there may be any number of hosts.
const (
	className    = "name"
	classAddress = "address" // a literal one
)

// HeldByClass counts the hosts on hold, by their class.
func (d *Dispatcher) HeldByClass() map[string]int {
	s := &d.scheduler
	s.mu.Lock()
	defer s.mu.Unlock()
	count := map[string]int{className: 0, classAddress: 0}
	for h, to := range s.hosts {
		if _, _, held := to.gate.Held(); held {
			count[classOf(h.Host)]++
		}
	}
	return count
}

func classOf(host string) string {
	u, err := url.Parse(host)
	if err != nil {
		return className
	}
	if _, err := netip.ParseAddr(u.Hostname()); err != nil {
		return className
	}
	return classAddress
}
