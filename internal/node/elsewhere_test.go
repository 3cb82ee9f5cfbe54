package node_test

import (
	"net/http/httptest"
	"testing"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/simulate"
)

// other starts one more receiver.
func (w *world) other(c simulate.ReceiverConfig) (r *simulate.Receiver, url string) {
	w.t.Helper()
	c.Secret = secret
	r, err := simulate.NewReceiver(c)
	must(w.t, err)
	s := httptest.NewServer(r)
	w.t.Cleanup(s.Close)
	return r, s.URL + "/other"
}

func (w *world) allDeliveries(id string) []ringback.Delivery {
	w.t.Helper()
	page, err := w.node.Deliveries(w.t.Context(), "default", id, "", 100)
	must(w.t, err)
	return page.Data
}

func TestAnAnswerIsSentElsewhere(t *testing.T) {
	t.Parallel()
	w := start(t, answering(410))
	there, url := w.other(simulate.ReceiverConfig{})
	j := w.end(w.submit(ringback.Request{CallbackHeaders: map[string]string{"X-Key": "of the first host"}}).ID)
	own := w.settledDelivery(j.ID)
	added := w.sendAgain(j.ID, ringback.Redelivery{URL: url})
	if added.ID == own.ID || added.URL != url || added.Status != ringback.DeliveryPending || added.WebhookBody != ringback.WebhookFull {
		t.Errorf("got %+v, want a delivery of its own", added)
	}
	got, err := there.WaitFor(w.within(), func(d simulate.Delivery) bool { return d.JobID == j.ID })
	must(t, err)
	e := event(t, got)
	if got.ID != added.ID || !got.Verified() || e.Type != ringback.EventCompleted || e.Result == nil || !e.Timestamp.Equal(j.EndedAt.Time) {
		t.Errorf("it got %s as %s", got.Body, got.ID)
	}
	if got.Header.Get("X-Key") != "" {
		t.Error("it got the callback_headers that are for another host")
	}
	w.eventually("its end", func() bool { return w.allDeliveries(j.ID)[1].Status == ringback.DeliveryDelivered })

	// The same request again is the same delivery; the first one is still the job's.
	if again := w.sendAgain(j.ID, ringback.Redelivery{URL: url}); again.ID != added.ID {
		t.Errorf("again: got %s, want %s", again.ID, added.ID)
	}
	if again := w.sendAgain(j.ID, ringback.Redelivery{URL: w.callback}); again.ID != own.ID {
		t.Errorf("to the callback_url: got %s, want %s", again.ID, own.ID)
	}
	w.eventually("the tries", func() bool {
		all := w.allDeliveries(j.ID)
		return len(all) == 2 && len(all[0].Tries) == 2 && len(all[1].Tries) == 2
	})
	if d := w.sendAgain(j.ID, ringback.Redelivery{}); d.ID != own.ID {
		t.Errorf("without a url: got %s, want %s", d.ID, own.ID)
	}
}

func TestAJobWithoutAWebhookIsSentElsewhere(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	dead, url := w.other(simulate.ReceiverConfig{Respond: []int{500}})
	j := w.end(w.submit(ringback.Request{Events: &[]ringback.EventType{}}).ID)
	added := w.sendAgain(j.ID, ringback.Redelivery{URL: url, WebhookBody: ringback.WebhookResult})
	d := w.settledDelivery(j.ID)
	if d.ID != added.ID || d.Status != ringback.DeliveryDead || d.Reason != ringback.DeadTries || len(d.Tries) != 1+4 {
		t.Errorf("got %+v, want dead after the try that was asked for and the schedule's 4", d)
	}
	for _, r := range dead.Deliveries() {
		if e := event(t, r); e.Result == nil || len(e.Response) != 0 || string(r.Body) != string(dead.Deliveries()[0].Body) {
			t.Errorf("got %s, want the same result each time", r.Body)
		}
	}
	if v := w.job(j.ID).Webhook; v == nil || v.URL != url || v.Status != ringback.DeliveryDead {
		t.Errorf("in the job: got %+v", v)
	}
}

func TestARedeliveryThatCannotBeIsRefused(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	j := w.end(w.submit(ringback.Request{}).ID)
	waiting := w.submit(ringback.Request{Model: "sim/slow"})
	for _, c := range []struct {
		id    string
		r     ringback.Redelivery
		code  ringback.Code
		field string
	}{
		{j.ID, ringback.Redelivery{URL: "https://10.0.0.1/hook"}, ringback.InvalidRequest, "url"},
		{j.ID, ringback.Redelivery{URL: "ftp://example.com"}, ringback.InvalidRequest, "url"},
		{j.ID, ringback.Redelivery{WebhookBody: "small"}, ringback.InvalidRequest, "webhook_body"},
		{waiting.ID, ringback.Redelivery{URL: w.callback}, ringback.Conflict, ""},
		{"0193c1a7-5e6f-7a8b-9c0d-1e2f3a4b5c6d", ringback.Redelivery{URL: w.callback}, ringback.NotFound, ""},
	} {
		_, err := w.node.Redeliver(t.Context(), "default", c.id, c.r)
		if e := fault(t, err, c.code); e.Field != c.field {
			t.Errorf("%+v: got %+v, want field %q", c.r, e, c.field)
		}
	}
	must(t, w.node.Erase(t.Context(), "default", j.ID))
	_, err := w.node.Redeliver(t.Context(), "default", j.ID, ringback.Redelivery{URL: w.callback + "/2"})
	fault(t, err, ringback.Gone)
}
