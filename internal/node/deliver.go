package node

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/limit"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/webhook"
)

// sends is who may send webhooks: a gate for each (project, host), and 256
// tries in flight in all, of which hosts that are new or whose last try failed
// share at most half.
type sends struct {
	gate limit.Config

	mu       sync.Mutex
	taken    int
	unproven int // of those taken
	hosts    map[store.Host]*limit.Gate
	backlog  map[store.Host]int // about how many that are due wait for each host
	turn     int                // round robin
}

// pass is the right to make one try, and to settle it.
type pass struct {
	sends    *sends
	gate     *limit.Pass
	unproven bool
}

// tried gives the host's slot back as soon as the try is over: that it is
// settled does not concern the host.
func (p *pass) tried(r limit.Report) { p.gate.Done(r) }

// send is a delivery in flight, with the right to send it.
type send struct {
	delivery store.Delivery
	payload  *store.Payload // nil: still in the store
	pass     *pass
}

func (s *sends) init(cfg Config) {
	s.gate = cfg.HostGate
	s.gate.Slots, s.gate.PerMinute = slotsPerHost, 0
	s.hosts = map[store.Host]*limit.Gate{}
	s.backlog = map[store.Host]int{}
}

// take takes a pass for a host; nil if there is none now.
func (s *sends) take(h store.Host) *pass {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.host(h)
	unproven := !g.Proven()
	if !s.room(unproven) {
		return nil
	}
	p, ok := g.Enter()
	if !ok {
		return nil
	}
	s.taken++
	if unproven {
		s.unproven++
	}
	return &pass{sends: s, gate: p, unproven: unproven}
}

// room tells whether one more try may be in flight. The caller holds the lock.
func (s *sends) room(unproven bool) bool {
	return s.taken < deliverySlots && (!unproven || s.unproven < unprovenSlots)
}

// takeBorn takes a pass for a delivery that has just been made; nil where those
// that wait already need all the room there is.
func (s *sends) takeBorn(h store.Host) *pass {
	s.mu.Lock()
	waiting := s.backlog[h]
	full := waiting > 0 && s.host(h).Room() <= waiting
	s.mu.Unlock()
	if full {
		return nil
	}
	return s.take(h)
}

// host gives a host's gate. The caller holds the lock.
func (s *sends) host(h store.Host) *limit.Gate {
	g := s.hosts[h]
	if g == nil {
		g = limit.New(s.gate)
		s.hosts[h] = g
	}
	return g
}

func (p *pass) give() {
	p.tried(limit.Report{})
	p.sends.mu.Lock()
	defer p.sends.mu.Unlock()
	p.sends.taken--
	if p.unproven {
		p.sends.unproven--
	}
}

// next is when a host's gate may open by time alone; zero if not time but a
// try in flight stops it.
func (s *sends) next(h store.Host) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.host(h)
	if !s.room(!g.Proven()) {
		return time.Time{}
	}
	return g.Next()
}

