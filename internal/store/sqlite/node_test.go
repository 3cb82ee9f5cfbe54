package sqlite

import (
	"testing"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
)

// Older versions stored no node with a delivery.
func TestADeliveryThatAnOlderVersionHadInFlightIsSwept(t *testing.T) {
	s := open(t, t.TempDir())
	j := running(t, 10)
	if _, _, err := s.Submit(t.Context(), j); err != nil {
		t.Fatal(err)
	}
	now := j.Job.CreatedAt.Add(time.Second)
	_, err := s.Settle(t.Context(), j.Job.Ref(), func(store.Job) store.Outcome {
		return store.Outcome{
			At: now, Status: ringback.Completed, Attempt: &ringback.Attempt{Outcome: ringback.AttemptAnswered},
			Delivery: &store.NewDelivery{ID: deliveryOf(j.Job.ID), Event: ringback.EventCompleted, URL: "http://a.example/hook", Host: "http://a.example", MadeAt: now, Node: "n"},
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	together(t, s, func(tx *tx) error {
		_, err := tx.exec(`UPDATE deliveries SET node = ''`)
		return err
	})
	swept, err := s.Sweep(t.Context(), "n", now, 10, nil)
	if err != nil || swept.Deliveries != 1 {
		t.Errorf("Sweep: got %d deliveries, %v, want 1", swept.Deliveries, err)
	}
}
