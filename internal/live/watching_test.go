package live

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/clock"
	"github.com/ringback/ringback/internal/memory"
	"github.com/ringback/ringback/internal/metrics"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/supervise"
)

// oneJob is a store with one job.
type oneJob struct {
	Store

	mu     sync.Mutex
	job    store.Job
	events []byte
	large  bool  // the events are read by themselves
	err    error // of the next reads of the job
}

func (s *oneJob) Job(context.Context, string, uuid.UUID, store.Parts) (store.Job, store.Content, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.job, store.Content{}, s.err
}

func (s *oneJob) Content(context.Context, uuid.UUID, store.Parts) (store.Content, error) {
	if s.large {
		return store.Content{Left: map[store.Parts]int64{store.PartEvents: int64(len(s.events))}}, nil
	}
	return store.Content{Events: s.events}, nil
}

func (s *oneJob) Blob(context.Context, uuid.UUID, store.Parts) (store.Blob, error) {
	return store.Blob{Bytes: s.events}, nil
}

func (s *oneJob) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// end ends the job. It can be read again.
func (s *oneJob) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err, s.job.Status, s.job.Node = nil, ringback.Completed, ""
}

// alone is the session of a node that has no peers.
type alone struct{ Session }

func (alone) ID() string          { return "here" }
func (alone) URLOf(string) string { return "" }
func (alone) PeerURLs() []string  { return nil }
func (alone) HasPeers() bool      { return false }
func (alone) Alive() int          { return 1 }

// room is a Watching of one job.
type room struct {
	*Watching

	store     *oneJob
	id        uuid.UUID
	group     errgroup.Group
	cancelled chan struct{} // has an entry for each cancel
}

// newRoom returns a room for a test in a synctest bubble.
func newRoom(t *testing.T, j store.Job) *room {
	t.Helper()
	calls, end := context.WithCancel(t.Context())
	r := &room{store: &oneJob{job: j}, id: j.ID, cancelled: make(chan struct{}, 10)}
	logger := slog.New(slog.DiscardHandler)
	c, counters := new(clock.Clock), metrics.NewNode(nil)
	supervisor := supervise.New(supervise.Config{
		Logger: logger, Clock: c, Disk: supervise.NewDisk(supervise.DiskConfig{Logger: logger}),
		Panics: counters.Panics, Shortages: counters.Shortages, NoLease: func(error) bool { return false },
	})
	r.Watching = New(Config{
		Hub: new(Hub), Tokens: NewTokens(TokensConfig{Clock: c}), Store: r.store, Clock: c, Supervisor: supervisor, Logger: logger,
		Session: func() Session { return alone{} }, Reads: memory.New(1 << 30), RowsKept: time.Hour, Calls: calls, Group: &r.group,
		Ended: func(context.Context, string, uuid.UUID) (ringback.Job, bool, error) {
			return ringback.Job{ID: j.ID.String(), Status: j.Status}, false, nil
		},
		Cancel: func(context.Context, string, uuid.UUID) error {
			r.cancelled <- struct{}{}
			return nil
		},
	})
	t.Cleanup(func() {
		r.Stop()
		end()
		_ = r.group.Wait()
		r.Close()
	})
	return r
}

func (r *room) open(t *testing.T) *Stream {
	t.Helper()
	s, err := r.Stream(t.Context(), "a project", r.id.String(), ringback.EventID{}, false)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// read reads a stream to its end.
func read(t *testing.T, s *Stream) (types []ringback.EventType, err error) {
	t.Helper()
	for {
		if err := s.Wait(t.Context()); err != nil {
			return types, err
		}
		events, err := s.Ready()
		if err != nil {
			return types, err
		}
		for _, e := range events {
			types = append(types, e.Type)
			s.Advance(&e)
		}
	}
}

func TestAStreamOfAJobThatHasEndedHasItsStoredEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLog("a-job")
		l.Add(1, ringback.StreamEvent{Type: ringback.EventStarted})
		l.Delta(1, ringback.Delta{Kind: ringback.DeltaText, Text: "Hello"})
		r := newRoom(t, store.Job{ID: uuid.New(), Status: ringback.Completed, Fence: 1, Options: store.Options{Stream: true}})
		r.store.events = l.Encode()
		s := r.open(t)
		defer s.Close()
		types, err := read(t, s)
		want := []ringback.EventType{ringback.EventQueued, ringback.EventStarted, ringback.EventDelta, ringback.EventCompleted}
		if !errors.Is(err, io.EOF) || len(types) != len(want) || types[3] != want[3] || !s.Over() {
			t.Errorf("got %q and %v, want %q", types, err, want)
		}
		if after := s.After(); after != (ringback.EventID{Attempt: 1, Number: 4}) {
			t.Errorf("the end: got %s, want 1-4", after)
		}
	})
}

