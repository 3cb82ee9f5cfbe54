// Package hub knows who is watching which job, and tells them when it moves.
//
// It keeps nothing: whoever watches looks at the store first, then waits, then
// looks again. A publisher never waits for a watcher. It is of one process: what
// other nodes move is published here by whoever hears of it.
package hub

import (
	"maps"
	"slices"
	"sync"

	"github.com/google/uuid"
)

// Hub connects those who end jobs with those who wait for them. The zero Hub is
// ready for use.
type Hub struct {
	mu       sync.Mutex
	watchers map[uuid.UUID]*watched
}

type watched struct {
	count int
	moved chan struct{} // closed at the next Publish
}

// Watch returns a channel that is closed at the next Publish of the job. leave
// must be called when the watcher has had enough.
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

// Publish wakes all who watch the job.
func (h *Hub) Publish(job uuid.UUID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if w := h.watchers[job]; w != nil {
		close(w.moved)
		delete(h.watchers, job)
	}
}

// Watched are the jobs that somebody watches, in no order.
func (h *Hub) Watched() []uuid.UUID {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Collect(maps.Keys(h.watchers))
}
