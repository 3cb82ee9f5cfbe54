package node_test

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/intake"
	"github.com/ringback/ringback/internal/node"
	"github.com/ringback/ringback/internal/simulate"
	"github.com/ringback/ringback/internal/store"
)

// unreadableStore can't read the bytes of webhooks a number of times.
type unreadableStore struct {
	store.Store

	err  error
	left atomic.Int64
	// listings counts down to the listing of dead letters that fails, once; below 0 none does.
	listings atomic.Int64
}

func (s *unreadableStore) Payload(ctx context.Context, id uuid.UUID) (store.Payload, error) {
	if s.left.Add(-1) >= 0 {
		return store.Payload{}, s.err
	}
	return s.Store.Payload(ctx, id)
}

func (s *unreadableStore) DeadDeliveries(ctx context.Context, q store.DeadQuery) ([]store.Delivery, [][]ringback.Try, *uuid.UUID, error) {
	if s.listings.Add(-1) == 0 {
		return nil, nil, nil, s.err
	}
	return s.Store.DeadDeliveries(ctx, q)
}

func TestARedeliveryThatWasAcceptedIsMadeHoweverOftenItsBytesCannotBeRead(t *testing.T) {
	t.Parallel()
	for name, passing := range map[string]error{
		"the database is out of reach": store.ErrUnavailable,
		"the database is held":         store.ErrBusy,
		"anything else":                errors.New("an odd moment"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			odd := &unreadableStore{err: passing}
			w := start(t, setup{node: func(c *node.Config) { odd.Store = c.Store; c.Store = odd }})
			job := w.end(w.ask("sim/echo", "send it again").ID)
			w.settledDelivery(job.ID)
			odd.left.Store(3)
			_, err := w.node.Redeliver(t.Context(), "default", job.ID, ringback.Redelivery{})
			must(t, err)
			w.eventually("the redelivery", func() bool { return len(w.delivery(job.ID).Tries) == 2 })
			if y := w.delivery(job.ID).Tries[1]; y.Trigger != "manual" || y.StatusCode != http.StatusOK {
				t.Errorf("got %+v, want the redelivery", y)
			}
		})
	}
}

func TestRedeliveriesInBulkAreMadeHoweverOftenTheirBytesCannotBeRead(t *testing.T) {
	t.Parallel()
	odd := &unreadableStore{err: store.ErrUnavailable}
	var well atomic.Bool
	w := start(t, setup{
		node: func(c *node.Config) { odd.Store = c.Store; c.Store = odd },
		receiver: simulate.ReceiverConfig{Answer: func(simulate.Delivery) simulate.Answer {
			if well.Load() {
				return simulate.Answer{}
			}
			return simulate.Answer{Status: http.StatusGone}
		}},
	})
	var ids []string
	for range 5 {
		ids = append(ids, w.end(w.ask("sim/echo", "in bulk").ID).ID)
	}
	for _, id := range ids {
		w.settledDelivery(id)
	}
	well.Store(true)
	odd.left.Store(12)
	done, err := w.node.ReplayDead(t.Context(), "default", ringback.DeadAction{DeadFilter: ringback.DeadFilter{Kind: ringback.DeadDelivery}, All: true}, intake.Patch{})
	must(t, err)
	if done.Done != len(ids) {
		t.Fatalf("got %+v, want all %d", done, len(ids))
	}
	w.eventually("all redeliveries", func() bool {
		for _, id := range ids {
			if w.delivery(id).Status != ringback.DeliveryDelivered {
				return false
			}
		}
		return true
	})
}

func TestABulkActionThatIsCutShortSaysWhatItHasDone(t *testing.T) {
	t.Parallel()
	odd := &unreadableStore{err: store.ErrUnavailable}
	w := start(t, setup{
		node:     func(c *node.Config) { odd.Store = c.Store; c.Store = odd },
		receiver: simulate.ReceiverConfig{Answer: func(simulate.Delivery) simulate.Answer { return simulate.Answer{Status: http.StatusGone} }},
	})
	const jobs = 120 // more than are dealt with at once
	for range jobs {
		w.ask("sim/echo", "in bulk")
	}
	w.eventually("all dead letters", func() bool {
		dead, err := w.store.DeadLetters(t.Context())
		return err == nil && dead.Deliveries == jobs
	})
	odd.listings.Store(2)
	all := ringback.DeadAction{DeadFilter: ringback.DeadFilter{Kind: ringback.DeadDelivery}, All: true}
	done, err := w.node.PurgeDead(t.Context(), "default", all)
	must(t, err)
	if done.Done != 100 || done.NextCursor == nil {
		t.Fatalf("got %+v, want the 100 that were done, and where to go on", done)
	}
	all.Cursor = *done.NextCursor
	if done, err = w.node.PurgeDead(t.Context(), "default", all); err != nil || done.Done != jobs-100 {
		t.Errorf("got %+v, %v, want the other %d", done, err, jobs-100)
	}
}
