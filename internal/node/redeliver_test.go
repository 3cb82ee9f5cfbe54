package node_test

import (
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/intake"
	"github.com/ringback/ringback/internal/limit"
	"github.com/ringback/ringback/internal/node"
	"github.com/ringback/ringback/internal/simulate"
	"github.com/ringback/ringback/internal/webhook"
)

// startHeld starts a world whose receiver fails until well is set, and is held for an hour
// from its first failure on.
func startHeld(t *testing.T, jobs int) (w *world, well *atomic.Bool, ids []string) {
	t.Helper()
	well = new(atomic.Bool)
	w = start(t, setup{
		node: func(c *node.Config) {
			schedule(76*time.Hour, time.Hour)(c)
			c.HostGate = limit.Config{BreakAfter: 1, HoldMin: time.Hour, HoldMax: time.Hour}
		},
		receiver: simulate.ReceiverConfig{Answer: func(simulate.Delivery) simulate.Answer {
			if well.Load() {
				return simulate.Answer{}
			}
			return simulate.Answer{Status: http.StatusInternalServerError}
		}},
	})
	for range jobs {
		ids = append(ids, w.end(w.ask("sim/echo", "to a held host").ID).ID)
	}
	w.eventually("the hold", func() bool { return len(w.node.HostHolds()) == 1 })
	return w, well, ids
}

func (w *world) sendAgain(id string, r ringback.Redelivery) ringback.Delivery {
	w.t.Helper()
	d, err := w.node.Redeliver(w.t.Context(), "default", id, r)
	must(w.t, err)
	return d
}

func TestARedeliveryGoesOutAtOnceAlsoWhileItsHostIsHeld(t *testing.T) {
	t.Parallel()
	w, well, ids := startHeld(t, 12)
	tries := func(id string) []ringback.Try { return w.delivery(id).Tries }
	last := ids[len(ids)-1]
	before := len(tries(last))
	d := w.sendAgain(last, ringback.Redelivery{})
	if d.HostHold == nil || d.HostHold.Reason != "receiver_failing" || d.HostHold.Until.Before(time.Now().Add(39*time.Minute)) {
		t.Errorf("host_hold: got %+v, want the hold of 40 minutes or more", d.HostHold)
	}
	w.eventually("a try during the hold", func() bool { return len(tries(last)) == before+1 })
	if y := tries(last)[before]; y.Trigger != "manual" || y.StatusCode != 500 {
		t.Errorf("got %+v, want the try that was requested", y)
	}
	if len(w.node.HostHolds()) != 1 {
		t.Error("its failure ended the hold")
	}
	well.Store(true)
	w.sendAgain(last, ringback.Redelivery{})
	if d := w.settledDelivery(last); d.Status != ringback.DeliveryDelivered {
		t.Errorf("got %s, want delivered", d.Status)
	}
	w.eventually("the end of the hold", func() bool { return len(w.node.HostHolds()) == 0 })
	for _, id := range ids { // those that had no try were waiting for nothing but the hold
		if len(tries(id)) == 0 {
			w.settledDelivery(id)
		}
	}
}

