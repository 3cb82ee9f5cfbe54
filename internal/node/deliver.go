package node

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/limit"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/supervise"
	"github.com/ringback/ringback/internal/webhook"
)

// maxClaim is how many deliveries one transaction claims: what settles waits for
// it.
const maxClaim = 256

// dispatchDeliveries gives free slots to the deliveries that wait in the store.
func (n *Node) dispatchDeliveries(ctx context.Context) error {
	return n.supervisor.Dispatch(ctx, "claim deliveries", n.wakeDeliveries, n.claimDeliveries)
}

func (n *Node) claimDeliveries(ctx context.Context, now time.Time) (next time.Time, err error) {
	l := n.members.Session()
	if n.draining.Load() || n.supervisor.Short() || !l.Leased() {
		return now.Add(supervise.Idle), nil
	}
	if n.memory.Webhooks.Full() {
		return now.Add(10 * time.Millisecond), nil
	}
	w, err := n.store.DueDeliveries(ctx, now)
	if err != nil {
		return next, err
	}
	due, next := n.deliveries.order(w.Hosts), w.Next
	permits := map[store.Host][]*sendPermit{}
	asked, again, err := n.takeAsked(ctx, now, permits)
	if err != nil {
		return next, err
	}
	next, taken := earlier(next, again), len(asked)
	for len(due) > 0 && taken < maxClaim {
		due = slices.DeleteFunc(due, func(h store.HostWaiting) bool {
			if len(permits[h.Host]) >= h.Count || taken == maxClaim {
				return true
			}
			p := n.deliveries.take(h.Host)
			if p == nil {
				if at := n.clock.Shared(n.deliveries.next(h.Host)); at.After(now) {
					next = earlier(next, at)
				}
				return true
			}
			permits[h.Host] = append(permits[h.Host], p)
			taken++
			return false
		})
	}
	return next, n.sendClaimed(ctx, l, permits, asked, now)
}

// sendClaimed claims what was asked for and a delivery for each further pass, sends what
// it got and gives back the other passes.
func (n *Node) sendClaimed(ctx context.Context, l session, permits map[store.Host][]*sendPermit, asked []store.DueRedelivery, now time.Time) error {
	if len(permits) == 0 {
		return nil
	}
	defer func() {
		for _, left := range permits {
			for _, p := range left {
				n.giveBack(p)
			}
		}
	}()
	claim := store.ClaimHosts{Node: l.ID(), Now: now}
	promised := map[store.Host]int{}
	for _, r := range asked {
		claim.Redeliveries = append(claim.Redeliveries, r.ID)
		promised[r.Host]++
	}
	for h, p := range permits {
		if more := len(p) - promised[h]; more > 0 {
			claim.Hosts = append(claim.Hosts, store.HostWant{Host: h, N: more})
		}
	}
	defer underway(&n.claimingDeliveries)()
	claimed, err := n.store.ClaimDeliveries(ctx, claim)
	if err != nil {
		return err
	}
	n.metrics.Delivery.Claims.Add(float64(len(claimed)))
	for _, d := range claimed {
		left := permits[d.Key()] // those with a slot first, for those that are due longest
		permits[d.Key()] = left[1:]
		n.sending.take(d.Ref(), l)
		n.send(&send{delivery: d, permit: left[0], session: l, held: n.memory.Webhooks.Grant()})
	}
	supervise.Wake(n.wakeDeliveries)
	return nil
}

// sendNow takes a permit for a delivery that a settle is about to store; nil where there is
// none, or no slot for it.
func (n *Node) sendNow(j store.Job, d *store.NewDelivery, body []byte) *send {
	l := n.members.Session()
	if d == nil || !n.is(Worker) || n.draining.Load() || n.supervisor.Short() || !l.Leased() {
		return nil
	}
	held := n.memory.Webhooks.Grant()
	if !held.Take(int64(len(body))) {
		return nil // it is read again when there is room
	}
	p := n.deliveries.tryNow(store.Host{Project: j.Project, Host: d.Host})
	if p == nil {
		held.Release()
		return nil
	}
	d.Node = l.ID()
	n.sending.take(store.Ref{ID: d.ID, Fence: 1}, l)
	return &send{
		session: l,
		delivery: store.Delivery{
			ID: d.ID, JobID: j.ID, Project: j.Project, Host: d.Host, URL: d.URL, Event: d.Event,
			Status: ringback.DeliveryPending, Fence: 1, InFlight: true, Node: l.ID(), MadeAt: d.MadeAt, NextAt: d.MadeAt, Form: d.Form,
		},
		payload: &store.Payload{
			Body: body, Header: j.Options.CallbackHeaders,
			TraceParent: j.Options.TraceParent, TraceState: j.Options.TraceState, Attempt: j.Fence,
		},
		permit: p,
		held:   held,
	}
}

