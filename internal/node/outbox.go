package node

import (
	"encoding/json"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/webhook"
)

// concluding is a decision with the webhook that an end without an answer causes.
func (n *Node) concluding(decide store.Decide) store.Decide {
	return func(row store.Job) store.Outcome { return n.conclude(row, decide(row)) }
}

// conclude adds the webhook that an end without an answer causes.
func (n *Node) conclude(row store.Job, o store.Outcome) store.Outcome {
	if !o.Status.Terminal() {
		return o
	}
	last := o.Partial
	if len(last.Bytes) == 0 {
		last = row.Partial
	}
	text, err := last.Open()
	if err != nil {
		n.log.Error("partial answer can't be read", "job_id", row.ID, "err", err)
	}
	n.webhook(row, &o, content{partial: string(text)})
	return o
}

// content is what a webhook carries besides the job's row.
type content struct {
	answer  json.RawMessage
	text    string // of the answer
	partial string
}

// webhook adds to o the delivery that the job's end causes, and returns its
// bytes; nil if the caller does not want it. The bytes are made once, here.
func (n *Node) webhook(j store.Job, o *store.Outcome, c content) []byte {
	event := ringback.EventOf(o.Status)
	if !j.Options.Wants(event) {
		return nil
	}
	after := store.Apply(j, *o, n.cfg.Retention)
	body, form, err := n.body(event, &after, c, o.At, j.Options.WebhookBody)
	if err != nil {
		n.log.Error("no webhook", "job_id", j.ID, "err", err)
		return nil
	}
	o.Delivery = &store.NewDelivery{
		ID: webhook.ID(j.ID, event), Event: event, URL: j.Options.CallbackURL, Host: j.Options.Host,
		Body: store.Pack(body), Form: form, MadeAt: o.At,
	}
	return body
}

// body makes the bytes of a webhook, and returns the form that they have: the one that is
// wanted, or thin for a provider's message nested beyond all measure.
func (n *Node) body(event ringback.EventType, after *store.Job, c content, at time.Time, form ringback.WebhookBody) ([]byte, ringback.WebhookBody, error) {
	body, err := webhook.Body(n.event(event, after, c, at, form))
	if err == nil {
		return body, form, nil
	}
	n.log.Warn("webhook without the answer", "job_id", after.ID, "err", err)
	body, err = webhook.Body(n.event(event, after, c, at, ringback.WebhookThin))
	return body, ringback.WebhookThin, err
}

func (n *Node) event(event ringback.EventType, after *store.Job, c content, at time.Time, form ringback.WebhookBody) ringback.Event {
	e := ringback.Event{Type: event, Timestamp: ringback.Time{Time: at}, Job: n.View(after)}
	fill(&e, c, form)
	return e
}

// fill puts into an event what its form carries of the job's content.
func fill(e *ringback.Event, c content, form ringback.WebhookBody) {
	if form == ringback.WebhookThin {
		return
	}
	e.PartialResult = c.partial
	if e.Status == ringback.Completed {
		e.Result = &c.text
		if form == ringback.WebhookFull {
			e.Response = c.answer
		}
	}
}
