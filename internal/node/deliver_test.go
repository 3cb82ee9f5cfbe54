package node_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/limit"
	"github.com/ringback/ringback/internal/node"
	"github.com/ringback/ringback/internal/simulate"
	"github.com/ringback/ringback/internal/webhook"
)

func answering(status ...int) setup {
	return setup{receiver: simulate.ReceiverConfig{Respond: status}}
}

// schedule replaces the world's schedule.
func schedule(end time.Duration, steps ...time.Duration) func(*node.Config) {
	return func(c *node.Config) {
		c.Schedule = webhook.NewSchedule(webhook.ScheduleConfig{Steps: steps, End: end})
	}
}

func TestAWebhookIsTriedAgainWithTheSameIDAndBytes(t *testing.T) {
	t.Parallel()
	w := start(t, answering(500, 503, 200))
	j := w.ask("sim/echo", "again")
	d := w.settledDelivery(j.ID)
	if d.Status != ringback.DeliveryDelivered || d.EndedAt.IsZero() || !d.NextTryAt.IsZero() {
		t.Errorf("got %+v, want delivered", d)
	}
	var got []int
	for i, y := range d.Tries {
		got = append(got, y.StatusCode)
		if y.Number != i+1 || y.Trigger != "schedule" || y.At.IsZero() {
			t.Errorf("try %d: got %+v", i+1, y)
		}
	}
	if want := []int{500, 503, 200}; !slices.Equal(got, want) {
		t.Errorf("tries: got %v, want %v", got, want)
	}
	all := w.receiver.Deliveries()
	for i, r := range all {
		if r.ID != d.ID || string(r.Body) != string(all[0].Body) || !r.Verified() {
			t.Errorf("try %d: webhook-id %s, want %s, and the same bytes", i+1, r.ID, d.ID)
		}
	}
	if v := w.job(j.ID).Webhook; v.Status != ringback.DeliveryDelivered || v.Tries != 3 || v.LastStatusCode != 200 {
		t.Errorf("in the job: got %+v", v)
	}
}

// P3: a failing receiver does not affect the provider.
func TestAFailingWebhookNeverCallsTheProviderAgain(t *testing.T) {
	t.Parallel()
	w := start(t, answering(500))
	j := w.ask("sim/echo", "paid once")
	d := w.settledDelivery(j.ID)
	if d.Status != ringback.DeliveryDead || len(d.Tries) != 4 {
		t.Errorf("got %s after %d tries, want dead after the schedule's 4", d.Status, len(d.Tries))
	}
	w.wantCalls("paid once", 1)
	w.wantOutcomes(j.ID, answered)
	got := w.job(j.ID)
	if got.Status != ringback.Completed || got.Webhook.Status != ringback.DeliveryDead {
		t.Errorf("got %s with %+v, want completed with a dead letter", got.Status, got.Webhook)
	}
	if kept := got.ResultExpiresAt.Sub(d.EndedAt.Time); kept < 14*24*time.Hour {
		t.Errorf("content of a dead letter is kept for %s, want 14 days", kept)
	}
}

func TestWhatAReceiverWillNeverTakeIsADeadLetterAtOnce(t *testing.T) {
	t.Parallel()
	w := start(t, answering(http.StatusGone))
	d := w.settledDelivery(w.ask("sim/echo", "no").ID)
	if d.Status != ringback.DeliveryDead || len(d.Tries) != 1 || d.Tries[0].StatusCode != http.StatusGone || d.Error == "" {
		t.Errorf("got %s after %d tries (%q), want dead after one, and why", d.Status, len(d.Tries), d.Error)
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	var followed atomic.Int64
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed.Add(1) }))
	defer elsewhere.Close()
	w := start(t, setup{receiver: simulate.ReceiverConfig{Answer: func(simulate.Delivery) simulate.Answer {
		return simulate.Answer{Status: http.StatusTemporaryRedirect, Header: http.Header{"Location": {elsewhere.URL}}}
	}}})
	d := w.settledDelivery(w.ask("sim/echo", "moved").ID)
	if d.Status != ringback.DeliveryDead || d.Tries[0].Error != "redirect" || followed.Load() != 0 {
		t.Errorf("got %s, %q, %d requests elsewhere; want a dead letter, redirect, none", d.Status, d.Tries[0].Error, followed.Load())
	}
}

func TestARetryAfterOfTheReceiverIsRespected(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	w := start(t, setup{receiver: simulate.ReceiverConfig{Answer: func(simulate.Delivery) simulate.Answer {
		if calls.Add(1) == 1 {
			return simulate.Answer{Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"1"}}}
		}
		return simulate.Answer{}
	}}})
	j := w.end(w.ask("sim/echo", "slowly").ID)
	var once ringback.Delivery
	w.eventually("the first try", func() bool { once = w.delivery(j.ID); return len(once.Tries) == 1 })
	if wait := once.NextTryAt.Sub(once.Tries[0].At.Time); wait < 990*time.Millisecond {
		t.Errorf("next_try_at: %s after the first, want 1 s", wait)
	}
	d := w.settledDelivery(j.ID)
	if len(d.Tries) != 2 || d.Tries[1].At.Sub(d.Tries[0].At.Time) < 990*time.Millisecond {
		t.Errorf("tries: got %+v, want the second after 1 s", d.Tries)
	}
}

// visitors counts who is there at the same time.
type visitors struct {
	mu        sync.Mutex
	now, most int
}

func (c *visitors) come() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now++
	c.most = max(c.most, c.now)
}

func (c *visitors) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now--
}

