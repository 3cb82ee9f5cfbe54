package postgres

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/postgrestest"
	"github.com/ringback/ringback/internal/store"
)

// importedAt is when all jobs of these tests were made.
var importedAt = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// waitingJob returns a job of another store, changed as the test wants.
func waitingJob(t *testing.T, change func(*store.Record)) store.Record {
	t.Helper()
	id, err := uuid.NewV7()
	if err != nil {
		t.Fatal(err)
	}
	w := store.Record{Job: store.Job{
		ID: id, Project: "default", Provider: "sim", Model: "m", Metadata: json.RawMessage(`{}`), Status: ringback.Queued,
		CreatedAt: importedAt, RunAt: importedAt, ExpiresAt: importedAt.Add(time.Hour), EndBy: importedAt.Add(time.Hour),
	}}
	change(&w)
	return w
}

func openImport(t *testing.T, url, source string) *Import {
	t.Helper()
	i, err := OpenImport(t.Context(), Config{URL: url}, source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.Close)
	return i
}

func openStore(t *testing.T, url string) *Store {
	t.Helper()
	s, err := Open(t.Context(), Config{URL: url, Connections: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func put(t *testing.T, i *Import, jobs ...store.Record) {
	t.Helper()
	if err := i.Put(t.Context(), jobs); err != nil {
		t.Fatal(err)
	}
}

// External strings may contain what PostgreSQL's text cannot.
func TestAnImportMakesTextOfWhatIsNone(t *testing.T) {
	url := postgrestest.Database(t)
	i := openImport(t, url, "a")
	w := waitingJob(t, func(w *store.Record) {
		bad := "a\x00b\xffc"
		j := &w.Job
		j.Status, j.EndedAt, j.Fence = ringback.Failed, importedAt, 1
		j.Error, j.AnswerModel, j.Model, j.IdempotencyKey = bad, bad, bad, bad
		j.ErrorDetail = &ringback.ErrorDetail{Code: ringback.CodeProviderError, Type: bad}
		w.Attempts = []ringback.Attempt{{Number: 1, Node: "n", Error: bad, ProviderRequestID: bad, EndedAt: ringback.Time{Time: importedAt}}}
		w.Deliveries = []store.RecordDelivery{{
			Delivery: store.Delivery{ID: j.ID, JobID: j.ID, Project: "default", URL: bad, Status: ringback.DeliveryDead, EndedAt: importedAt},
			Tries:    []store.RecordTry{{Fence: 1, Try: ringback.Try{Number: 1, Response: bad}}},
		}}
		w.Bodies = []store.Body{{Owner: j.ID, Part: 1, Blob: store.Blob{Bytes: []byte(bad)}}}
	})
	put(t, i, w)
	if _, exact, err := i.Finish(t.Context(), store.CountsOf([]store.Record{w}), nil, nil); err != nil || !exact {
		t.Fatalf("Finish: %v, counted: %t", err, exact)
	}
	s := openStore(t, url)
	const good = "a�b�c"
	j, content, err := s.Job(t.Context(), "default", w.Job.ID, store.PartRequest)
	if err != nil || j.Error != good || j.AnswerModel != good || j.IdempotencyKey != good || string(content.Request) != "a\x00b\xffc" {
		t.Errorf("the job: %v, %+v, request %q", err, j, content.Request)
	}
	_, tries, err := s.JobDeliveries(t.Context(), "default", w.Job.ID)
	if err != nil || tries[0][0].Response != good {
		t.Errorf("the try: %v, %+v", err, tries)
	}
	if dead, err := s.DeadLetters(t.Context()); err != nil || dead != (store.DeadLetters{Jobs: 1, Deliveries: 1}) {
		t.Errorf("dead letters: %+v, %v", dead, err)
	}
	if err := s.Reconcile(t.Context()); err != nil {
		t.Error(err)
	}
}

// Nodes may have served from a half-finished import.
func TestAnImportThatGoesOnLeavesToOthersWhatTheyHave(t *testing.T) {
	url := postgrestest.Database(t)
	first := waitingJob(t, func(*store.Record) {})
	second := waitingJob(t, func(w *store.Record) { w.Job.IdempotencyKey = "k" })
	i := openImport(t, url, "a")
	put(t, i, first)
	i.Close()

	s := openStore(t, url)
	if _, err := s.Join(t.Context(), store.Node{ID: "n", Machine: "web-1"}); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenImport(t.Context(), Config{URL: url}, "a"); !errors.Is(err, ErrOccupied) {
		t.Errorf("an import beside a node: got %v, want ErrOccupied", err)
	}
	mine := waitingJob(t, func(w *store.Record) { w.Job.IdempotencyKey = "k" }).Job
	if _, _, err := s.Submit(t.Context(), store.NewJob{Job: mine}); err != nil {
		t.Fatal(err)
	}
	ended := store.Outcome{At: importedAt, Status: ringback.Cancelled}
	if _, err := s.Cancel(t.Context(), "default", first.Job.ID, func(store.Job) store.Outcome { return ended }); err != nil {
		t.Fatal(err)
	}
	if err := s.Leave(t.Context(), "n"); err != nil {
		t.Fatal(err)
	}
	s.Close()

	i = openImport(t, url, "a")
	put(t, i, second)
	stored, exact, err := i.Finish(t.Context(), store.Counts{Jobs: 2}, nil, nil)
	if err != nil || exact || stored.Jobs != 2 {
		t.Errorf("Finish: %+v, counted: %t, %v; want what was carried over", stored, exact, err)
	}
	s = openStore(t, url)
	if j, err := s.ByIdempotencyKey(t.Context(), "default", "k"); err != nil || j.ID != mine.ID {
		t.Errorf("the key: job %s, %v; want that of the job that was accepted here", j.ID, err)
	}
	if j, _, err := s.Job(t.Context(), "default", first.Job.ID, 0); err != nil || j.Status != ringback.Cancelled {
		t.Errorf("the job that was cancelled here: %s, %v", j.Status, err)
	}
	if w, err := s.Waiting(t.Context()); err != nil || w.Jobs != 2 {
		t.Errorf("%d jobs wait, %v; want 2", w.Jobs, err)
	}
	if err := s.Reconcile(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestAnImportRefusesADatabaseThatIsNotItsOwn(t *testing.T) {
	url := postgrestest.Database(t)
	i := openImport(t, url, "a")
	other := openImport(t, url, "a")
	put(t, i, waitingJob(t, func(*store.Record) {}))
	if err := other.Put(t.Context(), []store.Record{waitingJob(t, func(*store.Record) {})}); !errors.Is(err, ErrOccupied) {
		t.Errorf("two at once: got %v, want ErrOccupied", err)
	}
	if _, err := OpenImport(t.Context(), Config{URL: url}, "b"); !errors.Is(err, ErrOccupied) {
		t.Errorf("another source: got %v, want ErrOccupied", err)
	}
	if _, _, err := i.Finish(t.Context(), store.Counts{Jobs: 2}, nil, nil); err == nil {
		t.Error("Finish with a job that is missing: no error")
	}
	if again := openImport(t, url, "a"); !again.Ended().IsZero() || again.Carried().Jobs != 1 {
		t.Errorf("after that it has ended at %s, with %+v", again.Ended(), again.Carried())
	}

	url = postgrestest.Database(t)
	s := openStore(t, url)
	if _, _, err := s.Submit(t.Context(), store.NewJob{Job: waitingJob(t, func(*store.Record) {}).Job}); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenImport(t.Context(), Config{URL: url}, "a"); !errors.Is(err, ErrOccupied) {
		t.Errorf("into a database with jobs: got %v, want ErrOccupied", err)
	}
}