// A retry has the events of earlier attempts in memory. They count as memory for reads; if
// there is none, the retry goes on without them.
func TestEventsOfEarlierAttemptsTakeMemoryForReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLog("a-job")
		l.Add(1, ringback.StreamEvent{Type: ringback.EventStarted})
		l.Delta(1, ringback.Delta{Kind: ringback.DeltaText, Text: strings.Repeat("x", 1<<20)})
		j := store.Job{ID: uuid.New(), Status: ringback.Running, Node: "here", Fence: 2, Options: store.Options{Stream: true}}
		r := newRoom(t, j)
		r.store.events, r.store.large = l.Encode(), true

		log, done := r.hub.OpenWriter(j.ID)
		log.OnForget(r.loadEarlierEvents(log, &j).Release)
		if used := r.cfg.Reads.Used(); log.Size() < 1<<20 || used < 1<<20 {
			t.Errorf("a log of %d bytes takes %d of the memory for reads, want all of it", log.Size(), used)
		}
		done()
		synctest.Wait()
		if used := r.cfg.Reads.Used(); used != 0 {
			t.Errorf("after the attempt: %d bytes are taken", used)
		}

		w := r.OpenWriter(&j)
		if size, used := w.log.Size(), r.cfg.Reads.Used(); used > size {
			t.Errorf("once the text is gone: a log of %d bytes takes %d of the memory for reads", size, used)
		}
		w.End()
		synctest.Wait()

		full := r.cfg.Reads.Grant()
		full.Force(r.cfg.Reads.Size())
		defer full.Release()
		log, done = r.hub.OpenWriter(j.ID)
		defer done()
		r.loadEarlierEvents(log, &j)
		if size := log.Size(); size > 64<<10 {
			t.Errorf("without memory: the log has %d bytes", size)
		}
	})
}

func TestAStreamGoesOnWhenItsStoreCanBeReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t, store.Job{ID: uuid.New(), Status: ringback.Running, Node: "elsewhere", Fence: 1, Options: store.Options{Stream: true}})
		s := r.open(t)
		defer s.Close()
		r.store.fail(store.ErrUnavailable)
		time.Sleep(time.Minute)
		r.store.end()
		if types, err := read(t, s); !errors.Is(err, io.EOF) || len(types) != 2 || types[1] != ringback.EventCompleted {
			t.Errorf("got %q and %v, want the first event and the end", types, err)
		}
	})
}

func TestAStreamOfAJobThatIsGoneFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t, store.Job{ID: uuid.New(), Status: ringback.Queued})
		s := r.open(t)
		defer s.Close()
		synctest.Wait()
		r.store.fail(store.ErrNotFound)
		r.hub.Publish(r.id)
		_, err := read(t, s)
		if missing := new(ringback.Error); !errors.As(err, &missing) || missing.Code != ringback.NotFound {
			t.Errorf("got %v, want not found", err)
		}
	})
}

func TestAJobIsCancelledWhenItsLastReaderHasLeftForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t, store.Job{
			ID: uuid.New(), Status: ringback.Running, Node: "here", Options: store.Options{OnDisconnect: ringback.DisconnectCancel},
		})
		first, second := r.open(t), r.open(t)
		first.Close()
		time.Sleep(2 * goneFor)
		if len(r.cancelled) != 0 {
			t.Fatal("the job was cancelled while it had a reader")
		}
		second.Close()
		time.Sleep(goneFor / 2)
		back := r.open(t)
		time.Sleep(goneFor)
		if len(r.cancelled) != 0 {
			t.Fatal("the job was cancelled though a reader came back")
		}
		back.Close()
		time.Sleep(goneFor / 2)
		r.open(t).Close()
		time.Sleep(goneFor - time.Millisecond)
		if len(r.cancelled) != 0 {
			t.Fatal("the job was cancelled sooner after the last reader had left")
		}
		time.Sleep(2 * time.Millisecond)
		if len(r.cancelled) != 1 {
			t.Errorf("cancels: got %d, want one", len(r.cancelled))
		}
	})
}

// A node that can't be asked may have readers, or be dead, which is known a little later.
func TestAJobIsCancelledOnceANodeThatCanNotBeAskedIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t, store.Job{
			ID: uuid.New(), Status: ringback.Queued, Options: store.Options{OnDisconnect: ringback.DisconnectCancel},
		})
		session := &withDeadPeer{}
		r.cfg.Session = func() Session { return session }
		r.open(t).Close()
		time.Sleep(3 * goneFor)
		if len(r.cancelled) != 0 {
			t.Fatal("the job was cancelled though a node that may have readers can't be asked")
		}
		session.gone.Store(true)
		time.Sleep(goneFor)
		if len(r.cancelled) != 1 {
			t.Errorf("cancels: got %d, want one", len(r.cancelled))
		}
	})
}

// withDeadPeer is the session of a node with a peer that can't be reached, until it is gone.
type withDeadPeer struct {
	alone

	gone atomic.Bool
}

func (s *withDeadPeer) PeerURLs() []string {
	if s.gone.Load() {
		return nil
	}
	return []string{"http://127.0.0.1:1"}
}

func TestANodeThatStopsCancelsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t, store.Job{
			ID: uuid.New(), Status: ringback.Running, Node: "here", Options: store.Options{OnDisconnect: ringback.DisconnectCancel},
		})
		early, late := r.open(t), r.open(t)
		early.Close()
		late.Close()
		r.Stop()
		r.open(t).Close()
		time.Sleep(2 * goneFor)
		if len(r.cancelled) != 0 {
			t.Errorf("cancels: got %d, want none", len(r.cancelled))
		}
	})
}
