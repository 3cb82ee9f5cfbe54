package client_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/client"
)

func TestAWebhookOfTheServerIsReadAndVerified(t *testing.T) {
	t.Parallel()
	w := start(t)
	secret, err := ringback.ParseSecret(webhookSecret)
	must(t, err)
	events := make(chan ringback.Event, 1)
	receiver := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		event, err := client.Event(r, secret)
		if err != nil {
			t.Error(err)
			rw.WriteHeader(http.StatusBadRequest)
			return
		}
		events <- event
	}))
	t.Cleanup(receiver.Close)
	accepted, err := w.client.Submit(t.Context(), ringback.Request{Prompt: "Hi", CallbackURL: receiver.URL})
	must(t, err)
	event := <-events
	if event.Type != ringback.EventCompleted || event.ID != accepted.JobID || *event.Result != "Hi" {
		t.Errorf("got %+v", event)
	}
}

func TestWhatIsNoWebhookIsRefused(t *testing.T) {
	t.Parallel()
	secret, err := ringback.ParseSecret(webhookSecret)
	must(t, err)
	other := ringback.NewSecret()
	signed := func(body string, at time.Time) *http.Request {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(body))
		r.Header = ringback.Sign(secret, "msg_1", at, []byte(body))
		return r
	}
	const body = `{"type":"job.completed","job_id":"j1","status":"completed","result":"Hi"}`
	if event, err := client.Event(signed(body, time.Now()), other, secret); err != nil || event.ID != "j1" {
		t.Errorf("signed by one of the secrets: got %+v, %v", event, err)
	}
	if _, err := client.Event(signed(body, time.Now()), other); !errors.Is(err, ringback.ErrNoMatchingSignature) {
		t.Errorf("signed by another: got %v", err)
	}
	if _, err := client.Event(signed(body, time.Now().Add(-time.Hour)), secret); !errors.Is(err, ringback.ErrTooOld) {
		t.Errorf("an old one: got %v", err)
	}
	changed := signed(body, time.Now())
	changed.Body = io.NopCloser(strings.NewReader(strings.Replace(body, "Hi", "Ho", 1)))
	if _, err := client.Event(changed, secret); !errors.Is(err, ringback.ErrNoMatchingSignature) {
		t.Errorf("a changed one: got %v", err)
	}
	if _, err := client.Event(signed("no JSON", time.Now()), secret); err == nil || !strings.HasPrefix(err.Error(), "read the webhook: ") {
		t.Errorf("no JSON: got %v", err)
	}
	endless := signed(body, time.Now())
	endless.Body = io.NopCloser(endlessReader{})
	if _, err := client.Event(endless, secret); err == nil || err.Error() != "read the webhook: it is larger than expected" {
		t.Errorf("an endless one: got %v", err)
	}
}

type endlessReader struct{}

func (endlessReader) Read(p []byte) (int, error) { return len(p), nil }
