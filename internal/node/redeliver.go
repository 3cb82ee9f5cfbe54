package node

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/check"
	"github.com/ringback/ringback/internal/memory"
	"github.com/ringback/ringback/internal/protocol"
	"github.com/ringback/ringback/internal/refusal"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/webhook"
)

// Redeliver sends the webhook of a job's end once more, now and outside its schedule:
// with the same id, to where it went or elsewhere, in the form that it has or in another
// one. What is sent elsewhere is a delivery of its own.
func (n *Node) Redeliver(ctx context.Context, project, id string, r ringback.Redelivery) (ringback.Delivery, error) {
	job, err := refusal.JobID(id)
	if err != nil {
		return ringback.Delivery{}, err
	}
	to, err := n.checkRedelivery(r)
	if err != nil {
		return ringback.Delivery{}, err
	}
	deliveries, _, err := n.store.JobDeliveries(ctx, project, job)
	if err != nil {
		return ringback.Delivery{}, refusal.OfJob(id, err)
	}
	d, err := chosen(deliveries, id, job, to.URL)
	switch {
	case err != nil:
		return ringback.Delivery{}, err
	case d == nil:
		d, err = n.sendElsewhere(ctx, project, job, to, r.WebhookBody)
	default:
		err = n.sendAgain(ctx, project, d, r.WebhookBody)
		if to.URL != "" && errors.Is(err, store.ErrInFlight) && cmp.Or(r.WebhookBody, d.Form) == d.Form {
			err = nil // asked for twice: it is on its way
		}
	}
	if err != nil {
		return ringback.Delivery{}, n.redeliverError(id, err)
	}
	n.log.Debug("webhook is sent again", "delivery_id", d.ID, "job_id", job, "host", d.Host)
	n.askNow()
	return n.delivery(ctx, project, id, d)
}

// checkRedelivery returns where a webhook is to go, zero if to where it went.
func (n *Node) checkRedelivery(r ringback.Redelivery) (to webhook.Target, err error) {
	c := check.Checks{}
	if r.WebhookBody != "" {
		check.OneOf(&c, "webhook_body", r.WebhookBody, ringback.WebhookFull, ringback.WebhookResult, ringback.WebhookThin)
	}
	if c.Err() == nil && r.URL != "" {
		if to, err = n.cfg.Guard.CheckRedeliveryURL(r.URL); err != nil {
			c.Fault("url", err.Error())
		}
	}
	if err := c.Err(); err != nil {
		return to, err
	}
	return to, nil
}

// chosen is the delivery of a job that goes to a URL: nil if there is none yet. Without
// a URL it is the webhook that the job's end caused, or else the one that was added last.
func chosen(deliveries []store.Delivery, id string, job uuid.UUID, url string) (*store.Delivery, error) {
	for i := range deliveries {
		d := &deliveries[i]
		own := d.ID == webhook.ID(job, d.Event)
		if url == "" && own || url != "" && (own && d.URL == url || d.ID == webhook.ElsewhereID(job, d.Event, url)) {
			return d, nil
		}
	}
	switch {
	case url != "":
		return nil, nil //nolint:nilnil // it is still to be made
	case len(deliveries) == 0:
		return nil, &ringback.Error{
			Code:    ringback.Conflict,
			Message: fmt.Sprintf("job %s has no webhook to send: it has not ended, or wanted none; once it has ended, a url sends its answer there", id),
		}
	}
	return &deliveries[len(deliveries)-1], nil
}

// sendAgain makes a delivery due, in another form if one is given.
func (n *Node) sendAgain(ctx context.Context, project string, d *store.Delivery, form ringback.WebhookBody) error {
	r := store.Redelivery{Now: n.clock.Stamped(), Form: form}
	if form == ringback.WebhookFull || form == ringback.WebhookResult {
		larger, err := n.widened(ctx, project, d, form)
		if err != nil {
			return err
		}
		if larger != nil {
			r.Body = store.Pack(larger)
		}
	}
	return n.store.Redeliver(ctx, project, d.ID, r)
}

