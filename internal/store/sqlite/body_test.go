package sqlite

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/ringback/ringback/internal/store"
)

// A large request must not keep the writer from all other writes until it is stored.
func TestSmallWritesCommitBetweenThePiecesOfALargeRequest(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	large := running(t, 24*pieceBytes+5)
	stored := make(chan error)
	go func() {
		_, _, err := s.Submit(t.Context(), large)
		stored <- err
	}()
	for meanwhile := 0; ; meanwhile++ {
		select {
		case err := <-stored:
			must(t, err)
			if meanwhile < 5 {
				t.Errorf("%d small writes were committed meanwhile, want some between the 25 pieces", meanwhile)
			}
			wantRequest(t, s, large)
			wantStaged(t, s, 0)
			return
		default:
			_, _, err := s.Submit(t.Context(), running(t, 10))
			must(t, err)
		}
	}
}

func TestALargeRequestThatIsNotAcceptedLeavesNothing(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	first := running(t, 3*pieceBytes)
	first.Job.IdempotencyKey, first.Job.IdempotencyHash = "key", []byte{1}
	_, _, err := s.Submit(t.Context(), first)
	must(t, err)

	again := running(t, 3*pieceBytes)
	again.Job.IdempotencyKey, again.Job.IdempotencyHash = "key", []byte{1}
	if j, replayed, err := s.Submit(t.Context(), again); err != nil || !replayed || j.ID != first.Job.ID {
		t.Errorf("the same request again: got job %s, replayed %v, error %v; want the first", j.ID, replayed, err)
	}
	other := running(t, 3*pieceBytes)
	other.Job.IdempotencyKey, other.Job.IdempotencyHash = "key", []byte{2}
	if _, _, err := s.Submit(t.Context(), other); !errors.Is(err, store.ErrMismatch) {
		t.Errorf("another request with its key: got error %v, want ErrMismatch", err)
	}
	replay := running(t, 3*pieceBytes)
	replay.Job.ReplayOf = first.Job.ID
	if _, err := s.Replay(t.Context(), replay); err == nil {
		t.Error("a running job was replayed")
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	if _, _, err := s.Submit(gone, running(t, 3*pieceBytes)); !errors.Is(err, context.Canceled) {
		t.Errorf("a client that has left: got error %v, want canceled", err)
	}
	wantStaged(t, s, 0)
	if got := counted(t, s, `SELECT count(DISTINCT owner) FROM bodies`); got != 1 {
		t.Errorf("content of %d jobs is stored, want that of one", got)
	}
	wantRequest(t, s, first)
}

func TestAStartDeletesARequestThatACrashKeptFromBeingAccepted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	whole, half := running(t, 3*pieceBytes), running(t, 3*pieceBytes)
	_, _, err := s.Submit(t.Context(), whole)
	must(t, err)
	staged, err := s.stage(t.Context(), &half)
	must(t, err)
	if !staged {
		t.Fatal("nothing was staged")
	}
	wantStaged(t, s, 1)
	must(t, s.Close()) // like a crash

	s = open(t, dir)
	wantStaged(t, s, 0)
	if got := counted(t, s, `SELECT count(DISTINCT owner) FROM bodies`); got != 1 {
		t.Errorf("content of %d jobs is stored, want that of one", got)
	}
	wantRequest(t, s, whole)
}

func wantRequest(t *testing.T, s *Store, n store.NewJob) {
	t.Helper()
	b, err := s.Blob(t.Context(), n.Job.ID, store.PartRequest)
	must(t, err)
	if !bytes.Equal(b.Bytes, n.Request.Bytes) {
		t.Errorf("the request of %s: got %d bytes, want the %d that were sent", n.Job.ID, len(b.Bytes), len(n.Request.Bytes))
	}
}

func wantStaged(t *testing.T, s *Store, want int) {
	t.Helper()
	if got := counted(t, s, `SELECT count(*) FROM staged`); got != want {
		t.Errorf("%d requests are staged, want %d", got, want)
	}
}

func counted(t *testing.T, s *Store, query string) (n int) {
	t.Helper()
	must(t, s.read(t.Context(), func(q *reader) error { return q.row(query).Scan(&n) }))
	return n
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
