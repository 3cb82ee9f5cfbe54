package node

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/ringback/ringback/internal/limit"
	"github.com/ringback/ringback/internal/memory"
	"github.com/ringback/ringback/internal/store"
)

// sendScheduler is who may send webhooks: a gate for each (project, host), and 256
// tries in flight in all, of which hosts that are new or whose last try failed
// share at most half.
//
// A host that answers quickly would stand idle while the next deliveries for it
// are claimed, which takes a commit. So some are claimed ahead and stand in
// line: whoever ends a try hands its slot to the first of them.
type sendScheduler struct {
	gate limit.Config

	mu       sync.Mutex
	taken    int
	unproven int // of those taken
	queued   int // in all queues
	kept     int // bytes of what stands in the queue
	hosts    map[store.Host]*host
	backlog  map[store.Host]int // about how many that are due wait for each host
	turn     int                // round robin
}

// host is a receiver's host. While somebody stands in the queue a try is out, which
// will hand its slot on.
//
// It has 8 slots. While it answers within quickTry and more stand in the queue it gets
// one more with each answer, 64 at most; beyond slowTry it loses them again, and
// all that it had got when a try fails. So a receiver that can do only one thing
// at a time is never pressed so hard that its answers come near the time-out. And
// where most of the 256 are taken, no host has more than 8: the others come first.
type host struct {
	gate   *limit.Gate
	slots  int
	out    int // tries that have not ended
	queue  []*send
	queued int           // of the queue, with those that are promised to a claim
	took   time.Duration // a try, on a moving average
	asked  time.Time     // when a redelivery last went out in spite of a hold
}

const (
	quickTry = 250 * time.Millisecond
	slowTry  = 500 * time.Millisecond

	// A queue is at most as long as what the host takes in aheadTime, going by its
	// last tries: a slow host must not keep from others what it can't take.
	maxAhead  = 1024
	aheadTime = time.Second
	// maxQueuedSends is how many may stand in all queues together.
	maxQueuedSends = 4096
	// maxKept bounds the bytes of all that stand in the queue. What is beyond it stands
	// without, and is read again from the store.
	maxKept = 16 << 20
)

// sendPermit is the right to claim a delivery: to make one try of it now, or to have
// it stand in the queue.
type sendPermit struct {
	scheduler *sendScheduler
	host      store.Host
	slot      *limit.Permit // nil while it stands in the queue
	over      bool          // the try has ended: its slot is given back or handed on
	counted   bool          // it counts among the 256
	unproven  bool
}

// send is a delivery in flight, with the right to send it.
type send struct {
	delivery store.Delivery
	payload  *store.Payload // nil: still in the store
	permit   *sendPermit
	session  session       // under which it is claimed
	held     *memory.Grant // of its body
}

func (s *sendScheduler) init(cfg Config) {
	s.gate = cfg.HostGate
	s.gate.HoldMin = cmp.Or(s.gate.HoldMin, 5*time.Second)
	s.gate.HoldMax = cmp.Or(s.gate.HoldMax, 5*time.Minute)
	s.gate.Slots, s.gate.PerMinute = slotsPerHost, 0
	s.hosts = map[store.Host]*host{}
	s.backlog = map[store.Host]int{}
}

// take takes a permit for a host; nil if there is none now.
func (s *sendScheduler) take(h store.Host) *sendPermit {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &sendPermit{scheduler: s, host: h}
	to := s.host(h)
	if s.enter(p, to) {
		return p
	}
	if to.stalled() || to.queued >= to.ahead() || s.queued >= maxQueuedSends {
		return nil
	}
	s.reserve(to, 1)
	return p
}

// reserve gives or takes back places in a queue. The caller holds the lock.
func (s *sendScheduler) reserve(to *host, n int) {
	to.queued += n
	s.queued += n
}

// enter gives a permit its slot, if there is one. The caller holds the lock.
func (s *sendScheduler) enter(p *sendPermit, to *host) bool {
	return s.enterBy(p, to, to.gate.Enter)
}

