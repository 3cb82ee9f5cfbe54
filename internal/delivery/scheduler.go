package delivery

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/ringback/ringback/internal/limit"
	"github.com/ringback/ringback/internal/store"
)

const (
	slots         = 256 // tries in flight
	unprovenSlots = slots / 2
	crowded       = slots * 3 / 4 // from here on no host has more than slotsPerHost

	// maxQueued is how many may be in all queues together.
	maxQueued = 4096
	// maxKept bounds the bytes of everything in the queues. What is beyond it is queued
	// without its bytes, which are read again from the store.
	maxKept = 16 << 20
)

// scheduler decides who may send webhooks. It has a gate for each (project, host), and 256
// tries in flight in all; hosts that are new, or whose last try failed, share at most half of
// them.
type scheduler struct {
	gate limit.Config

	mu       sync.Mutex
	taken    int
	unproven int // of those taken
	queued   int // in all queues
	kept     int // bytes in all queues
	hosts    map[store.Host]*host
	backlog  map[store.Host]int // about how many that are due wait for each host
	turn     int                // round robin
}

func (s *scheduler) init(gate limit.Config) {
	s.gate = gate
	s.gate.HoldMin = cmp.Or(s.gate.HoldMin, 5*time.Second)
	s.gate.HoldMax = cmp.Or(s.gate.HoldMax, 5*time.Minute)
	s.gate.Slots, s.gate.PerMinute = slotsPerHost, 0
	s.hosts = map[store.Host]*host{}
	s.backlog = map[store.Host]int{}
}

// take takes a permit for a host; nil if there is none now.
func (s *scheduler) take(h store.Host) *permit {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &permit{scheduler: s, host: h}
	to := s.host(h)
	if s.enter(p, to) {
		return p
	}
	if to.stalled() || to.queued >= to.ahead() || s.queued >= maxQueued {
		return nil
	}
	s.reserve(to, 1)
	return p
}

// tryNow takes a permit for a delivery that has just been made; nil if those that wait
// already need all the room there is.
func (s *scheduler) tryNow(h store.Host) *permit {
	s.mu.Lock()
	waiting := s.backlog[h]
	to := s.host(h)
	full := waiting > 0 && to.gate.Room()+to.ahead()-to.queued <= waiting
	s.mu.Unlock()
	if full {
		return nil
	}
	return s.take(h)
}

// takeNow takes a permit for a redelivery that was requested at that time. If its host is
// held it is the probe, at once; but a probe that went out since then serves all that were
// requested before it. soon reports whether there may be a permit as soon as one is given
// back.
func (s *scheduler) takeNow(h store.Host, requested time.Time) (p *permit, soon bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p = &permit{scheduler: s, host: h}
	to := s.host(h)
	_, _, held := to.gate.Held()
	if held && !requested.After(to.probed) {
		return nil, false
	}
	if !s.enterBy(p, to, to.gate.EnterNow) {
		return nil, true
	}
	if held {
		to.probed = time.Now()
	}
	return p, false
}

// takeSpare takes a slot for a webhook that can be left out: one that leaves half of all
// slots to deliveries, with no delivery waiting, at a host that is not on hold. Nil if there
// is none.
func (s *scheduler) takeSpare(h store.Host) *permit {
	s.mu.Lock()
	defer s.mu.Unlock()
	to := s.host(h)
	_, _, held := to.gate.Held()
	unproven := !to.gate.Proven()
	if held || to.queued > 0 || s.backlog[h] > 0 || to.out >= slotsPerHost/2 ||
		s.taken >= slots/2 || unproven && s.unproven >= unprovenSlots/2 {
		return nil
	}
	p := &permit{scheduler: s, host: h}
	if !s.enter(p, to) {
		return nil
	}
	return p
}

// enter gives a permit its slot, if there is one. The caller holds the lock.
func (s *scheduler) enter(p *permit, to *host) bool {
	return s.enterBy(p, to, to.gate.Enter)
}

// enterBy gives a permit the slot that a method of the gate returns, if there is room for
// it. The caller holds the lock.
func (s *scheduler) enterBy(p *permit, to *host, enter func() (*limit.Permit, bool)) bool {
	unproven := !to.gate.Proven()
	if !s.room(unproven) || s.taken >= crowded && to.out >= slotsPerHost {
		return false
	}
	slot, ok := enter()
	if !ok {
		return false
	}
	p.slot, p.unproven, p.counted = slot, unproven, true
	to.out++
	s.taken++
	if unproven {
		s.unproven++
	}
	return true
}

