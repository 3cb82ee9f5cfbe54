package storetest

import (
	"slices"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
)

// observer remembers what was seen of the store, and checks it against the promises. It
// knows no rule of the model: it catches errors that model and store share.
type observer struct {
	ends     map[uuid.UUID]store.Job
	ledgers  map[uuid.UUID][]ringback.Attempt
	payloads map[uuid.UUID]string
	jobs     map[uuid.UUID]bool // every job ever seen
	claims   map[store.Ref]bool
}

func newObserver() observer {
	return observer{map[uuid.UUID]store.Job{}, map[uuid.UUID][]ringback.Attempt{}, map[uuid.UUID]string{}, map[uuid.UUID]bool{}, map[store.Ref]bool{}}
}

// sawJob: P2, a terminal job never changes.
func (s *observer) sawJob(w *world, j store.Job) {
	w.Helper()
	s.jobs[j.ID] = true
	before, ended := s.ends[j.ID]
	if ended {
		before.ReplayedBy = j.ReplayedBy // a link, no state
		w.same("a job that had ended", remains(j), remains(before))
	}
	if ended && !j.ContentGone {
		j.ContentUntil = before.ContentUntil
		w.same("a job that had ended", j, before)
	}
	if !ended && j.Status.Terminal() {
		s.ends[j.ID] = j
	}
}

// sawClaim: P6, no two claims are the same, not even one after another: the loser of one
// could settle in the name of the next.
func (s *observer) sawClaim(w *world, ref store.Ref) {
	w.Helper()
	if s.claims[ref] {
		w.Fatalf("%s was claimed twice under fence %d", ref.ID, ref.Fence)
	}
	s.claims[ref] = true
}

// sawEnd: P2, every job that was accepted has ended.
func (s *observer) sawEnd(w *world) {
	w.Helper()
	for id := range s.jobs {
		if _, ended := s.ends[id]; !ended {
			w.Fatalf("%s has not ended", nameOf(id))
		}
	}
}

// sawLedger: P4, the provider is called again only after an attempt that says why; numbers
// grow; what is written does not change; P3, an end closes the ledger.
func (s *observer) sawLedger(w *world, j store.Job, ledger []ringback.Attempt) {
	w.Helper()
	again := []ringback.AttemptOutcome{ringback.AttemptFailed, ringback.AttemptRefused, ringback.AttemptReleased, ringback.AttemptUncertain}
	var ended []ringback.Attempt
	for i, a := range ledger {
		if i > 0 && a.Number <= ledger[i-1].Number {
			w.Fatalf("job %s: attempt %d is listed after attempt %d", j.ID, a.Number, ledger[i-1].Number)
		}
		if i < len(ledger)-1 && !slices.Contains(again, a.Outcome) {
			w.Fatalf("job %s: the provider was called again after an attempt that was %q", j.ID, a.Outcome)
		}
		if a.Outcome != "" {
			ended = append(ended, a)
		}
	}
	if j.Status.Terminal() && len(ended) < len(ledger) {
		w.Fatalf("job %s is %s, and an attempt is still running", j.ID, j.Status)
	}
	before := s.ledgers[j.ID]
	if j.ContentGone { // its error is gone, too
		before = slices.Clone(before)
		for i := range before {
			before[i].Error = ""
		}
	}
	if len(ended) < len(before) {
		w.Fatalf("job %s: the ledger had %d attempts, now %d", j.ID, len(before), len(ended))
	}
	w.same("what the ledger said before", ended[:len(before)], before)
	s.ledgers[j.ID] = ended
}

// sawDeliveries: P3, the end and its webhook appear together.
func (s *observer) sawDeliveries(w *world, j store.Job, ds []store.Delivery) {
	w.Helper()
	var got, want []ringback.EventType
	for _, d := range ds {
		got = append(got, d.Event)
	}
	if j.Status.Terminal() && slices.Contains(j.Options.Events, ringback.EventOf(j.Status)) {
		want = append(want, ringback.EventOf(j.Status))
	}
	w.same("webhooks of a job that is "+string(j.Status), got, want)
}

// sawPayload: P5, the bytes are the same on every try.
func (s *observer) sawPayload(w *world, id uuid.UUID, body []byte) {
	w.Helper()
	if before, seen := s.payloads[id]; seen {
		w.same("the bytes of a webhook", string(body), before)
	}
	s.payloads[id] = string(body)
}