// enterBy gives a permit the slot that a gate's way in gives, if there is room for it. The
// caller holds the lock.
func (s *sendScheduler) enterBy(p *sendPermit, to *host, way func() (*limit.Permit, bool)) bool {
	unproven := !to.gate.Proven()
	if !s.room(unproven) || s.taken >= crowded && to.out >= slotsPerHost {
		return false
	}
	slot, ok := way()
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

// takeNow takes a permit for a redelivery that was asked for at that time. If its host is
// held it is the probe, at once; but a probe that went out since answers for all that
// were asked for before it. soon reports whether there may be a permit as soon as one is
// given back.
func (s *sendScheduler) takeNow(h store.Host, asked time.Time) (p *sendPermit, soon bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p = &sendPermit{scheduler: s, host: h}
	to := s.host(h)
	_, _, held := to.gate.Held()
	if held && !asked.After(to.asked) {
		return nil, false
	}
	if !s.enterBy(p, to, to.gate.EnterNow) {
		return nil, true
	}
	if held {
		to.asked = time.Now()
	}
	return p, false
}

// heldHosts are the hosts that are held, those that are longest first: at most as many as
// the limit says.
func (s *sendScheduler) heldHosts(limit int) []hostHold {
	s.mu.Lock()
	defer s.mu.Unlock()
	var holds []hostHold
	for h, to := range s.hosts {
		if until, reason, held := to.gate.Held(); held {
			holds = append(holds, hostHold{h, until, reason})
		}
	}
	slices.SortFunc(holds, func(a, b hostHold) int {
		return cmp.Or(b.until.Compare(a.until), cmp.Compare(a.host.Host, b.host.Host))
	})
	return holds[:min(limit, len(holds))]
}

// hostHold is a hold of a host, in local time.
type hostHold struct {
	host   store.Host
	until  time.Time
	reason string
}

// uncount takes a permit out of the 256, once. The caller holds the lock.
func (s *sendScheduler) uncount(p *sendPermit) {
	if !p.counted {
		return
	}
	p.counted = false
	s.taken--
	if p.unproven {
		s.unproven--
	}
}

// room tells whether one more try may be in flight. The caller holds the lock.
func (s *sendScheduler) room(unproven bool) bool {
	return s.taken < deliverySlots && (!unproven || s.unproven < unprovenSlots)
}

// ahead is how many may stand in the queue for the host.
func (h *host) ahead() int {
	if _, _, held := h.gate.Held(); held || !h.gate.Proven() {
		return 0
	}
	return min(maxAhead, int(time.Duration(h.slots)*aheadTime/max(h.took, time.Millisecond)))
}

// tryNow takes a permit for a delivery that has just been made; nil where those
// that wait already need all the room there is.
func (s *sendScheduler) tryNow(h store.Host) *sendPermit {
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

// begin tells whether a claimed delivery can be sent now. If not it stands in
// line, or is refused, where the host takes nothing any more.
func (s *sendScheduler) begin(w *send) (now, refused bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, to := w.permit, s.host(w.permit.host)
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
	if w.payload != nil && s.kept+len(w.payload.Body) > maxKept {
		w.payload = nil
	}
	s.kept += w.size()
	to.queue = append(to.queue, w)
	return false, false
}

// size is what it keeps in memory.
func (w *send) size() int {
	if w.payload == nil {
		return 0
	}
	return len(w.payload.Body)
}

// tried gives the host's slot back as soon as the try is over (that it is
// settled does not concern the host), or hands it to the next in the queue. Where the
// host takes nothing now, the queue is flushed. Only the first call counts.
func (p *sendPermit) tried(r limit.Report, took time.Duration) (next, flushed []*send) {
	s := p.scheduler
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.slot == nil || p.over {
		return nil, nil
	}
	p.over = true
	p.slot.Done(r)
	to := s.host(p.host)
	if r.Verdict == limit.Void && p.slot.Probe() {
		to.asked = time.Time{} // nothing was found out for those who asked before
	}
	to.out--
	if took > 0 {
		to.resize(took, r.Verdict == limit.OK, s.taken < crowded)
	}
	if len(to.queue) > 0 {
		s.uncount(p) // its place among the 256 is handed on, too
	}
	for len(to.queue) > 0 && s.enter(to.queue[0].permit, to) {
		next = append(next, s.leave(to, 1)...)
	}
	if to.stalled() {
		flushed = s.leave(to, len(to.queue))
	}
	return next, flushed
}

// stalled reports whether no try is out which would hand its slot to a queue.
func (h *host) stalled() bool {
	_, _, held := h.gate.Held()
	return held || h.out == 0
}

// resize gives the host a slot more or less, by how a try went.
func (h *host) resize(took time.Duration, ok, mayGrow bool) {
	if h.took == 0 {
		h.took = took
	}
	h.took += (took - h.took) / 8
	switch {
	case !ok:
		h.slots = slotsPerHost
	case h.took > slowTry:
		h.slots = max(slotsPerHost, h.slots-1)
	case mayGrow && h.took < quickTry && len(h.queue) > 0:
		h.slots = min(maxSlotsPerHost, h.slots+1)
	}
	h.gate.Resize(h.slots)
}

// leave takes the first n out of a queue. The caller holds the lock.
func (s *sendScheduler) leave(to *host, n int) []*send {
	left := slices.Clone(to.queue[:n])
	to.queue = slices.Delete(to.queue, 0, n)
	s.reserve(to, -n)
	for _, w := range left {
		s.kept -= w.size()
	}
	return left
}

// host gives what is known of a host. The caller holds the lock.
func (s *sendScheduler) host(h store.Host) *host {
	to := s.hosts[h]
	if to == nil {
		to = &host{gate: limit.New(s.gate), slots: slotsPerHost}
		s.hosts[h] = to
	}
	return to
}

// give ends a permit that has had its try, or none.
func (p *sendPermit) give() {
	s := p.scheduler
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.slot == nil {
		s.reserve(s.host(p.host), -1)
		return
	}
	s.uncount(p)
}

// next is when a host's gate may open by time alone; zero if not time but a
// try in flight stops it.
func (s *sendScheduler) next(h store.Host) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.host(h).gate
	if !s.room(!g.Proven()) {
		return time.Time{}
	}
	return g.Next()
}

// order notes which hosts have something due, and gives them round robin.
func (s *sendScheduler) order(due []store.HostWaiting) []store.HostWaiting {
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

// gateMemory is how long a gate that nobody uses is remembered, so that a host
// which is called now and then is not a new one each time; manyHosts is how many
// may be, before all that can be forgotten are.
const (
	gateMemory = time.Hour
	manyHosts  = 10_000
)

func (s *sendScheduler) tidy() {
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
