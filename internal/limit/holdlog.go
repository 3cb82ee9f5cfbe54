package limit

import (
	"log/slog"
	"sync"
	"time"
)

// HoldLog logs when holds begin and end. Gates do not log: many calls report to one at the
// same time, so HoldLog compares what it has logged with the gate's state. K identifies a
// gate. The zero value is ready for use.
type HoldLog[K comparable] struct {
	mu    sync.Mutex
	since map[K]time.Time // of the holds whose beginning was logged
}

// Record compares and logs. g is nil if the gate is gone, and its hold with it.
func (h *HoldLog[K]) Record(log *slog.Logger, of K, g *Gate, attrs ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var until time.Time
	var reason string
	var held bool
	if g != nil {
		until, reason, held = g.Held()
	}
	since, recorded := h.since[of]
	switch {
	case held && !recorded:
		if h.since == nil {
			h.since = map[K]time.Time{}
		}
		h.since[of] = time.Now()
		log.Warn("calls are held back", append(attrs, "reason", reason, "until", until)...)
	case recorded && !held:
		delete(h.since, of)
		log.Info("calls are no longer held back", append(attrs, "ms", time.Since(since).Milliseconds())...)
	}
}

// NothingFor reports whether there is nothing to compare: the gate has no hold, and none of
// its holds is logged as begun. It is nearly always true, and costs next to nothing.
func (h *HoldLog[K]) NothingFor(g *Gate) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if g == nil {
		return len(h.since) == 0
	}
	_, _, held := g.Held()
	return !held && len(h.since) == 0
}

// Begun returns the holds whose end is still to be logged.
func (h *HoldLog[K]) Begun() (all []K) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for of := range h.since {
		all = append(all, of)
	}
	return all
}