func TestRedeliveriesInBulkAreOneProbeAndThenAll(t *testing.T) {
	t.Parallel()
	const jobs = 30
	var well atomic.Bool
	var watched *watchedStore
	w := start(t, setup{
		node: func(c *node.Config) {
			watched = &watchedStore{Store: c.Store}
			c.Store = watched
			c.Schedule = webhook.NewSchedule(webhook.ScheduleConfig{Steps: []time.Duration{}}) // the first failure is the last
			c.HostGate = limit.Config{BreakAfter: jobs, HoldMin: time.Hour, HoldMax: time.Hour}
		},
		receiver: simulate.ReceiverConfig{Answer: func(simulate.Delivery) simulate.Answer {
			if well.Load() {
				return simulate.Answer{}
			}
			return simulate.Answer{Status: http.StatusInternalServerError}
		}},
	})
	var ids []string
	for range jobs {
		ids = append(ids, w.ask("sim/echo", "dead").ID)
	}
	for _, id := range ids {
		w.settledDelivery(id)
	}
	w.eventually("the hold", func() bool { return len(w.node.HostHolds()) == 1 })
	replay := func() {
		t.Helper()
		done, err := w.node.ReplayDead(t.Context(), "default", ringback.DeadAction{DeadFilter: ringback.DeadFilter{Kind: ringback.DeadDelivery}, All: true}, intake.Patch{})
		must(t, err)
		if done.Done != jobs {
			t.Fatalf("got %+v, want all %d asked for", done, jobs)
		}
	}
	sent := func() (n int) {
		for _, id := range ids {
			n += len(w.delivery(id).Tries) - 1
		}
		return n
	}
	replay()
	w.eventually("a probe", func() bool { return sent() > 0 })
	looks := watched.redeliveries.Load()
	w.eventually("further looks, in which a storm would come", func() bool { return watched.redeliveries.Load() > looks+3 })
	if n := sent(); n > 5 {
		t.Errorf("%d of %d were sent to a host that is held, want a probe", n, jobs)
	}
	well.Store(true)
	replayed := time.Now()
	done, err := w.node.ReplayDead(t.Context(), "default", ringback.DeadAction{DeadFilter: ringback.DeadFilter{Kind: ringback.DeadDelivery}, All: true}, intake.Patch{})
	must(t, err)
	if done.Done < jobs-1 {
		t.Errorf("got %+v, want those that wait requested again", done)
	}
	for _, id := range ids {
		w.eventually("delivered", func() bool { return w.delivery(id).Status == ringback.DeliveryDelivered })
	}
	t.Logf("all delivered %s after they were asked for", time.Since(replayed))
}

// The next process knows, too, what waits for the end of an hour's hold.
func TestARedeliveryThatWasAcceptedSurvivesARestart(t *testing.T) {
	t.Parallel()
	w, well, ids := startHeld(t, 3)
	w.stop()
	store := start(t, setup{dir: w.dir, from: w, node: roles(node.API)})
	store.sendAgain(ids[0], ringback.Redelivery{})
	if d := store.delivery(ids[0]); !d.Redelivering {
		t.Errorf("got %+v, want it redelivering", d)
	}
	store.stop()
	well.Store(true)
	again := start(t, setup{dir: w.dir, from: w})
	d := again.settledDelivery(ids[0])
	if last := d.Tries[len(d.Tries)-1]; d.Status != ringback.DeliveryDelivered || last.Trigger != "manual" || d.Redelivering {
		t.Errorf("got %+v, want it delivered as it was asked for", d)
	}
}

// takingUpTo configures a receiver that takes bodies up to a size.
func takingUpTo(most *atomic.Int64) simulate.ReceiverConfig {
	return simulate.ReceiverConfig{Answer: func(d simulate.Delivery) simulate.Answer {
		if int64(len(d.Body)) > most.Load() {
			return simulate.Answer{Status: http.StatusRequestEntityTooLarge, Body: "limit reached"}
		}
		return simulate.Answer{}
	}}
}

func bodies(tries []ringback.Try) (forms []ringback.WebhookBody) {
	for _, y := range tries {
		forms = append(forms, y.WebhookBody)
	}
	return forms
}

