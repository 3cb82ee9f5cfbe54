package node_test

import (
	"slices"
	"testing"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/node"
)

// Each way in which a job can end has its event, and only those are sent that the caller
// wants.
func TestEachEndOfAJobCausesItsWebhook(t *testing.T) {
	t.Parallel()
	w := start(t, setup{node: holdsFor(time.Hour)})
	ends := map[ringback.EventType]func(r ringback.Request) ringback.Job{
		ringback.EventCompleted: func(r ringback.Request) ringback.Job { r.Model = "sim/echo"; return w.submit(r) },
		ringback.EventFailed:    func(r ringback.Request) ringback.Job { r.Model = "sim/status-400"; return w.submit(r) },
		ringback.EventExpired: func(r ringback.Request) ringback.Job {
			r.Model, r.ExpiresAt = "sim/status-429", &ringback.Time{Time: time.Now().Add(300 * time.Millisecond)}
			return w.submit(r)
		},
		ringback.EventCancelled: func(r ringback.Request) ringback.Job {
			r.Model = "sim/mute"
			j := w.submit(r)
			_, err := w.node.Cancel(t.Context(), "default", j.ID)
			must(t, err)
			return j
		},
	}
	for want, end := range ends {
		wanted := end(ringback.Request{CallbackURL: w.callback, Events: &[]ringback.EventType{want}})
		others := slices.DeleteFunc(slices.Clone(ringback.TerminalEvents), func(e ringback.EventType) bool { return e == want })
		unwanted := end(ringback.Request{CallbackURL: w.callback, Events: &others})

		e := event(t, w.webhook(wanted.ID))
		j := w.end(wanted.ID)
		if e.Type != want || ringback.EventOf(j.Status) != want || e.Status != j.Status || !e.Timestamp.Equal(j.EndedAt.Time) || !e.EndedAt.Equal(j.EndedAt.Time) {
			t.Errorf("%s: webhook %s of %s at %s, job %s at %s", want, e.Type, e.Status, e.Timestamp, j.Status, j.EndedAt)
		}
		if e.Webhook != nil || e.StatusURL != j.StatusURL || e.Request != nil {
			t.Errorf("%s: the webhook shows %+v, %s, %s", want, e.Webhook, e.StatusURL, e.Request)
		}
		if got := w.end(unwanted.ID); got.Webhook != nil {
			t.Errorf("%s was not wanted: got %+v", want, got.Webhook)
		}
	}
}

// The webhook and GET return the same.
func TestAWebhookIsTheJobAsItIsShown(t *testing.T) {
	t.Parallel()
	w := start(t, setup{node: func(c *node.Config) { c.PublicURL = "https://ringback.example" }})
	for _, model := range []string{"sim/echo", "sim/tool", "sim/break-off-3", "sim/status-400"} {
		j := w.ask(model, "the same")
		e, got := event(t, w.webhook(j.ID)).Job, w.end(j.ID)
		got.Webhook, got.StreamURL = nil, "" // a token each time, and none in webhooks
		if string(e.Response) != "" {        // canonical there, verbatim here
			e.Response, got.Response = nil, nil
		}
		e.Usage, got.Usage = nil, nil
		if a, b := mustJSON(t, e), mustJSON(t, got); a != b {
			t.Errorf("%s:\nwebhook %s\njob     %s", model, a, b)
		}
		if got.StatusURL != "https://ringback.example/api/jobs/"+j.ID {
			t.Errorf("status_url: got %s", got.StatusURL)
		}
	}
}

// A thin webhook, and one with the result alone, leave parts out.
func TestAWebhookCarriesAsMuchAsWasAskedFor(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	for body, want := range map[ringback.WebhookBody][]string{
		ringback.WebhookFull: {"partial_result"}, ringback.WebhookResult: {"partial_result"}, ringback.WebhookThin: nil,
	} {
		j := w.submit(ringback.Request{Model: "sim/break-off-3", WebhookBody: body})
		got := slices.DeleteFunc(keys(t, w.webhook(j.ID).Body), func(k string) bool {
			return k != "result" && k != "response" && k != "partial_result"
		})
		if !slices.Equal(got, want) {
			t.Errorf("webhook_body %s of a failed job: got %v, want %v", body, got, want)
		}
		if w.end(j.ID).PartialResult == "" {
			t.Errorf("webhook_body %s: the job itself shows no partial_result", body)
		}
	}
}

func TestADeliverysIDIsDerivedFromItsJobAndEvent(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	a, b := w.ask("sim/echo", "a"), w.ask("sim/echo", "b")
	idA, idB := w.webhook(a.ID).ID, w.webhook(b.ID).ID
	if idA == idB || idA[:16] != a.ID[:16] || idB[:16] != b.ID[:16] || idA[14] != '7' {
		t.Errorf("got %s for %s and %s for %s, want neighbours of their jobs", idA, a.ID, idB, b.ID)
	}
}
