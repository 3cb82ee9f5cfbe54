package sqlite

import (
	"context"
	"errors"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
)

// running returns a job that is claimed on insert, with a request of some size.
func running(t testing.TB, size int) store.NewJob {
	id, err := uuid.NewV7()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().Truncate(time.Millisecond)
	request := make([]byte, size)
	for i := range request {
		request[i] = byte(i*7919 ^ i>>8) // does not compress well
	}
	return store.NewJob{Request: store.Blob{Bytes: request}, Job: store.Job{
		ID: id, Project: "default", Provider: "p", Protocol: "anthropic", Model: "m", RequestedModel: "m", Metadata: []byte("{}"),
		Options: store.Options{ResultTTL: time.Hour, MaxAttempts: 3},
		Status:  ringback.Running, Fence: 1, Node: "n", CreatedAt: now, RunAt: now, StartedAt: now, FirstStartedAt: now,
		ExpiresAt: now.Add(time.Hour), EndBy: now.Add(time.Hour),
	}}
}

func TestAReaderThatIsAlwaysThereDoesNotLetTheLogGrow(t *testing.T) {
	s := open(t, t.TempDir())
	s.maxLog = 4 << 20
	first := running(t, 10)
	if _, _, err := s.Submit(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var reading sync.WaitGroup
	for range readers {
		reading.Go(func() {
			for ctx.Err() == nil {
				err := s.read(ctx, func(q *reader) error {
					var n int
					return q.row("SELECT count(*) FROM jobs").Scan(&n)
				})
				if err != nil && ctx.Err() == nil {
					t.Error(err)
					return
				}
			}
		})
	}
	var largest int64
	for written := 0; written < 20<<20; written += 1 << 20 {
		if _, _, err := s.Submit(t.Context(), running(t, 1<<20)); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(s.file + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		largest = max(largest, info.Size())
	}
	stop()
	reading.Wait()
	if limit := s.maxLog + 8<<20; largest > limit {
		t.Errorf("write-ahead log: got %d bytes at its largest, want at most %d", largest, limit)
	}
}

func TestAReadOnABusyMachineHasSecondsButNotForever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, t.TempDir())
		for _, c := range []struct {
			waits time.Duration // for a processor
			want  error
		}{{4 * time.Second, nil}, {6 * time.Second, context.DeadlineExceeded}, {0, nil}} {
			err := s.read(t.Context(), func(q *reader) error {
				time.Sleep(c.waits)
				var n int
				return q.row("SELECT count(*) FROM jobs").Scan(&n)
			})
			if !errors.Is(err, c.want) {
				t.Errorf("read that waits for %s: got error %v, want %v", c.waits, err, c.want)
			}
		}
	})
}

func TestCallersThatLeaveDoNotBreakReads(t *testing.T) {
	s := open(t, t.TempDir())
	n := running(t, 10)
	if _, _, err := s.Submit(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	var callers sync.WaitGroup
	for c := range 2 * readers {
		callers.Go(func() {
			for i := range 3000 {
				ctx, leave := context.WithCancel(context.Background())
				timer := time.AfterFunc(time.Duration((i*7+c*13)%60)*time.Microsecond, leave)
				_, _, err := s.Job(ctx, "default", n.Job.ID, store.PartRequest)
				if err != nil && !errors.Is(err, context.Canceled) {
					t.Errorf("read: %v", err)
				}
				timer.Stop()
				leave()
			}
		})
	}
	callers.Wait()
	for range 3 * readers {
		if _, _, err := s.Job(t.Context(), "default", n.Job.ID, store.PartRequest); err != nil {
			t.Fatalf("read after the others left: %v", err)
		}
	}
}

func TestAPanicInADecisionStaysInItsCall(t *testing.T) {
	s := open(t, t.TempDir())
	bad := running(t, 10)
	if _, _, err := s.Submit(t.Context(), bad); err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			if _, _, err := s.Submit(t.Context(), running(t, 10)); err != nil {
				t.Errorf("neighbour: %v", err)
			}
		})
		group.Go(func() {
			_, err := s.Settle(t.Context(), bad.Job.Ref(), func(store.Job) store.Outcome { panic("ouch") })
			if err == nil {
				t.Error("Settle with a panic: got nil, want an error")
			}
		})
	}
	group.Wait()
	j, _, err := s.Job(t.Context(), "default", bad.Job.ID, 0)
	if err != nil || j.Status != ringback.Running {
		t.Errorf("job after the panics: got %s, %v, want it running still", j.Status, err)
	}
}

func TestAClosedStoreSaysSo(t *testing.T) {
	s := open(t, t.TempDir())
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Submit(t.Context(), running(t, 10)); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Submit after Close: got %v, want ErrClosed", err)
	}
}

func TestSpaceOfDeletedContentIsGivenBack(t *testing.T) {
	s := open(t, t.TempDir())
	for range 40 {
		n := running(t, 1<<20)
		if _, _, err := s.Submit(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		_, err := s.Settle(t.Context(), n.Job.Ref(), func(j store.Job) store.Outcome {
			return store.Outcome{At: j.StartedAt, Status: ringback.Completed, Attempt: &ringback.Attempt{Outcome: ringback.AttemptAnswered}}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	before := size(t, s)
	for at := time.Now().Add(2 * time.Hour); ; {
		n, err := s.Prune(t.Context(), at, 1)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
	}
	if after := size(t, s); after > before/4 {
		t.Errorf("file: got %d bytes after deletion, %d before; want the space given back", after, before)
	}
}

// size returns the file's size once the log is in it.
func size(t *testing.T, s *Store) int64 {
	t.Helper()
	s.gate.Lock()
	defer s.gate.Unlock()
	if err := s.writer.checkpoint(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(s.file)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

func TestAnotherProgramThatHoldsTheFileIsNamed(t *testing.T) {
	s := open(t, t.TempDir())
	other, err := openWriter(t.Context(), s.file)
	if err != nil {
		t.Fatal(err)
	}
	defer other.close()
	tx, err := other.begin()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.writer.conn.ExecContext(t.Context(), "PRAGMA busy_timeout = 10"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Submit(t.Context(), running(t, 10)); !errors.Is(err, store.ErrBusy) {
		t.Errorf("Submit while another holds the file: got %v, want ErrBusy", err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Submit(t.Context(), running(t, 10)); err != nil {
		t.Errorf("Submit afterwards: %v", err)
	}
}
