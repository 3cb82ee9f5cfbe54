package sqlite

import (
	"errors"
	"testing"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/groupcommit"
)

// together runs moves as neighbours in one transaction.
func together(t *testing.T, s *Store, moves ...func(*tx) error) {
	t.Helper()
	err := s.write(t.Context(), groupcommit.Write[*tx]{Run: func(tx *tx) error {
		for _, move := range moves {
			if err := move(tx); err != nil {
				return err
			}
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
}

// A change to a row that has just been cached must not be lost if it is in the same batch:
// the try of a delivery that was erased meanwhile is fenced off.
func TestAnErasureBehindASettleInTheSameBatchFencesTheTry(t *testing.T) {
	s := open(t, t.TempDir())
	j := running(t, 10)
	j.Job.Options.CallbackURL, j.Job.Options.Host = "http://a.example/hook", "http://a.example"
	if _, _, err := s.Submit(t.Context(), j); err != nil {
		t.Fatal(err)
	}
	now := j.Job.CreatedAt.Add(time.Second)
	delivery := deliveryOf(j.Job.ID)
	together(t, s,
		func(tx *tx) error {
			_, err := s.settle(tx, j.Job.Ref(), func(store.Job) store.Outcome {
				return store.Outcome{
					At: now, Status: ringback.Completed, Attempt: &ringback.Attempt{Outcome: ringback.AttemptAnswered},
					Delivery: &store.NewDelivery{ID: delivery, Event: ringback.EventCompleted, URL: "http://a.example/hook", Host: "http://a.example", MadeAt: now, Node: "n"},
				}
			})
			return err
		},
		func(tx *tx) error { return s.erase(tx, "default", j.Job.ID, now) },
	)
	_, err := s.SettleDelivery(t.Context(), store.Ref{ID: delivery, Fence: 1}, store.TryEnd{
		At: now, Status: ringback.DeliveryDelivered, Try: ringback.Try{At: ringback.Time{Time: now}, StatusCode: 200, Response: "what was erased"},
	})
	if !errors.Is(err, store.ErrFenced) {
		t.Errorf("the try of an erased delivery: got %v, want fenced", err)
	}
}

func TestACancelBehindAClaimInTheSameBatchIsKept(t *testing.T) {
	s := open(t, t.TempDir())
	j := running(t, 10)
	j.Job.Status, j.Job.Fence, j.Job.Node, j.Job.StartedAt, j.Job.FirstStartedAt = ringback.Queued, 0, "", time.Time{}, time.Time{}
	if _, _, err := s.Submit(t.Context(), j); err != nil {
		t.Fatal(err)
	}
	now := j.Job.CreatedAt.Add(time.Second)
	claim := store.ClaimJobs{Node: "n", Now: now, Lanes: []store.LaneWant{{Lane: j.Job.Lane(), N: 1}}}
	together(t, s,
		func(tx *tx) error { _, err := s.claim(tx, claim); return err },
		func(tx *tx) error { _, err := s.cancel(tx, "default", j.Job.ID, nil); return err },
	)
	var asked bool
	_, err := s.Settle(t.Context(), store.Ref{ID: j.Job.ID, Fence: 1}, func(stored store.Job) store.Outcome {
		asked = stored.CancelRequested
		return store.Outcome{At: now, Status: ringback.Cancelled, Attempt: &ringback.Attempt{Outcome: ringback.AttemptCancelled}}
	})
	if err != nil || !asked {
		t.Errorf("settled with cancel_requested %t, %v; want true", asked, err)
	}
}

// Rows that are no longer running are forgotten.
func TestWhatHasEndedIsNotHeld(t *testing.T) {
	s := open(t, t.TempDir())
	j := running(t, 10)
	if _, _, err := s.Submit(t.Context(), j); err != nil {
		t.Fatal(err)
	}
	_, err := s.Settle(t.Context(), j.Job.Ref(), func(store.Job) store.Outcome {
		return store.Outcome{At: time.Now(), Status: ringback.Completed, Attempt: &ringback.Attempt{Outcome: ringback.AttemptAnswered}}
	})
	if err != nil {
		t.Fatal(err)
	}
	together(t, s, func(*tx) error { // on the writer's goroutine
		if n := len(s.held.jobs) + len(s.held.deliveries); n != 0 {
			t.Errorf("%d rows are held, want none", n)
		}
		return nil
	})
}
