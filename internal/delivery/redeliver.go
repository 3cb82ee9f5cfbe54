package delivery

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/check"
	"github.com/ringback/ringback/internal/clock"
	"github.com/ringback/ringback/internal/memory"
	"github.com/ringback/ringback/internal/protocol"
	"github.com/ringback/ringback/internal/refusal"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/webhook"
)

// Redeliveries is what a redeliverer needs of the store.
type Redeliveries interface {
	Redeliver(ctx context.Context, project string, id uuid.UUID, r store.Redelivery) error
	AddDelivery(ctx context.Context, project string, job uuid.UUID, d store.NewDelivery) error
	JobDeliveries(ctx context.Context, project string, id uuid.UUID) ([]store.Delivery, [][]ringback.Try, error)
	Job(ctx context.Context, project string, id uuid.UUID, parts store.Parts) (store.Job, store.Content, error)
	Payloads
}

// RedelivererConfig configures a redeliverer. All fields are required.
type RedelivererConfig struct {
	Store    Redeliveries
	Outbox   *Outbox
	Clock    *clock.Clock
	Refuser  *refusal.Refuser
	Logger   *slog.Logger
	Guard    *webhook.Guard
	Schedule *webhook.Schedule
	// Memory is for what is read.
	Memory *memory.Pool
	// Stored is called when a redelivery is stored and can be sent.
	Stored func()
	// View shows a delivery as the API does.
	View func(*store.Delivery, []ringback.Try) ringback.Delivery
}

// Redeliverer sends webhooks once more when users ask for it.
type Redeliverer struct{ cfg RedelivererConfig }

// NewRedeliverer returns a redeliverer.
func NewRedeliverer(cfg RedelivererConfig) *Redeliverer { return &Redeliverer{cfg} }

// Redeliver sends the webhook of a job's end once more, now and outside its schedule: with
// the same id, to the same URL or elsewhere, in the form that it has or in another one. One
// that is sent elsewhere is a delivery of its own.
func (r *Redeliverer) Redeliver(ctx context.Context, project, id string, how ringback.Redelivery) (ringback.Delivery, error) {
	job, err := refusal.JobID(id)
	if err != nil {
		return ringback.Delivery{}, err
	}
	to, err := r.check(how)
	if err != nil {
		return ringback.Delivery{}, err
	}
	deliveries, _, err := r.cfg.Store.JobDeliveries(ctx, project, job)
	if err != nil {
		return ringback.Delivery{}, refusal.OfJob(id, err)
	}
	d, err := chosen(deliveries, id, job, to.URL)
	switch {
	case err != nil:
		return ringback.Delivery{}, err
	case d == nil:
		d, err = r.sendElsewhere(ctx, project, job, to, how.WebhookBody)
	default:
		err = r.sendAgain(ctx, project, d, how.WebhookBody)
		if to.URL != "" && errors.Is(err, store.ErrInFlight) && cmp.Or(how.WebhookBody, d.Form) == d.Form {
			err = nil // requested twice: it is on its way
		}
	}
	if err != nil {
		return ringback.Delivery{}, r.userError(id, err)
	}
	r.cfg.Logger.Debug("webhook is sent again", "delivery_id", d.ID, "job_id", job, "host", d.Host)
	r.cfg.Stored()
	return r.shown(ctx, project, id, d)
}

// check returns where a webhook is to go; zero if to the same URL as before.
func (r *Redeliverer) check(how ringback.Redelivery) (to webhook.Target, err error) {
	c := check.Checks{}
	if how.WebhookBody != "" {
		check.OneOf(&c, "webhook_body", how.WebhookBody, ringback.WebhookFull, ringback.WebhookResult, ringback.WebhookThin)
	}
	if c.Err() == nil && how.URL != "" {
		if to, err = r.cfg.Guard.CheckRedeliveryURL(how.URL); err != nil {
			c.Fault("url", err.Error())
		}
	}
	return to, c.Err()
}

// chosen returns the delivery of a job that goes to a URL; nil if there is none yet. Without
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
func (r *Redeliverer) sendAgain(ctx context.Context, project string, d *store.Delivery, form ringback.WebhookBody) error {
	again := store.Redelivery{Now: r.cfg.Clock.Stamped(), Form: form}
	if form == ringback.WebhookFull || form == ringback.WebhookResult {
		larger, err := r.widened(ctx, project, d, form)
		if err != nil {
			return err
		}
		if larger != nil {
			again.Body = store.Pack(larger)
		}
	}
	return r.cfg.Store.Redeliver(ctx, project, d.ID, again)
}