// widened returns the stored body of a delivery with what a form has and the body has not;
// nil if nothing is missing. Reduced again it is the stored one, byte for byte.
func (n *Node) widened(ctx context.Context, project string, d *store.Delivery, form ringback.WebhookBody) ([]byte, error) {
	held := n.memory.Reads.Grant()
	defer held.Release()
	p, err := n.payload(&store.Delivery{ID: d.ID, Form: ringback.WebhookFull}, held.OrFail(refusal.Read())) // as it is stored
	if err == nil && p.Left > 0 {
		err = held.OrFail(refusal.Read())(rebuilding * int64(len(p.Body)))
	}
	if err != nil {
		return nil, err
	}
	var e ringback.Event
	if err := json.Unmarshal(p.Body, &e); err != nil {
		return nil, fmt.Errorf("read the webhook of job %s: %w", d.JobID, err)
	}
	if e.Result != nil && (form == ringback.WebhookResult || len(e.Response) > 0) || e.PartialResult != "" {
		return nil, nil
	}
	_, c, err := n.contentOf(ctx, project, d.JobID, held)
	if err != nil {
		return nil, err
	}
	fill(&e, c, form)
	body, err := webhook.Body(e)
	if errors.Is(err, webhook.ErrTooDeep) {
		return nil, ringback.Invalid("webhook_body", "webhook_body: the provider's message is nested too deep for a webhook; send it as thin, and read the answer at status_url")
	}
	if err != nil || len(body) <= len(p.Body) {
		return nil, err
	}
	return body, nil
}

// rebuilding is what it takes of memory, for each byte of an answer, to make a webhook of
// it once more: its text, both encoded, in canonical form, and packed.
const rebuilding = 6

// contentOf reads a job with what its webhook carries. What is large takes memory first.
func (n *Node) contentOf(ctx context.Context, project string, id uuid.UUID, held *memory.Grant) (j store.Job, c content, err error) {
	j, stored, err := n.store.Job(ctx, project, id, store.PartAnswer|store.PartPartial|store.LeaveLarge)
	if err != nil {
		return j, c, err
	}
	take := held.OrFail(refusal.Read())
	for part, packed := range stored.Left {
		text, err := store.ReadLarge(n.store, id, part, packed, take)
		if err == nil {
			err = take(rebuilding * int64(len(text)))
		}
		if err != nil {
			return j, c, err
		}
		if part == store.PartAnswer {
			stored.Answer = text
		} else {
			stored.Partial = text
		}
	}
	c = content{answer: stored.Answer, partial: string(stored.Partial)}
	if j.Status == ringback.Completed {
		c.partial = ""
		if c.text, err = protocol.Text(j.Protocol, stored.Answer); err != nil {
			err = fmt.Errorf("read the answer of job %s: %w", id, err)
		}
	}
	return j, c, err
}

// sendElsewhere adds a delivery of a job's end to another place. Its first try is the one
// that was asked for; the schedule goes on from there.
func (n *Node) sendElsewhere(ctx context.Context, project string, job uuid.UUID, to webhook.Target, form ringback.WebhookBody) (*store.Delivery, error) {
	held := n.memory.Reads.Grant()
	defer held.Release()
	j, c, err := n.contentOf(ctx, project, job, held)
	if err != nil {
		return nil, err
	}
	event := ringback.EventOf(j.Status)
	if event == "" {
		return nil, store.ErrLive
	}
	body, form, err := n.body(event, &j, c, j.EndedAt, cmp.Or(form, j.Options.WebhookBody, ringback.WebhookFull))
	if err != nil {
		return nil, err
	}
	now := n.clock.Stamped()
	next, _ := n.schedule.Next(now, 1, now, 0, rand.Float64)
	added := store.NewDelivery{
		ID: webhook.ElsewhereID(j.ID, event, to.URL), Event: event, URL: to.URL, Host: to.Host,
		Body: store.Pack(body), Form: form, MadeAt: now, NextAt: next,
	}
	return &store.Delivery{ID: added.ID, JobID: j.ID, Host: to.Host, Form: form}, n.store.AddDelivery(ctx, project, job, added)
}

// delivery reads a delivery as it is now.
func (n *Node) delivery(ctx context.Context, project, id string, d *store.Delivery) (ringback.Delivery, error) {
	deliveries, tries, err := n.store.JobDeliveries(ctx, project, d.JobID)
	if err != nil {
		return ringback.Delivery{}, refusal.OfJob(id, err)
	}
	for i := range deliveries {
		if deliveries[i].ID == d.ID {
			return n.ViewDelivery(&deliveries[i], tries[i]), nil
		}
	}
	return ringback.Delivery{}, refusal.NoJob(id)
}

func (n *Node) redeliverError(id string, err error) error {
	switch {
	case errors.Is(err, store.ErrInFlight):
		return &ringback.Error{Code: ringback.Conflict, Message: fmt.Sprintf("the webhook of job %s is being sent at this moment", id)}
	case errors.Is(err, store.ErrLive):
		return &ringback.Error{Code: ringback.Conflict, Message: fmt.Sprintf("job %s has not ended: there is nothing to send yet", id)}
	case errors.Is(err, store.ErrGone):
		return &ringback.Error{Code: ringback.Gone, Message: fmt.Sprintf("the webhook of job %s was deleted", id)}
	}
	return n.refuser.Write(refusal.OfJob(id, err))
}
