package delivery

import (
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/webhook"
)

func newOutbox() *Outbox {
	return NewOutbox(OutboxConfig{
		Retention: store.Retention{}.WithDefaults(), Logger: slog.New(slog.DiscardHandler),
		View: func(j *store.Job) ringback.Job { return ringback.Job{ID: j.ID.String(), Status: j.Status} },
	})
}

// wanting returns a job whose caller wants a webhook of these events.
func wanting(form ringback.WebhookBody, events ...ringback.EventType) store.Job {
	return store.Job{ID: uuid.New(), Status: ringback.Running, Options: store.Options{
		CallbackURL: "https://receiver.example/", Host: "https://receiver.example:443", Events: events, WebhookBody: form,
	}}
}

func TestAnEndCausesAWebhookIfItsCallerWantsOne(t *testing.T) {
	t.Parallel()
	b, now := newOutbox(), time.Now()
	failed := func(store.Job) store.Outcome { return store.Outcome{Status: ringback.Failed, At: now} }
	j := wanting(ringback.WebhookFull, ringback.EventFailed)
	o := b.Concluding(failed)(j)
	if o.Delivery == nil || o.Delivery.ID != webhook.ID(j.ID, ringback.EventFailed) || !o.Delivery.MadeAt.Equal(now) || o.Delivery.URL != j.Options.CallbackURL {
		t.Errorf("got %+v, want the webhook of the end", o.Delivery)
	}
	if o := b.Concluding(failed)(wanting(ringback.WebhookFull, ringback.EventCompleted)); o.Delivery != nil {
		t.Errorf("not wanted: got %+v", o.Delivery)
	}
	again := func(store.Job) store.Outcome { return store.Outcome{Status: ringback.Queued, At: now} }
	if o := b.Concluding(again)(j); o.Delivery != nil {
		t.Errorf("a job that goes on: got %+v", o.Delivery)
	}
}

func TestAWebhookCarriesWhatItsFormHas(t *testing.T) {
	t.Parallel()
	for form, want := range map[ringback.WebhookBody][]string{
		ringback.WebhookFull: {"response", "result"}, ringback.WebhookResult: {"result"}, ringback.WebhookThin: nil,
	} {
		o := store.Outcome{Status: ringback.Completed, At: time.Now()}
		body := newOutbox().Add(wanting(form, ringback.EventCompleted), &o, Content{Answer: json.RawMessage(`{"a":"b"}`), Text: "b"})
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(body, &fields); err != nil {
			t.Fatal(err)
		}
		got := slices.DeleteFunc(slices.Sorted(maps.Keys(fields)), func(name string) bool { return name != "response" && name != "result" })
		if !slices.Equal(got, want) || o.Delivery.Form != form {
			t.Errorf("%s: got %v in form %s, want %v", form, got, o.Delivery.Form, want)
		}
	}
}
