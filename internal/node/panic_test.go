package node_test

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/node"
	"github.com/ringback/ringback/internal/simulate"
	"github.com/ringback/ringback/internal/store"
)

// brokenStore panics where it is told to.
type brokenStore struct {
	store.Store

	payload func(uuid.UUID) bool // nil: never
	settle  atomic.Int64         // how many settles panic
	house   atomic.Int64         // how many steps of loops panic
}

func (s *brokenStore) Payload(ctx context.Context, id uuid.UUID) (store.Payload, error) {
	if s.payload != nil && s.payload(id) {
		panic("a mistake in a payload")
	}
	return s.Store.Payload(ctx, id)
}

func (s *brokenStore) Settle(ctx context.Context, ref store.Ref, d store.Decide) (store.Job, error) {
	if s.settle.Add(-1) >= 0 {
		panic("a mistake in a settle")
	}
	return s.Store.Settle(ctx, ref, d)
}

func (s *brokenStore) step() {
	if s.house.Add(-1) >= 0 {
		panic("a mistake in a loop")
	}
}

func (s *brokenStore) DueJobs(ctx context.Context, now time.Time) (store.DueJobs, error) {
	s.step()
	return s.Store.DueJobs(ctx, now)
}

func (s *brokenStore) DueDeliveries(ctx context.Context, now time.Time) (store.DueDeliveries, error) {
	s.step()
	return s.Store.DueDeliveries(ctx, now)
}

func (s *brokenStore) Expire(ctx context.Context, now time.Time, limit int, d store.Decide) ([]store.Job, error) {
	s.step()
	return s.Store.Expire(ctx, now, limit, d)
}

func (s *brokenStore) Prune(ctx context.Context, now time.Time, limit int) (int, error) {
	s.step()
	return s.Store.Prune(ctx, now, limit)
}

func TestAPanicOverOneWebhookCostsItsTryAndNothingElse(t *testing.T) {
	t.Parallel()
	broken := &brokenStore{}
	var poisoned atomic.Pointer[string]
	w := start(t, setup{
		node: func(c *node.Config) {
			broken.Store = c.Store
			broken.payload = func(id uuid.UUID) bool { p := poisoned.Load(); return p != nil && *p == id.String() }
			c.Store = broken
		},
		receiver: simulate.ReceiverConfig{Answer: func(d simulate.Delivery) simulate.Answer {
			if p := poisoned.Load(); p == nil {
				poisoned.Store(&d.ID)
				return simulate.Answer{Status: http.StatusInternalServerError} // the next try reads the bytes again
			}
			return simulate.Answer{}
		}},
	})
	bad := w.end(w.ask("sim/echo", "its webhook is a mistake").ID)
	d := w.settledDelivery(bad.ID)
	if d.Status != ringback.DeliveryDead || len(d.Tries) != 4 {
		t.Fatalf("got %s after %d tries, want dead after those of the schedule", d.Status, len(d.Tries))
	}
	for _, y := range d.Tries[1:] {
		if y.Error != "internal" || y.StatusCode != 0 {
			t.Errorf("got %+v, want a try that failed by a mistake of ours", y)
		}
	}
	good := w.end(w.ask("sim/echo", "its webhook is well").ID)
	if d := w.settledDelivery(good.ID); d.Status != ringback.DeliveryDelivered {
		t.Errorf("another webhook is %s, want delivered", d.Status)
	}
}

func TestAPanicInASettleIsAFailedAttemptOfItsJobAlone(t *testing.T) {
	t.Parallel()
	broken := &brokenStore{}
	w := start(t, setup{node: func(c *node.Config) { broken.Store = c.Store; c.Store = broken }})
	broken.settle.Store(1)
	job := w.end(w.ask("sim/echo", "its first settle is a mistake").ID)
	if job.Status != ringback.Completed {
		t.Errorf("got %s, want completed by the second attempt", job.Status)
	}
	w.wantOutcomes(job.ID, ringback.AttemptFailed, ringback.AttemptAnswered)
	broken.settle.Store(0)
	if other := w.end(w.ask("sim/echo", "another one").ID); other.Status != ringback.Completed {
		t.Errorf("another job is %s", other.Status)
	}
}

func TestALoopGoesOnAfterAPanic(t *testing.T) {
	t.Parallel()
	broken := &brokenStore{}
	w := start(t, setup{node: func(c *node.Config) { broken.Store = c.Store; c.Store = broken }})
	broken.house.Store(8)
	w.eventually("the panics", func() bool { return broken.house.Load() <= 0 })
	job := w.submit(ringback.Request{
		Prompt: "claimed by a loop", CallbackURL: w.callback, RunAt: &ringback.Time{Time: time.Now().Add(50 * time.Millisecond)},
	})
	if end := w.end(job.ID); end.Status != ringback.Completed {
		t.Errorf("got %s, want completed", end.Status)
	}
}

func TestAPanicInADecisionEndsThatJobAndNoOtherOfItsTransaction(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	later := &ringback.Time{Time: time.Now().Add(time.Hour)}
	bad := w.submit(ringback.Request{Prompt: "a mistake", CallbackURL: w.callback, RunAt: later})
	good := w.submit(ringback.Request{Prompt: "well", CallbackURL: w.callback, RunAt: later})
	now := time.Now().Add(30 * 24 * time.Hour).Truncate(time.Millisecond)
	ended, err := w.store.Expire(t.Context(), now, 10, w.node.Careful(func(j store.Job) store.Outcome {
		if j.ID.String() == bad.ID {
			panic("a mistake in a decision")
		}
		return store.Outcome{At: now, Status: ringback.Expired, Error: "it waited for too long"}
	}))
	must(t, err)
	if len(ended) != 2 {
		t.Fatalf("%d jobs ended, want both", len(ended))
	}
	if j := w.job(good.ID); j.Status != ringback.Expired {
		t.Errorf("the other job is %s, want expired", j.Status)
	}
	j := w.job(bad.ID)
	if j.Status != ringback.Failed || j.ErrorDetail == nil || j.ErrorDetail.Code != ringback.CodeInternal {
		t.Errorf("got %s %+v, want failed by an internal error", j.Status, j.ErrorDetail)
	}
	if d := w.settledDelivery(bad.ID); d.Status != ringback.DeliveryDelivered {
		t.Errorf("its webhook is %s, want delivered", d.Status)
	}
}