// room reports whether one more try may be in flight. The caller holds the lock.
func (s *scheduler) room(unproven bool) bool {
	return s.taken < slots && (!unproven || s.unproven < unprovenSlots)
}

// uncount takes a permit out of the 256, once. The caller holds the lock.
func (s *scheduler) uncount(p *permit) {
	if !p.counted {
		return
	}
	p.counted = false
	s.taken--
	if p.unproven {
		s.unproven--
	}
}

// reserve takes n places in a queue, or gives them back. The caller holds the lock.
func (s *scheduler) reserve(to *host, n int) {
	to.queued += n
	s.queued += n
}

// begin reports whether a claimed delivery can be sent now. If not it is queued, or refused
// if the host takes nothing anymore.
func (s *scheduler) begin(c *Claim) (now, refused bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, to := c.permit, s.host(c.permit.host)
	if p.slot != nil {
		return true, false
	}
	if len(to.queue) == 0 && s.enter(p, to) {
		s.reserve(to, -1)
		return true, false
	}
	if to.stalled() || to.ahead() == 0 {
		s.reserve(to, -1)
		return false, true
	}
	if c.payload != nil && s.kept+len(c.payload.Body) > maxKept {
		c.payload = nil
	}
	s.kept += c.size()
	to.queue = append(to.queue, c)
	return false, false
}

// size returns the bytes that a claim keeps in memory.
func (c *Claim) size() int {
	if c.payload == nil {
		return 0
	}
	return len(c.payload.Body)
}

// leave takes the first n out of a queue. The caller holds the lock.
func (s *scheduler) leave(to *host, n int) []*Claim {
	left := slices.Clone(to.queue[:n])
	to.queue = slices.Delete(to.queue, 0, n)
	s.reserve(to, -n)
	for _, c := range left {
		s.kept -= c.size()
	}
	return left
}

// host returns what is known of a host. The caller holds the lock.
func (s *scheduler) host(h store.Host) *host {
	to := s.hosts[h]
	if to == nil {
		to = &host{gate: limit.New(s.gate), slots: slotsPerHost}
		s.hosts[h] = to
	}
	return to
}

// next returns when a host's gate may open by time alone; zero if a try in flight, not
// time, keeps it closed.
func (s *scheduler) next(h store.Host) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.host(h).gate
	if !s.room(!g.Proven()) {
		return time.Time{}
	}
	return g.Next()
}

// order records which hosts have something due, and returns them round robin.
func (s *scheduler) order(due []store.HostWaiting) []store.HostWaiting {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.backlog)
	for _, h := range due {
		s.backlog[h.Host] = h.Count
	}
	slices.SortFunc(due, func(a, b store.HostWaiting) int { return a.Due.Compare(b.Due) })
	if len(due) > 1 {
		s.turn = (s.turn + 1) % len(due)
		due = slices.Concat(due[s.turn:], due[:s.turn])
	}
	return due
}

const (
	// gateMemory is how long a gate that nobody uses is remembered, so that a host which is
	// called now and then is not a new one each time.
	gateMemory = time.Hour
	// manyHosts is how many may be remembered, before all that can be forgotten are.
	manyHosts = 10_000
)

// tidy forgets hosts that are not used.
func (s *scheduler) tidy() {
	s.mu.Lock()
	defer s.mu.Unlock()
	memory := gateMemory
	if len(s.hosts) > manyHosts {
		memory = 0
	}
	for h, to := range s.hosts {
		if to.queued == 0 && to.gate.Idle(memory) {
			delete(s.hosts, h)
		}
	}
}

// Queued returns how many deliveries are claimed ahead.
func (d *Dispatcher) Queued() int {
	s := &d.scheduler
	s.mu.Lock()
	defer s.mu.Unlock()
	queued := 0
	for _, to := range s.hosts {
		queued += len(to.queue)
	}
	return queued
}

// ForgetPace lets all hosts count as quick until their next tries end. It is for tests on
// machines that are busy.
func (d *Dispatcher) ForgetPace() {
	s := &d.scheduler
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, to := range s.hosts {
		to.took = 0
	}
}