func (c *visitors) there() (now, most int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now, c.most
}

// tarpit never answers, and counts how many wait for it.
func tarpit(t *testing.T, c *visitors) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		c.come()
		defer c.leave()
		_, _ = io.Copy(io.Discard, r.Body) // only then does the server see that the client leaves
		<-r.Context().Done()
	}))
	t.Cleanup(s.Close)
	return s
}

func TestAHostThatNeverAnswersDelaysNobodyElse(t *testing.T) {
	t.Parallel()
	var inside visitors
	dead := tarpit(t, &inside)
	w := start(t, setup{node: impatient})
	for range 20 {
		w.submit(ringback.Request{CallbackURL: dead.URL})
	}
	w.eventually("all slots of the dead host", func() bool { now, _ := inside.there(); return now == 8 })
	for i := range 3 {
		j := w.ask("sim/echo", fmt.Sprint("living ", i))
		w.webhook(j.ID)
		if now, _ := inside.there(); now != 8 {
			t.Fatalf("webhook %d came while %d slots of the dead host were taken, want 8", i, now)
		}
	}
	if _, most := inside.there(); most != 8 {
		t.Errorf("tries at once: got %d, want 8", most)
	}
}

func TestHostsThatAreNewShareHalfOfTheSlots(t *testing.T) {
	t.Parallel()
	var inside visitors
	w := start(t, setup{node: impatient})
	w.webhook(w.ask("sim/echo", "proves the host").ID)
	for range 20 { // 20 × 8 tries are more than half of 256
		dead := tarpit(t, &inside)
		t.Cleanup(w.stop) // before the host, which waits for the requests inside
		for range 8 {
			w.submit(ringback.Request{CallbackURL: dead.URL})
		}
	}
	w.eventually("half of the slots", func() bool { now, _ := inside.there(); return now == 128 })
	w.webhook(w.ask("sim/echo", "to the proven host").ID)
	if now, most := inside.there(); now != 128 || most != 128 {
		t.Errorf("tries of new hosts: got %d now and %d at most, want 128", now, most)
	}
}

// A host that fails is held and probed by one delivery at a time, each time by another one;
// those that wait lose no try.
func TestAHostThatFailsIsProbedByRotatingDeliveries(t *testing.T) {
	t.Parallel()
	var inside visitors
	var well atomic.Bool
	const jobs = 40
	w := start(t, setup{
		node: func(c *node.Config) {
			schedule(76*time.Hour, time.Hour)(c)
			c.HostGate = limit.Config{BreakAfter: 5, HoldMin: 5 * time.Millisecond, HoldMax: 5 * time.Millisecond}
		},
		receiver: simulate.ReceiverConfig{Answer: func(simulate.Delivery) simulate.Answer {
			inside.come()
			defer inside.leave()
			if well.Load() {
				return simulate.Answer{}
			}
			return simulate.Answer{Status: http.StatusInternalServerError}
		}},
	})
	var ids []string
	for range jobs {
		ids = append(ids, w.ask("sim/echo", "to a failing host").ID)
	}
	for _, id := range ids {
		w.end(id)
	}
	_, err := w.receiver.Wait(w.within(), 25)
	must(t, err)
	well.Store(true)

	delivered, pending, probes := 0, 0, 0
	for _, id := range ids {
		w.eventually("the first try", func() bool { return len(w.delivery(id).Tries) == 1 })
		d := w.delivery(id)
		switch d.Status {
		case ringback.DeliveryDelivered:
			delivered++
		case ringback.DeliveryPending:
			pending++
		}
		if d.Tries[0].Trigger == "probe" {
			probes++
		}
	}
	if delivered+pending != jobs || delivered == 0 || pending < 25 {
		t.Errorf("got %d delivered and %d pending of %d, want the first 25 and more pending", delivered, pending, jobs)
	}
	if probes < 25-5-8 {
		t.Errorf("probes: got %d, want all tries after the first few", probes)
	}
}

func TestADeliveryThatWaitsBehindAHoldDiesWhenItsTimeIsOver(t *testing.T) {
	t.Parallel()
	s := answering(500)
	s.node = func(c *node.Config) {
		schedule(time.Second, 100*time.Millisecond)(c)
		c.HostGate = limit.Config{BreakAfter: 1, HoldMin: time.Hour, HoldMax: time.Hour}
	}
	w := start(t, s)
	d := w.settledDelivery(w.ask("sim/echo", "held").ID)
	if lived := d.EndedAt.Sub(d.CreatedAt.Time); d.Status != ringback.DeliveryDead || len(d.Tries) != 1 || lived < time.Second {
		t.Errorf("got %s after %s and %d tries, want dead after 1 s and 1 try", d.Status, lived, len(d.Tries))
	}
}

func TestATryThatCannotBeStoredIsStoredLater(t *testing.T) {
	t.Parallel()
	failing := &failingStore{err: errors.New("database is locked")}
	var once sync.Once
	w := start(t, setup{
		node: func(c *node.Config) { failing.Store, c.Store = c.Store, failing },
		receiver: simulate.ReceiverConfig{Observe: func(simulate.Delivery) {
			once.Do(func() { failing.left.Store(1) }) // the job is settled, its webhook not
		}},
	})
	j := w.ask("sim/echo", "locked")
	d := w.settledDelivery(j.ID)
	if d.Status != ringback.DeliveryDelivered || len(d.Tries) != 1 || failing.left.Load() >= 0 {
		t.Errorf("got %s after %d tries, want delivered by the first", d.Status, len(d.Tries))
	}
	w.wantWebhooks(j.ID, 1)
}