// giveUp gives back what a settle that never came about had taken.
func (n *Node) giveUp(inserted *send) {
	if inserted != nil {
		n.sending.drop(inserted.delivery.Ref())
		inserted.held.Release()
		n.giveBack(inserted.permit)
		supervise.Wake(n.wakeDeliveries)
	}
}

// giveBack ends a permit. One that has had no try hands its slot on.
func (n *Node) giveBack(p *sendPermit) {
	n.sendNext(p.tried(limit.Report{}, 0))
	p.give()
}

// send makes one try of a delivery that is claimed, as soon as there is a slot.
func (n *Node) send(s *send) {
	switch now, refused := n.deliveries.begin(s); {
	case now:
		n.try(s)
	case refused:
		n.sendNext(nil, []*send{s})
	}
}

// try makes one try. Its goroutine owns the permit.
func (n *Node) try(s *send) {
	n.group.Go(func() error {
		defer func() {
			n.sending.drop(s.delivery.Ref())
			s.held.Release()
			n.giveBack(s.permit)
			supervise.Wake(n.wakeDeliveries)
		}()
		about := []any{"delivery_id", s.delivery.ID, "job_id", s.delivery.JobID}
		if err := n.supervisor.Guarded("send a webhook", func() error { n.deliver(s); return nil }, about...); err != nil {
			_ = n.supervisor.Guarded(supervise.StepSettle, func() error { n.settleDelivery(s.delivery, n.broken(s)); return nil }, about...)
		}
		return nil
	})
}

// follow begins the tries of those at the head of the line, and gives those that
// were claimed in vain back to the store: it cost them no try.
func (n *Node) sendNext(next, flushed []*send) {
	for _, s := range next {
		n.try(s)
	}
	for _, s := range flushed {
		n.group.Go(func() error {
			defer n.sending.drop(s.delivery.Ref())
			s.payload = nil
			s.held.Release()
			_ = n.supervisor.Guarded(supervise.StepSettle, func() error { n.settleDelivery(s.delivery, n.unbegun(s.delivery)); return nil })
			supervise.Wake(n.wakeDeliveries)
			return nil
		})
	}
}

// unbegun gives a delivery back of which no try was made.
func (n *Node) unbegun(d store.Delivery) store.TryEnd {
	now := n.clock.Stamped()
	again := d.NextAt // it keeps its turn
	if d.Manual {
		again = now
	}
	return store.TryEnd{At: now, Status: ringback.DeliveryPending, NextAt: again, Free: true, Unbegun: true}
}

// deliver makes one try of a delivery and settles it.
func (n *Node) deliver(s *send) {
	d := s.delivery
	if !s.session.Leased() { // by now: another node may be sending it already
		n.settleDelivery(d, n.unbegun(d))
		return
	}
	if s.payload == nil {
		p, err := n.payload(&d, s.held.OrWait(s.session.Context()))
		switch {
		case s.session.Context().Err() != nil && err != nil: // it waited for memory
			return // the drain's one transaction frees it, or who swept this node
		case err != nil:
			if !errors.Is(err, store.ErrUnavailable) {
				n.log.Error("webhook not sent: its content can't be read", "delivery_id", d.ID, "job_id", d.JobID, "err", err)
			}
			n.settleDelivery(d, n.unreadable(d, err))
			return
		}
		s.payload = &p
	}
	body := int64(len(s.payload.Body))
	s.held.Shrink(body)
	s.held.Force(body - s.held.Taken()) // it is there already; what comes next has to wait
	if s.permit.slot.Probe() {
		n.recordProbe("host", d.Host)
	}
	headers := webhook.HeadersOf(s.payload.Header)
	traced := n.traceDelivery(&d, s.payload, headers)
	res := n.cfg.Sender.Send(s.session.Context(), webhook.Message{
		At: n.clock.Now(), ID: d.ID.String(), URL: d.URL, Body: s.payload.Body, Header: headers, Secrets: n.cfg.Secrets, Blocked: d.Blocked,
	})
	traced(res)
	if res.Verdict == webhook.Interrupted {
		return // the drain's one transaction frees it, or who swept this node
	}
	if res.Verdict == webhook.Unsent {
		n.supervisor.NoteShortage(res.Cause)
		n.settleDelivery(d, n.postponed(d))
		return
	}
	n.sendNext(s.permit.tried(hostReport(res), res.Took))
	supervise.Wake(n.wakeDeliveries)
	n.recordTry(s, res)
	n.recordHost(d.Key())
	n.settleDelivery(d, n.concluded(s, res))
}