func TestAWebhookThatIsTooLargeIsSentSmaller(t *testing.T) {
	t.Parallel()
	var most atomic.Int64
	w := start(t, setup{receiver: takingUpTo(&most)})
	prompt := strings.Repeat("long ", 2000)
	first := w.job(w.end(w.ask("sim/echo", prompt).ID).ID)
	d := w.settledDelivery(first.ID)
	if want := []ringback.WebhookBody{"full", "result", "thin"}; !slices.Equal(bodies(d.Tries), want) {
		t.Errorf("forms: got %v, want %v", bodies(d.Tries), want)
	}
	if d.Status != ringback.DeliveryDead || d.Reason != ringback.DeadTooLarge || !strings.Contains(d.Error, "413") {
		t.Errorf("got %s, %q: %s; want dead with a sentence", d.Status, d.Reason, d.Error)
	}
	sizes := map[ringback.WebhookBody]int{}
	for i, r := range w.receiver.Deliveries() {
		if r.ID != d.ID || !r.Verified() {
			t.Errorf("try %d: id %s, want %s, signed", i+1, r.ID, d.ID)
		}
		sizes[d.Tries[i].WebhookBody] = len(r.Body)
		e := event(t, r)
		if has := e.Result != nil; has != (d.Tries[i].WebhookBody != ringback.WebhookThin) || (len(e.Response) > 0) != (i == 0) {
			t.Errorf("%s: result %v, response %v", d.Tries[i].WebhookBody, has, len(e.Response) > 0)
		}
	}

	const digits = 64 // by which the times of the next job may be longer
	most.Store(int64(sizes[ringback.WebhookResult] + digits))
	second := w.settledDelivery(w.ask("sim/echo", prompt).ID)
	if want := []ringback.WebhookBody{"full", "result"}; second.Status != ringback.DeliveryDelivered || !slices.Equal(bodies(second.Tries), want) {
		t.Errorf("got %s, %v, want delivered as result", second.Status, bodies(second.Tries))
	}

	// With a higher limit it can be sent whole again, each form with its own bytes.
	most.Store(1 << 30)
	for _, form := range []ringback.WebhookBody{"thin", "result", "full"} {
		w.sendAgain(first.ID, ringback.Redelivery{WebhookBody: form})
		w.eventually("a try as "+string(form), func() bool { return !w.delivery(first.ID).Redelivering })
	}
	seen := map[ringback.WebhookBody]string{}
	tries := w.delivery(first.ID).Tries
	n := 0
	for _, r := range w.receiver.Deliveries() {
		if r.ID != d.ID {
			continue
		}
		form := tries[n].WebhookBody
		if body, known := seen[form]; known && body != string(r.Body) {
			t.Errorf("%s: other bytes at try %d:\n%s\n%s", form, n+1, body, r.Body)
		}
		seen[form] = string(r.Body)
		n++
	}
	if n != 6 {
		t.Errorf("got %d tries, want 6", n)
	}
}

func TestAWebhookWithNothingToLeaveOutIsDeadAtOnce(t *testing.T) {
	t.Parallel()
	var none atomic.Int64
	w := start(t, setup{receiver: takingUpTo(&none)})
	d := w.settledDelivery(w.submit(ringback.Request{WebhookBody: ringback.WebhookThin}).ID)
	if d.Status != ringback.DeliveryDead || d.Reason != ringback.DeadTooLarge || len(d.Tries) != 1 {
		t.Errorf("got %s, %q after %d tries, want dead after one", d.Status, d.Reason, len(d.Tries))
	}
}

func TestAThinWebhookCanBeSentWhole(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	j := w.end(w.submit(ringback.Request{WebhookBody: ringback.WebhookThin}).ID)
	w.settledDelivery(j.ID)
	for n, form := range []ringback.WebhookBody{"full", "thin", "result", "full"} {
		w.sendAgain(j.ID, ringback.Redelivery{WebhookBody: form})
		w.eventually("the try", func() bool { return len(w.delivery(j.ID).Tries) == n+2 })
	}
	all := w.receiver.Deliveries()
	thin, full, again, result, last := all[0], all[1], all[2], all[3], all[4]
	if e := event(t, full); e.Result == nil || len(e.Response) == 0 || full.ID != thin.ID {
		t.Errorf("full: got %s", full.Body)
	}
	if string(thin.Body) != string(again.Body) || string(full.Body) != string(last.Body) {
		t.Errorf("a form has other bytes than before:\n%s\n%s\n%s\n%s", thin.Body, again.Body, full.Body, last.Body)
	}
	if e := event(t, result); e.Result == nil || len(e.Response) != 0 {
		t.Errorf("result: got %s", result.Body)
	}
}
