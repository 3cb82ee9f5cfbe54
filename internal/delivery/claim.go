package delivery

import (
	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/limit"
	"github.com/ringback/ringback/internal/memory"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/supervise"
)

// Claim is a delivery that this node has claimed, with the right to send it.
type Claim struct {
	dispatcher *Dispatcher
	delivery   store.Delivery
	payload    *store.Payload // nil: still in the store
	permit     *permit
	session    Session       // under which it is claimed
	held       *memory.Grant // of its body
}

// ClaimNow claims a delivery that a settle is about to store; it returns nil if there is
// none, or no slot for it. The claim must be sent or given up.
func (d *Dispatcher) ClaimNow(j store.Job, made *store.NewDelivery, body []byte) *Claim {
	s := d.cfg.Session()
	if made == nil || !d.cfg.Worker || d.cfg.Draining() || d.cfg.Supervisor.Short() || !s.Leased() {
		return nil
	}
	held := d.cfg.Memory.Grant()
	if !held.Take(int64(len(body))) {
		return nil // it is read again when there is room
	}
	p := d.scheduler.tryNow(store.Host{Project: j.Project, Host: made.Host})
	if p == nil {
		held.Release()
		return nil
	}
	made.Node = s.ID()
	d.inflight.enter(store.Ref{ID: made.ID, Fence: 1})
	return &Claim{
		dispatcher: d,
		session:    s,
		delivery: store.Delivery{
			ID: made.ID, JobID: j.ID, Project: j.Project, Host: made.Host, URL: made.URL, Event: made.Event,
			Status: ringback.DeliveryPending, Fence: 1, InFlight: true, Node: s.ID(), MadeAt: made.MadeAt, NextAt: made.MadeAt, Form: made.Form,
		},
		payload: &store.Payload{
			Body: body, Header: j.Options.CallbackHeaders,
			TraceParent: j.Options.TraceParent, TraceState: j.Options.TraceState, Attempt: j.Fence,
		},
		permit: p,
		held:   held,
	}
}

// GiveUp gives a claim back that is not used. It may be called on a nil claim.
func (c *Claim) GiveUp() {
	if c != nil {
		c.release()
	}
}

// release gives back everything that a claim holds.
func (c *Claim) release() {
	d := c.dispatcher
	d.inflight.leave(c.delivery.Ref())
	c.held.Release()
	d.giveBack(c.permit)
	d.Wake()
}

// Send makes one try of a delivery that is claimed, as soon as there is a slot.
func (c *Claim) Send() {
	d := c.dispatcher
	switch now, refused := d.scheduler.begin(c); {
	case now:
		d.start(c)
	case refused:
		d.sendNext(nil, []*Claim{c})
	}
}

// start makes one try. Its goroutine owns the permit.
func (d *Dispatcher) start(c *Claim) {
	d.cfg.Group.Go(func() error {
		defer c.release()
		about := []any{"delivery_id", c.delivery.ID, "job_id", c.delivery.JobID}
		if err := d.cfg.Supervisor.Guarded("send a webhook", func() error { d.try(c); return nil }, about...); err != nil {
			_ = d.cfg.Supervisor.Guarded(supervise.StepSettle, func() error { d.settle(c.delivery, d.broken(c)); return nil }, about...)
		}
		return nil
	})
}

// sendNext begins the tries of the next in a queue, and gives those that were flushed back
// to the store: their claims cost them no try.
func (d *Dispatcher) sendNext(next, flushed []*Claim) {
	for _, c := range next {
		d.start(c)
	}
	for _, c := range flushed {
		d.cfg.Group.Go(func() error {
			defer d.inflight.leave(c.delivery.Ref())
			c.payload = nil
			c.held.Release()
			_ = d.cfg.Supervisor.Guarded(supervise.StepSettle, func() error { d.settle(c.delivery, d.unbegun(c.delivery)); return nil })
			d.Wake()
			return nil
		})
	}
}

// giveBack ends a permit. One that has had no try hands its slot on.
func (d *Dispatcher) giveBack(p *permit) {
	d.sendNext(p.tried(limit.Report{}, 0))
	p.give()
}
