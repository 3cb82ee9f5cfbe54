package live

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/google/uuid"
)

// Hub connects the code that moves jobs with the clients that watch them. The zero Hub is
// ready for use.
type Hub struct {
	mu       sync.Mutex
	watchers map[uuid.UUID]*watched
	logs     map[uuid.UUID]*sharedLog
	closed   bool
	tails    sync.WaitGroup
}

type watched struct {
	count int
	moved chan struct{} // closed at the next Publish
}

// sharedLog is a log with its users.
type sharedLog struct {
	log     *Log
	readers int
	writers int
	tail    Tail               // the last reader's
	end     context.CancelFunc // ends the tail that runs; nil: none does
	moved   bool               // the job has moved since the tail began
	rests   bool               // the tail has nothing to write until the job moves
	awaits  Await              // while it rests: what would move the job
}

// Tail fills the log of a job that no attempt of this process writes, until its context
// ends or there is nothing more to write before the job moves.
type Tail func(context.Context, *Log) Await

// Await is the move that readers of a job wait for while nothing can be written.
type Await uint8

// The moves that readers may wait for.
const (
	AwaitNothing Await = iota // the log is at its end
	AwaitBegin                // the job waits for an attempt
	AwaitEnd                  // the job runs, and its attempt has no events
)

// Watch returns a channel that is closed at the next Publish of the job. leave must be
// called when the caller no longer watches.
func (h *Hub) Watch(job uuid.UUID) (moved <-chan struct{}, leave func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.watchers == nil {
		h.watchers = map[uuid.UUID]*watched{}
	}
	w := h.watchers[job]
	if w == nil {
		w = &watched{moved: make(chan struct{})}
		h.watchers[job] = w
	}
	w.count++
	return w.moved, sync.OnceFunc(func() { h.leave(job, w) })
}

func (h *Hub) leave(job uuid.UUID, w *watched) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if w.count--; w.count == 0 && h.watchers[job] == w {
		delete(h.watchers, job)
	}
}

// Publish wakes everything that watches the job.
func (h *Hub) Publish(job uuid.UUID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if w := h.watchers[job]; w != nil {
		close(w.moved)
		delete(h.watchers, job)
	}
	if s := h.logs[job]; s != nil && (!s.rests || s.awaits != AwaitNothing) {
		s.moved, s.rests = true, false
		h.tailIfNeeded(s)
	}
}

// Watched returns the jobs that are watched, in no order.
func (h *Hub) Watched() []uuid.UUID {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Collect(maps.Keys(h.watchers))
}

// Open opens the log of a job for a reader. While the log has readers and no attempt of
// this process writes it, tail does: it runs at once, and again when the job has moved.
// leave must be called once; it returns how many readers are left.
func (h *Hub) Open(job uuid.UUID, tail Tail) (l *Log, leave func() (left int)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.logOf(job)
	s.readers++
	s.tail = tail
	h.tailIfNeeded(s)
	return s.log, func() int { return h.unread(job, s) }
}

// Present counts the caller among the readers of a job until leave is called. It is for
// callers that want the job's end, but none of its events.
func (h *Hub) Present(job uuid.UUID) (leave func() (left int)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.logOf(job)
	s.readers++
	return func() int { return h.unread(job, s) }
}

// OpenLocal opens the log of a job for a reader, as Open does, if an attempt of this
// process writes it. Otherwise it returns nil.
func (h *Hub) OpenLocal(job uuid.UUID) (l *Log, leave func() (left int)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.logs[job]
	if s == nil || s.writers == 0 {
		return nil, nil
	}
	s.readers++
	return s.log, func() int { return h.unread(job, s) }
}

func (h *Hub) unread(job uuid.UUID, s *sharedLog) (left int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s.readers--
	h.tailIfNeeded(s)
	h.tidy(job, s)
	return s.readers
}

// tailIfNeeded starts or ends the tail of a log: it has one exactly while it has readers
// and no writer. The caller holds the lock.
func (h *Hub) tailIfNeeded(s *sharedLog) {
	needed := s.readers > 0 && s.writers == 0 && s.tail != nil && !h.closed
	switch {
	case needed && s.end == nil && !s.rests:
		ctx, end := context.WithCancel(context.Background())
		s.end, s.moved = end, false
		tail := s.tail
		h.tails.Go(func() { h.run(ctx, s, tail) })
	case !needed && s.end != nil:
		s.end()
		s.end = nil
	}
}

// run runs a tail until it may rest.
func (h *Hub) run(ctx context.Context, s *sharedLog, tail Tail) {
	for {
		awaits := tail(ctx, s.log)
		h.mu.Lock()
		if ctx.Err() == nil && !s.moved {
			s.end()
			s.end, s.rests, s.awaits = nil, true, awaits
		}
		s.moved = s.moved && ctx.Err() != nil // another tail may run by then
		h.mu.Unlock()
		if ctx.Err() != nil {
			return
		}
	}
}

// Awaiting returns the jobs whose readers wait for a move, in no order.
func (h *Hub) Awaiting(what Await) (jobs []uuid.UUID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for job, s := range h.logs {
		if s.rests && s.awaits == what && s.readers > 0 && s.writers == 0 {
			jobs = append(jobs, job)
		}
	}
	return jobs
}

// OpenWriter opens the log of a job for an attempt, which writes it until done is called.
func (h *Hub) OpenWriter(job uuid.UUID) (l *Log, done func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.logOf(job)
	s.writers++
	s.rests = false
	s.log.setWritten(true)
	h.tailIfNeeded(s)
	return s.log, sync.OnceFunc(func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		s.writers--
		s.log.setWritten(s.writers > 0)
		h.tailIfNeeded(s)
		h.tidy(job, s)
	})
}

// Readers returns how many readers a job has.
func (h *Hub) Readers(job uuid.UUID) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s := h.logs[job]; s != nil {
		return s.readers
	}
	return 0
}

// logOf returns the log of a job. The caller holds the lock.
func (h *Hub) logOf(job uuid.UUID) *sharedLog {
	if h.logs == nil {
		h.logs = map[uuid.UUID]*sharedLog{}
	}
	s := h.logs[job]
	if s == nil {
		s = &sharedLog{log: NewLog(job.String())}
		h.logs[job] = s
	}
	return s
}

// tidy drops a log that has no users. The caller holds the lock.
func (h *Hub) tidy(job uuid.UUID, s *sharedLog) {
	if s.readers == 0 && s.writers == 0 && h.logs[job] == s {
		delete(h.logs, job)
		s.log.forgotten()
	}
}

// Close ends all tails and waits for them. Readers go on with what the logs have.
func (h *Hub) Close() {
	h.mu.Lock()
	h.closed = true
	for _, s := range h.logs {
		h.tailIfNeeded(s)
	}
	h.mu.Unlock()
	h.tails.Wait()
}
