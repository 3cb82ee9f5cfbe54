package delivery

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/limit"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/webhook"
)

// try makes one try of a delivery and settles it.
func (d *Dispatcher) try(c *Claim) {
	row := c.delivery
	if !c.session.Leased() { // by now: another node may be sending it already
		d.settle(row, d.unbegun(row))
		return
	}
	if c.payload == nil && !d.load(c) {
		return
	}
	body := int64(len(c.payload.Body))
	c.held.Shrink(body)
	c.held.Force(body - c.held.Taken()) // it is there already; what comes next has to wait
	if c.permit.slot.Probe() {
		d.log.Info("a call finds out whether the hold is over", "host", row.Host)
	}
	res := d.send(c)
	switch res.Verdict {
	case webhook.Interrupted: // the drain's one transaction frees it, or the node that swept this one
		return
	case webhook.Unsent:
		d.cfg.Supervisor.NoteShortage(res.Cause)
		d.settle(row, d.postponed(row))
		return
	}
	d.sendNext(c.permit.tried(hostReport(res), res.Took))
	d.Wake()
	d.recordTry(c, res)
	d.recordHold(row.Key())
	d.settle(row, d.concluded(c, res))
}

// load reads what a delivery sends. If it can't be read the delivery is settled, and load
// returns false.
func (d *Dispatcher) load(c *Claim) bool {
	row, ctx := c.delivery, c.session.Context()
	p, err := payload(d.store, &row, c.held.OrWait(ctx))
	switch {
	case err == nil:
		c.payload = &p
		return true
	case ctx.Err() != nil: // it waited for memory
		return false // the drain's one transaction frees it, or the node that swept this one
	case !errors.Is(err, store.ErrUnavailable):
		d.log.Error("webhook not sent: its content can't be read", "delivery_id", row.ID, "job_id", row.JobID, "err", err)
	}
	d.settle(row, d.unreadable(row, err))
	return false
}

// reducing is what webhook.Reduce takes of memory for each byte of a body.
const reducing = 3

// payload reads what a delivery sends, in the form that is wanted. A large body takes
// memory first.
func payload(from Payloads, d *store.Delivery, take func(bytes int64) error) (store.Payload, error) {
	p, err := from.Payload(context.Background(), d.ID)
	if err == nil && p.Left > 0 {
		p.Body, err = store.ReadLarge(from, d.ID, store.PartPayload, p.Left, take)
	}
	if err == nil && p.Left > 0 && d.Form != ringback.WebhookFull {
		err = take(reducing * int64(len(p.Body)))
	}
	if err == nil {
		p.Body = webhook.Reduce(p.Body, d.Form)
	}
	return p, err
}

// send sends a webhook once.
func (d *Dispatcher) send(c *Claim) webhook.Result {
	row := &c.delivery
	headers := webhook.HeadersOf(c.payload.Header)
	traced := d.trace(row, c.payload, headers)
	res := d.cfg.Sender.Send(c.session.Context(), webhook.Message{
		At: d.clock.Now(), ID: row.ID.String(), URL: row.URL, Body: c.payload.Body, Header: headers, Secrets: d.cfg.Secrets, Blocked: row.Blocked,
	})
	traced(res)
	return res
}

// unbegun gives back a delivery that had no try.
func (d *Dispatcher) unbegun(row store.Delivery) store.TryEnd {
	now := d.clock.Stamped()
	again := row.NextAt // it keeps its turn
	if row.Manual {
		again = now
	}
	return store.TryEnd{At: now, Status: ringback.DeliveryPending, NextAt: again, Free: true, Unbegun: true}
}

// postponed gives back a delivery that can have no try now.
func (d *Dispatcher) postponed(row store.Delivery) store.TryEnd {
	end := d.unbegun(row)
	end.NextAt = d.cfg.Supervisor.AfterPause(end.At)
	return end
}

// unreadable ends a try that could not begin. Content that is gone will not come back;
// anything else may.
func (d *Dispatcher) unreadable(row store.Delivery, err error) store.TryEnd {
	if errors.Is(err, store.ErrGone) {
		return store.TryEnd{At: d.clock.Stamped(), Status: ringback.DeliveryDead, Reason: ringback.DeadErased}
	}
	return d.postponed(row)
}

// broken returns what a try leads to that panicked: it counts, so that the delivery does
// not come back forever.
func (d *Dispatcher) broken(c *Claim) store.TryEnd {
	return d.concluded(c, webhook.Result{Verdict: webhook.Retry, Class: ringback.TryInternal, Started: d.clock.Now()})
}

// concluded returns what a try leads to.
func (d *Dispatcher) concluded(c *Claim, res webhook.Result) store.TryEnd {
	row := c.delivery
	end := store.TryEnd{
		At: d.clock.Stamped(),
		Try: ringback.Try{
			At: ringback.Time{Time: res.Started}, StatusCode: res.StatusCode, DurationMS: res.Took.Milliseconds(),
			Error: res.Class, Response: res.Response,
		},
	}
	if c.permit.slot.Probe() {
		end.Try.Trigger = ringback.TryProbe
	}
	switch res.Verdict {
	case webhook.Delivered:
		end.Status = ringback.DeliveryDelivered
		return end
	case webhook.Dead:
		end.Status, end.Reason = ringback.DeliveryDead, ringback.DeadRefused
		return end
	case webhook.TooLarge:
		form, ok := webhook.Smaller(c.payload.Body, row.Form)
		if !ok {
			end.Status, end.Reason = ringback.DeliveryDead, ringback.DeadTooLarge
			return end
		}
		end.Status, end.NextAt, end.Smaller = ringback.DeliveryPending, end.At, form
		return end
	}
	next, ok := d.cfg.Schedule.Next(row.MadeAt, row.Tries+1, end.At, res.RetryAfter, rand.Float64)
	if !ok {
		end.Status, end.Reason = ringback.DeliveryDead, ringback.DeadTries
		return end
	}
	end.Status, end.NextAt = ringback.DeliveryPending, next
	return end
}

// hostReport returns what a try shows about its host. An answer that refuses this one
// webhook shows that the host is well.
func hostReport(res webhook.Result) limit.Report {
	var until time.Time
	if res.RetryAfter > 0 {
		until = time.Now().Add(res.RetryAfter)
	}
	switch {
	case res.Verdict == webhook.Delivered:
		return limit.Report{Verdict: limit.OK}
	case res.Class == ringback.TryBlocked:
		return limit.Report{}
	case res.StatusCode == http.StatusTooManyRequests, res.StatusCode == http.StatusServiceUnavailable && !until.IsZero():
		return limit.Report{Verdict: limit.Refused, Until: until, Reason: "receiver_refused"}
	case res.StatusCode == 0, res.StatusCode >= 500:
		return limit.Report{Verdict: limit.Failed, Reason: "receiver_failing"}
	default:
		return limit.Report{Verdict: limit.OK}
	}
}