// order notes which hosts have something due, and gives them round robin.
func (s *sends) order(due []store.HostWaiting) []store.HostWaiting {
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

func (s *sends) tidy() {
	s.mu.Lock()
	defer s.mu.Unlock()
	memory := gateMemory
	if len(s.hosts) > manyHosts {
		memory = 0
	}
	for h, g := range s.hosts {
		if g.Idle(memory) {
			delete(s.hosts, h)
		}
	}
}

// dispatchDeliveries gives free slots to the deliveries that wait in the store.
func (n *Node) dispatchDeliveries(ctx context.Context) error {
	return n.loop(ctx, n.wakeDeliveries, n.claimDeliveries)
}

func (n *Node) claimDeliveries(ctx context.Context, now time.Time) (next time.Time, err error) {
	if n.draining.Load() {
		return now.Add(idleLook), nil
	}
	w, err := n.store.DueDeliveries(ctx, now)
	if err != nil {
		return next, err
	}
	due, next := n.deliveries.order(w.Hosts), w.Next
	passes := map[store.Host][]*pass{}
	for len(due) > 0 {
		due = slices.DeleteFunc(due, func(h store.HostWaiting) bool {
			if len(passes[h.Host]) >= h.Count {
				return true
			}
			p := n.deliveries.take(h.Host)
			if p == nil {
				if at := n.deliveries.next(h.Host); at.After(now) {
					next = earlier(next, at)
				}
				return true
			}
			passes[h.Host] = append(passes[h.Host], p)
			return false
		})
	}
	return next, n.sendClaimed(ctx, passes, now)
}

// sendClaimed claims a delivery for each pass, sends what it got and gives back
// the other passes.
func (n *Node) sendClaimed(ctx context.Context, passes map[store.Host][]*pass, now time.Time) error {
	if len(passes) == 0 {
		return nil
	}
	defer func() {
		for _, left := range passes {
			for _, p := range left {
				p.give()
			}
		}
	}()
	claim := store.ClaimHosts{Now: now}
	for h, p := range passes {
		claim.Hosts = append(claim.Hosts, store.HostWant{Host: h, N: len(p)})
	}
	claimed, err := n.store.ClaimDeliveries(ctx, claim)
	if err != nil {
		return err
	}
	for _, d := range claimed {
		left := passes[d.Key()]
		passes[d.Key()] = left[:len(left)-1]
		n.send(&send{delivery: d, pass: left[len(left)-1]})
	}
	poke(n.wakeDeliveries)
	return nil
}

// born takes a pass for a delivery that a settle is about to store.
func (n *Node) born(j store.Job, d *store.NewDelivery, body []byte) *send {
	if n.draining.Load() {
		return nil
	}
	p := n.deliveries.takeBorn(store.Host{Project: j.Project, Host: d.Host})
	if p == nil {
		return nil
	}
	d.Born = true
	return &send{
		delivery: store.Delivery{
			ID: d.ID, JobID: j.ID, Project: j.Project, Host: d.Host, URL: d.URL, Event: d.Event,
			Status: ringback.DeliveryPending, Fence: 1, InFlight: true, MadeAt: d.MadeAt, NextAt: d.MadeAt,
		},
		payload: &store.Payload{
			Body: body, Header: j.Options.CallbackHeaders,
			TraceParent: j.Options.TraceParent, TraceState: j.Options.TraceState, Attempt: j.Fence,
		},
		pass: p,
	}
}

// giveUp gives back what a settle that never came about had taken.
func (n *Node) giveUp(born *send) {
	if born != nil {
		born.pass.give()
		poke(n.wakeDeliveries)
	}
}

// send makes one try. Its goroutine owns the pass.
func (n *Node) send(s *send) {
	n.group.Go(func() error {
		defer func() {
			s.pass.give()
			poke(n.wakeDeliveries)
		}()
		n.deliver(s)
		return nil
	})
}

// deliver makes one try of a delivery and settles it.
func (n *Node) deliver(s *send) {
	d := s.delivery
	if s.payload == nil {
		p, err := n.store.Payload(context.Background(), d.ID)
		if err != nil {
			n.log.Error("webhook not sent: its content can't be read", "delivery_id", d.ID, "job_id", d.JobID, "err", err)
			n.settleDelivery(d, n.unreadable(d, err))
			return
		}
		s.payload = &p
	}
	if s.pass.gate.Probe() {
		n.tellProbe("host", d.Host)
	}
	held := &share{b: n.budget}
	held.force(int64(len(s.payload.Body))) // it is there already; what comes next has to wait
	defer held.release()
	headers, err := webhook.Headers(s.payload.Header)
	if err != nil {
		headers = http.Header{} // they were checked when submitted, by another version
	}
	traced := n.traceDelivery(&d, s.payload, headers)
	res := n.cfg.Sender.Send(n.calls, webhook.Message{
		ID: d.ID.String(), URL: d.URL, Body: s.payload.Body, Header: headers, Secret: n.cfg.Secret, Blocked: d.Blocked,
	})
	traced(res)
	if res.Verdict == webhook.Interrupted {
		return // the drain's one transaction frees it
	}
	s.pass.tried(hostReport(res))
	poke(n.wakeDeliveries)
	n.tellTry(s, res)
	n.tellHold(d.Key())
	n.settleDelivery(d, n.concluded(d, res, s.pass))
}

// concluded says what a try leads to.
func (n *Node) concluded(d store.Delivery, res webhook.Result, p *pass) store.TryEnd {
	end := store.TryEnd{
		At: time.Now().Truncate(time.Millisecond),
		Try: ringback.Try{
			At: ringback.Time{Time: res.Started}, StatusCode: res.StatusCode, DurationMS: res.Took.Milliseconds(),
			Error: string(res.Class), Response: res.Response,
		},
	}
	if p.gate.Probe() {
		end.Try.Trigger = "probe"
	}
	switch res.Verdict {
	case webhook.Delivered:
		end.Status = ringback.DeliveryDelivered
		return end
	case webhook.Dead:
		end.Status, end.Reason = ringback.DeliveryDead, ringback.DeadRefused
		return end
	}
	next, ok := n.schedule.Next(d.MadeAt, d.Tries+1, end.At, res.RetryAfter, rand.Float64)
	if !ok {
		end.Status, end.Reason = ringback.DeliveryDead, ringback.DeadTries
		return end
	}
	end.Status, end.NextAt = ringback.DeliveryPending, next
	return end
}

// unreadable ends a try that could not begin. Content that is gone will not
// come back; anything else may.
func (n *Node) unreadable(d store.Delivery, err error) store.TryEnd {
	now := time.Now().Truncate(time.Millisecond)
	if errors.Is(err, store.ErrGone) {
		return store.TryEnd{At: now, Status: ringback.DeliveryDead, Reason: ringback.DeadErased}
	}
	return store.TryEnd{At: now, Status: ringback.DeliveryPending, NextAt: now.Add(n.cfg.RetryDelay), Free: true}
}

func (n *Node) settleDelivery(d store.Delivery, end store.TryEnd) {
	for {
		after, err := n.store.SettleDelivery(context.Background(), d.Ref(), end)
		if err == nil {
			n.tellTried(d, after, end)
			return
		}
		if errors.Is(err, store.ErrFenced) {
			n.log.Warn("try settled too late: the delivery has moved on", "delivery_id", d.ID)
		}
		if !n.tryAgain(err) {
			return
		}
		n.log.Error("try not stored, trying again", "delivery_id", d.ID, "err", err)
		if !n.pause(settlePause) {
			return
		}
	}
}

// hostReport says what a try says about its host. An answer that refuses this
// one webhook says that the host is well.
func hostReport(res webhook.Result) limit.Report {
	var until time.Time
	if res.RetryAfter > 0 {
		until = time.Now().Add(res.RetryAfter)
	}
	switch {
	case res.Verdict == webhook.Delivered:
		return limit.Report{Verdict: limit.OK}
	case res.Class == webhook.ClassBlocked:
		return limit.Report{}
	case res.StatusCode == http.StatusTooManyRequests, res.StatusCode == http.StatusServiceUnavailable && !until.IsZero():
		return limit.Report{Verdict: limit.Refused, Until: until, Reason: "receiver_refused"}
	case res.StatusCode == 0, res.StatusCode >= 500:
		return limit.Report{Verdict: limit.Failed, Reason: "receiver_failing"}
	default:
		return limit.Report{Verdict: limit.OK}
	}
}