// widened returns the stored body of a delivery with what a form has and the body lacks;
// nil if nothing is missing. Reduced again it is the stored one, byte for byte.
func (r *Redeliverer) widened(ctx context.Context, project string, d *store.Delivery, form ringback.WebhookBody) ([]byte, error) {
	held := r.cfg.Memory.Grant()
	defer held.Release()
	take := held.OrFail(refusal.Read())
	p, err := payload(r.cfg.Store, &store.Delivery{ID: d.ID, Form: ringback.WebhookFull}, take) // as it is stored
	if err == nil && p.Left > 0 {
		err = take(rebuilding * int64(len(p.Body)))
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
	_, c, err := r.contentOf(ctx, project, d.JobID, take)
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

// rebuilding is how much memory it takes, for each byte of an answer, to make a webhook of
// it once more: its text, both encoded, in canonical form, and packed.
const rebuilding = 6

// contentOf reads a job with what its webhook carries. Large parts take memory first.
func (r *Redeliverer) contentOf(ctx context.Context, project string, id uuid.UUID, take func(bytes int64) error) (j store.Job, c Content, err error) {
	j, stored, err := r.cfg.Store.Job(ctx, project, id, store.PartAnswer|store.PartPartial|store.LeaveLarge)
	if err != nil {
		return j, c, err
	}
	for part, packed := range stored.Left {
		text, err := store.ReadLarge(r.cfg.Store, id, part, packed, take)
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
	c = Content{Answer: stored.Answer, Partial: string(stored.Partial)}
	if j.Status == ringback.Completed {
		c.Partial = ""
		if c.Text, err = protocol.Text(j.Protocol, stored.Answer); err != nil {
			err = fmt.Errorf("read the answer of job %s: %w", id, err)
		}
	}
	return j, c, err
}

// sendElsewhere adds a delivery of a job's end to another URL. Its first try is the one that
// was requested; the schedule goes on from there.
func (r *Redeliverer) sendElsewhere(ctx context.Context, project string, job uuid.UUID, to webhook.Target, form ringback.WebhookBody) (*store.Delivery, error) {
	held := r.cfg.Memory.Grant()
	defer held.Release()
	j, c, err := r.contentOf(ctx, project, job, held.OrFail(refusal.Read()))
	if err != nil {
		return nil, err
	}
	event := ringback.EventOf(j.Status)
	if event == "" {
		return nil, store.ErrLive
	}
	body, form, err := r.cfg.Outbox.body(event, &j, c, j.EndedAt, cmp.Or(form, j.Options.WebhookBody, ringback.WebhookFull))
	if err != nil {
		return nil, err
	}
	now := r.cfg.Clock.Stamped()
	next, _ := r.cfg.Schedule.Next(now, 1, now, 0, rand.Float64)
	added := store.NewDelivery{
		ID: webhook.ElsewhereID(j.ID, event, to.URL), Event: event, URL: to.URL, Host: to.Host,
		Body: store.Pack(body), Form: form, MadeAt: now, NextAt: next,
	}
	return &store.Delivery{ID: added.ID, JobID: j.ID, Host: to.Host, Form: form}, r.cfg.Store.AddDelivery(ctx, project, job, added)
}

// shown reads a delivery as it is now.
func (r *Redeliverer) shown(ctx context.Context, project, id string, d *store.Delivery) (ringback.Delivery, error) {
	deliveries, tries, err := r.cfg.Store.JobDeliveries(ctx, project, d.JobID)
	if err != nil {
		return ringback.Delivery{}, refusal.OfJob(id, err)
	}
	for i := range deliveries {
		if deliveries[i].ID == d.ID {
			return r.cfg.View(&deliveries[i], tries[i]), nil
		}
	}
	return ringback.Delivery{}, refusal.NoJob(id)
}

func (r *Redeliverer) userError(id string, err error) error {
	switch {
	case errors.Is(err, store.ErrInFlight):
		return &ringback.Error{Code: ringback.Conflict, Message: fmt.Sprintf("the webhook of job %s is being sent at this moment", id)}
	case errors.Is(err, store.ErrLive):
		return &ringback.Error{Code: ringback.Conflict, Message: fmt.Sprintf("job %s has not ended: there is nothing to send yet", id)}
	case errors.Is(err, store.ErrGone):
		return &ringback.Error{Code: ringback.Gone, Message: fmt.Sprintf("the webhook of job %s was deleted", id)}
	}
	return r.cfg.Refuser.Write(refusal.OfJob(id, err))
}
