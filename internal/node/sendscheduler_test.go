package node_test

import (
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/simulate"
)

// busy is a receiver that answers at once; once it is shut, it keeps all requests until
// letGo is closed.
type busy struct {
	inside visitors
	shut   atomic.Bool
	letGo  chan struct{}
	over   <-chan struct{} // the test is over: no request is kept anymore
	takes  atomic.Int64    // how long an answer takes after that, in nanoseconds
	refuse atomic.Int64    // how many more are refused with Retry-After
}

func newBusy(t *testing.T) *busy {
	return &busy{letGo: make(chan struct{}), over: t.Context().Done()}
}

func (b *busy) answer(simulate.Delivery) simulate.Answer {
	b.inside.come()
	defer b.inside.leave()
	if b.shut.Load() {
		select {
		case <-b.letGo:
		case <-b.over:
		}
	}
	time.Sleep(time.Duration(b.takes.Load())) // the receiver's own work
	if b.refuse.Add(-1) >= 0 {
		return simulate.Answer{Status: http.StatusServiceUnavailable, Header: http.Header{"Retry-After": {"1"}}}
	}
	return simulate.Answer{}
}

// startBusy proves the host, shuts it, and sends so many jobs that 8 are being tried and
// the others are queued. However long the first try took, the host counts as one that
// answers quickly.
func startBusy(t *testing.T, jobs int) (w *world, b *busy, ids []string) {
	b = newBusy(t)
	w = start(t, setup{receiver: simulate.ReceiverConfig{Answer: b.answer}})
	ids = []string{w.ask("sim/echo", "proves the host").ID}
	w.settledDelivery(ids[0])
	w.node.ForgetHowLongTriesTook()
	b.shut.Store(true)
	for i := range jobs {
		ids = append(ids, w.ask("sim/echo", fmt.Sprint("to a busy host ", i)).ID)
	}
	w.eventually("a queue behind 8", func() bool {
		now, _ := b.inside.there()
		return now == 8 && w.node.Queued() == jobs-8
	})
	return w, b, ids
}

func TestAQuickHostHasItsNextWebhooksQueued(t *testing.T) {
	t.Parallel()
	w, b, ids := startBusy(t, 20)
	close(b.letGo)
	for _, id := range ids {
		if d := w.settledDelivery(id); d.Status != ringback.DeliveryDelivered || len(d.Tries) != 1 {
			t.Errorf("got %s after %d tries, want delivered by the first", d.Status, len(d.Tries))
		}
	}
	if left := w.node.Queued(); left != 0 {
		t.Errorf("%d are still queued", left)
	}
	for _, id := range ids {
		stored, _, err := w.store.JobDeliveries(t.Context(), "default", uuid.MustParse(id))
		must(t, err)
		if fence := stored[0].Fence; fence > 2 { // claimed on insert, and settled
			t.Errorf("fence %d, want 2: the queue was flushed, though its host took everything", fence)
		}
	}
}

// The queue of a slow host holds no more than it takes in a second, so that others get
// their turn: 8 at a time that take half a second each are 16.
func TestTheQueueOfASlowHostIsShort(t *testing.T) {
	t.Parallel()
	const jobs, most = 40, 16
	var proven atomic.Bool
	b := newBusy(t)
	w := start(t, setup{receiver: simulate.ReceiverConfig{Answer: func(d simulate.Delivery) simulate.Answer {
		if !proven.Swap(true) {
			time.Sleep(500 * time.Millisecond) // the receiver's own slowness
		}
		return b.answer(d)
	}}})
	w.settledDelivery(w.ask("sim/echo", "proves the host").ID)
	b.shut.Store(true)
	var ids []string
	for i := range jobs {
		ids = append(ids, w.ask("sim/echo", fmt.Sprint("to a slow host ", i)).ID)
	}
	w.eventually("what no queue takes, in the store", func() bool {
		waiting, err := w.store.Waiting(t.Context())
		must(t, err)
		return waiting.Deliveries >= jobs-8-most
	})
	if queued := w.node.Queued(); queued > most {
		t.Errorf("%d are queued, want at most %d", queued, most)
	}
	close(b.letGo)
	for _, id := range ids {
		w.settledDelivery(id)
	}
}

// Webhooks that are queued for a host that refuses others go back to the store, and have
// lost nothing: neither a try nor the request to be sent once more.
func TestAQueueGoesBackWhenItsHostTurnsOthersAway(t *testing.T) {
	t.Parallel()
	w, b, ids := startBusy(t, 20)
	_, err := w.node.Redeliver(t.Context(), "default", ids[0], ringback.Redelivery{})
	must(t, err)
	w.eventually("the redelivery in the queue", func() bool { return w.node.Queued() == 20-8+1 })
	b.refuse.Store(8)
	close(b.letGo)
	w.eventually("an empty queue", func() bool { return w.node.Queued() == 0 })
	refused := 0
	for _, id := range ids[1:] {
		d := w.settledDelivery(id)
		if d.Status != ringback.DeliveryDelivered {
			t.Errorf("got %s, want delivered", d.Status)
		}
		if len(d.Tries) == 2 {
			refused++
		}
	}
	if refused != 8 {
		t.Errorf("with a second try: got %d, want the 8 that were refused", refused)
	}
	w.eventually("the redelivery", func() bool { return len(w.delivery(ids[0]).Tries) == 2 })
	d := w.delivery(ids[0])
	if triggers := []ringback.TryTrigger{d.Tries[0].Trigger, d.Tries[1].Trigger}; !slices.Equal(triggers, []ringback.TryTrigger{"schedule", "manual"}) {
		t.Errorf("tries of the first: got %v, want the schedule's and the one asked for", triggers)
	}
}

func TestASlowHostKeepsItsEightSlots(t *testing.T) {
	t.Parallel()
	b := newBusy(t)
	b.takes.Store(int64(600 * time.Millisecond))
	w := start(t, setup{receiver: simulate.ReceiverConfig{Answer: b.answer}})
	w.settledDelivery(w.ask("sim/echo", "proves the host").ID)
	var ids []string
	for i := range 24 {
		ids = append(ids, w.ask("sim/echo", fmt.Sprint(i)).ID)
	}
	for _, id := range ids {
		w.settledDelivery(id)
	}
	if _, most := b.inside.there(); most > 8 {
		t.Errorf("tries at once: got %d, want 8 at most", most)
	}
}
