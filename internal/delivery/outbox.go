package delivery

import (
	"encoding/json"
	"log/slog"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/webhook"
)

// OutboxConfig configures an outbox. All fields are required.
type OutboxConfig struct {
	Retention store.Retention
	// View shows a job as the API does.
	View   func(*store.Job) ringback.Job
	Logger *slog.Logger
}

// Outbox renders webhooks.
type Outbox struct{ cfg OutboxConfig }

// NewOutbox returns an outbox.
func NewOutbox(cfg OutboxConfig) *Outbox { return &Outbox{cfg} }

// Concluding returns decide with the webhook that an end without an answer causes.
func (b *Outbox) Concluding(decide store.Decide) store.Decide {
	return func(row store.Job) store.Outcome { return b.Conclude(row, decide(row)) }
}

// Conclude adds the webhook that an end without an answer causes.
func (b *Outbox) Conclude(row store.Job, o store.Outcome) store.Outcome {
	if !o.Status.Terminal() {
		return o
	}
	last := o.Partial
	if len(last.Bytes) == 0 {
		last = row.Partial
	}
	text, err := last.Open()
	if err != nil {
		b.cfg.Logger.Error("partial answer can't be read", "job_id", row.ID, "err", err)
	}
	b.Add(row, &o, Content{Partial: string(text)})
	return o
}

// Content is what a webhook carries besides the job's row.
type Content struct {
	Answer  json.RawMessage
	Text    string // of the answer
	Partial string
}

// Add adds to o the delivery that the job's end causes, and returns its bytes; nil if the
// caller does not want it. The bytes are made once, here.
func (b *Outbox) Add(j store.Job, o *store.Outcome, c Content) []byte {
	event := ringback.EventOf(o.Status)
	if !j.Options.Wants(event) {
		return nil
	}
	after := store.Apply(j, *o, b.cfg.Retention)
	body, form, err := b.body(event, &after, c, o.At, j.Options.WebhookBody)
	if err != nil {
		b.cfg.Logger.Error("no webhook", "job_id", j.ID, "err", err)
		return nil
	}
	o.Delivery = &store.NewDelivery{
		ID: webhook.ID(j.ID, event), Event: event, URL: j.Options.CallbackURL, Host: j.Options.Host,
		Body: store.Pack(body), Form: form, MadeAt: o.At,
	}
	return body
}

// body makes the bytes of a webhook. It returns the form that they have: the one that is
// wanted, or thin if the provider's message is nested too deep.
func (b *Outbox) body(event ringback.EventType, after *store.Job, c Content, at time.Time, form ringback.WebhookBody) ([]byte, ringback.WebhookBody, error) {
	body, err := webhook.Body(b.event(event, after, c, at, form))
	if err == nil {
		return body, form, nil
	}
	b.cfg.Logger.Warn("webhook without the answer", "job_id", after.ID, "err", err)
	body, err = webhook.Body(b.event(event, after, c, at, ringback.WebhookThin))
	return body, ringback.WebhookThin, err
}

func (b *Outbox) event(event ringback.EventType, after *store.Job, c Content, at time.Time, form ringback.WebhookBody) ringback.Event {
	e := ringback.Event{Type: event, Timestamp: ringback.Time{Time: at}, Job: b.cfg.View(after)}
	fill(&e, c, form)
	return e
}

// fill puts into an event what its form carries of the job's content.
func fill(e *ringback.Event, c Content, form ringback.WebhookBody) {
	if form == ringback.WebhookThin {
		return
	}
	e.PartialResult = c.Partial
	if e.Status == ringback.Completed {
		e.Result = &c.Text
		if form == ringback.WebhookFull {
			e.Response = c.Answer
		}
	}
}
