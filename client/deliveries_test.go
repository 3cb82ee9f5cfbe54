package client_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/client"
)

func TestWebhooksThatHaveNotArrivedAreListed(t *testing.T) {
	t.Parallel()
	w := start(t)
	receiver := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusGone) }))
	t.Cleanup(receiver.Close)
	var ids []string
	for range 3 {
		accepted, err := w.client.Submit(t.Context(), ringback.Request{Prompt: "Hi", Model: "sim/echo", CallbackURL: receiver.URL + "/hook"})
		must(t, err)
		ids = append(ids, accepted.JobID)
	}
	q := client.DeliveryQuery{Status: ringback.DeliveryDead, Host: receiver.URL, StatusCode: "410", CreatedAfter: time.Now().Add(-time.Hour), Limit: 2}
	eventually(t, "three dead webhooks", func() bool {
		q := q
		q.Limit = 3
		page, err := w.client.ListDeliveries(t.Context(), q)
		must(t, err)
		return len(page.Data) == 3
	})
	first, err := w.client.ListDeliveries(t.Context(), q)
	must(t, err)
	if len(first.Data) != 2 || first.NextCursor == nil || first.Data[0].JobID != ids[2] || first.Data[0].LastStatusCode != 410 {
		t.Fatalf("the first page: got %+v", first)
	}
	q.Cursor = *first.NextCursor
	rest, err := w.client.ListDeliveries(t.Context(), q)
	must(t, err)
	if len(rest.Data) != 1 || rest.NextCursor != nil || rest.Data[0].JobID != ids[0] {
		t.Errorf("the second page: got %+v", rest)
	}
	d, err := w.client.Delivery(t.Context(), rest.Data[0].ID)
	if err != nil || d.JobID != ids[0] || len(d.Tries) != 1 {
		t.Errorf("one of them: got %+v, %v", d, err)
	}
	jobs, err := w.client.List(t.Context(), client.Query{Webhook: ringback.DeliveryDead})
	if err != nil || len(jobs.Data) != 3 || jobs.Data[0].Webhook == nil || jobs.Data[0].Webhook.Status != ringback.DeliveryDead {
		t.Errorf("their jobs: got %+v, %v", jobs.Data, err)
	}
	for _, none := range []client.DeliveryQuery{{OlderThan: time.Hour}, {Job: "0193c1a7-5e6f-7a8b-9c0d-1e2f3a4b5c6d"}, {CreatedBefore: time.Now().Add(-time.Hour)}} {
		if page, err := w.client.ListDeliveries(t.Context(), none); err != nil || len(page.Data) != 0 {
			t.Errorf("%+v: got %+v, %v", none, page.Data, err)
		}
	}
	_, err = w.client.ListDeliveries(t.Context(), client.DeliveryQuery{Host: "ftp://x"})
	if e, ok := errors.AsType[*ringback.Error](err); !ok || e.Field != "host" {
		t.Errorf("a host that is none: got %v", err)
	}
}