// broken says what a try leads to that made us panic: it counts, so that the delivery does
// not come back for ever.
func (n *Node) broken(s *send) store.TryEnd {
	return n.concluded(s, webhook.Result{Verdict: webhook.Retry, Class: webhook.ClassInternal, Started: n.clock.Now()})
}

// payload reads what a delivery sends, in the form that is wanted. A large body takes
// memory first.
func (n *Node) payload(d *store.Delivery, take func(bytes int64) error) (store.Payload, error) {
	p, err := n.store.Payload(context.Background(), d.ID)
	if err == nil && p.Left > 0 {
		p.Body, err = store.ReadLarge(n.store, d.ID, store.PartPayload, p.Left, take)
	}
	if err == nil && p.Left > 0 && d.Form != ringback.WebhookFull {
		err = take(reducing * int64(len(p.Body)))
	}
	if err == nil {
		p.Body = webhook.Reduce(p.Body, d.Form)
	}
	return p, err
}

// reducing is what webhook.Reduce takes of memory for each byte of a body.
const reducing = 3

// concluded says what a try leads to.
func (n *Node) concluded(s *send, res webhook.Result) store.TryEnd {
	d := s.delivery
	end := store.TryEnd{
		At: n.clock.Stamped(),
		Try: ringback.Try{
			At: ringback.Time{Time: res.Started}, StatusCode: res.StatusCode, DurationMS: res.Took.Milliseconds(),
			Error: string(res.Class), Response: res.Response,
		},
	}
	if s.permit.slot.Probe() {
		end.Try.Trigger = "probe"
	}
	switch res.Verdict {
	case webhook.Delivered:
		end.Status = ringback.DeliveryDelivered
		return end
	case webhook.Dead:
		end.Status, end.Reason = ringback.DeliveryDead, ringback.DeadRefused
		return end
	case webhook.TooLarge:
		form, ok := webhook.Smaller(s.payload.Body, d.Form)
		if !ok {
			end.Status, end.Reason = ringback.DeliveryDead, ringback.DeadTooLarge
			return end
		}
		end.Status, end.NextAt, end.Smaller = ringback.DeliveryPending, end.At, form
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
	if errors.Is(err, store.ErrGone) {
		return store.TryEnd{At: n.clock.Stamped(), Status: ringback.DeliveryDead, Reason: ringback.DeadErased}
	}
	return n.postponed(d)
}

// postponed gives back a delivery of which no try could be made now.
func (n *Node) postponed(d store.Delivery) store.TryEnd {
	end := n.unbegun(d)
	end.NextAt = n.supervisor.AfterPause(end.At)
	return end
}

func (n *Node) settleDelivery(d store.Delivery, end store.TryEnd) {
	for tries := 1; ; tries++ {
		var after store.Delivery
		err := n.supervisor.Guarded(supervise.StepSettle, func() (err error) {
			after, err = n.store.SettleDelivery(context.Background(), d.Ref(), end)
			return err
		}, "delivery_id", d.ID)
		unreached := n.supervisor.OutOfReach(supervise.StepSettle, err)
		if err == nil {
			n.recordTried(d, after, end)
			return
		}
		if errors.Is(err, store.ErrFenced) {
			n.metrics.Delivery.Fenced.Inc()
			n.log.Warn("try settled too late: the delivery has moved on", "delivery_id", d.ID)
		}
		if !n.supervisor.TryAgain(err) {
			return
		}
		if !unreached && n.supervisor.WorthLogging(tries, err) {
			n.log.Error("try not stored, trying again", "delivery_id", d.ID, "err", err)
		}
		if !n.pause(supervise.SettlePause(tries, err)) {
			return
		}
		if tries == supervise.SettleTries && !supervise.IsTransient(err) { // what the receiver said can't be stored
			end.Try.Response = ""
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
