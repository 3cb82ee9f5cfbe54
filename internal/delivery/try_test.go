package delivery

import (
	"net/http"
	"testing"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/clock"
	"github.com/ringback/ringback/internal/limit"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/webhook"
)

// An answer that refuses this one webhook says nothing about its host. A host that fails,
// or asks to be left alone, is held back.
func TestWhatATryShowsAboutItsHost(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		res  webhook.Result
		want limit.Verdict
	}{
		"delivered":                     {webhook.Result{Verdict: webhook.Delivered, StatusCode: 200}, limit.OK},
		"404":                           {webhook.Result{Verdict: webhook.Retry, StatusCode: http.StatusNotFound}, limit.OK},
		"410":                           {webhook.Result{Verdict: webhook.Dead, StatusCode: http.StatusGone}, limit.OK},
		"413":                           {webhook.Result{Verdict: webhook.TooLarge, StatusCode: http.StatusRequestEntityTooLarge}, limit.OK},
		"429":                           {webhook.Result{Verdict: webhook.Retry, StatusCode: http.StatusTooManyRequests}, limit.Refused},
		"503":                           {webhook.Result{Verdict: webhook.Retry, StatusCode: http.StatusServiceUnavailable}, limit.Failed},
		"503 with Retry-After":          {webhook.Result{Verdict: webhook.Retry, StatusCode: http.StatusServiceUnavailable, RetryAfter: time.Second}, limit.Refused},
		"500 with Retry-After":          {webhook.Result{Verdict: webhook.Retry, StatusCode: http.StatusInternalServerError, RetryAfter: time.Second}, limit.Failed},
		"no answer":                     {webhook.Result{Verdict: webhook.Retry}, limit.Failed},
		"an address that is not called": {webhook.Result{Verdict: webhook.Retry, Class: ringback.TryBlocked}, limit.Void},
	} {
		got := hostReport(test.res)
		if got.Verdict != test.want {
			t.Errorf("%s: got %v, want %v", name, got.Verdict, test.want)
		}
		if asked := test.want == limit.Refused && test.res.RetryAfter > 0; asked == got.Until.IsZero() {
			t.Errorf("%s: held until %v", name, got.Until)
		}
	}
}

func TestWhatATryLeadsTo(t *testing.T) {
	t.Parallel()
	const step, end = time.Minute, time.Hour
	d := &Dispatcher{clock: new(clock.Clock), cfg: Config{
		Schedule: webhook.NewSchedule(webhook.ScheduleConfig{Steps: []time.Duration{step, step}, End: end}),
	}}
	now := d.clock.Stamped()
	full := []byte(`{"type":"job.completed","id":"1","status":"completed","result":"a","response":{"a":"b"}}`)
	for name, test := range map[string]struct {
		row    store.Delivery
		res    webhook.Result
		status ringback.DeliveryStatus
		reason ringback.DeadReason
		form   ringback.WebhookBody
	}{
		"delivered": {
			row: store.Delivery{MadeAt: now}, res: webhook.Result{Verdict: webhook.Delivered}, status: ringback.DeliveryDelivered,
		},
		"refused for good": {
			row: store.Delivery{MadeAt: now}, res: webhook.Result{Verdict: webhook.Dead}, status: ringback.DeliveryDead, reason: ringback.DeadRefused,
		},
		"failed, with a try left": {
			row: store.Delivery{MadeAt: now, Tries: 1}, res: webhook.Result{Verdict: webhook.Retry}, status: ringback.DeliveryPending,
		},
		"failed, with no try left": {
			row: store.Delivery{MadeAt: now, Tries: 2}, res: webhook.Result{Verdict: webhook.Retry}, status: ringback.DeliveryDead, reason: ringback.DeadTries,
		},
		"failed at the end of its time": {
			row: store.Delivery{MadeAt: now.Add(-end)}, res: webhook.Result{Verdict: webhook.Retry}, status: ringback.DeliveryDead, reason: ringback.DeadTries,
		},
		"too large": {
			row: store.Delivery{MadeAt: now, Form: ringback.WebhookFull}, res: webhook.Result{Verdict: webhook.TooLarge},
			status: ringback.DeliveryPending, form: ringback.WebhookResult,
		},
		"too large in its smallest form": {
			row: store.Delivery{MadeAt: now, Form: ringback.WebhookThin}, res: webhook.Result{Verdict: webhook.TooLarge},
			status: ringback.DeliveryDead, reason: ringback.DeadTooLarge,
		},
	} {
		c := &Claim{delivery: test.row, payload: &store.Payload{Body: full}, permit: &permit{slot: new(limit.Permit)}}
		got := d.concluded(c, test.res)
		if got.Status != test.status || got.Reason != test.reason || got.Smaller != test.form {
			t.Errorf("%s: got %s, %q, form %q; want %s, %q, form %q", name, got.Status, got.Reason, got.Smaller, test.status, test.reason, test.form)
		}
		if again := got.Status == ringback.DeliveryPending; again == got.NextAt.IsZero() {
			t.Errorf("%s: the next try is at %v", name, got.NextAt)
		}
		if got.Free || got.Unbegun {
			t.Errorf("%s: the try costs nothing", name)
		}
	}
}

// A delivery that could not be sent is due again, and has lost no try.
func TestAClaimWithoutATryCostsNothing(t *testing.T) {
	t.Parallel()
	d := &Dispatcher{clock: new(clock.Clock)}
	turn := d.clock.Stamped().Add(-time.Minute)
	for manual, want := range map[bool]func(store.TryEnd) bool{
		false: func(e store.TryEnd) bool { return e.NextAt.Equal(turn) }, // it keeps its turn
		true:  func(e store.TryEnd) bool { return e.NextAt.Equal(e.At) },
	} {
		e := d.unbegun(store.Delivery{NextAt: turn, Manual: manual})
		if !e.Free || !e.Unbegun || e.Status != ringback.DeliveryPending || !want(e) {
			t.Errorf("manual %v: got %+v", manual, e)
		}
	}
}
