package node

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringback/ringback/internal/store"
)

// inflightTries is which claims on deliveries this process has in hand: from before their
// commit, where it can be known, until they are settled. The zero value is empty.
type inflightTries struct {
	mu     sync.Mutex
	claims map[store.Ref]session
}

// take notes a claim.
func (h *inflightTries) take(claim store.Ref, l session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.claims == nil {
		h.claims = map[store.Ref]session{}
	}
	h.claims[claim] = l
}

// drop forgets a claim that is settled, or never came about.
func (h *inflightTries) drop(claim store.Ref) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.claims, claim)
}

func (h *inflightTries) has(claim store.Ref) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.claims[claim] != nil
}

// underway notes that a claim is asked for, until its end: what it brings is in
// nobody's hand before.
func underway(claim *atomic.Pointer[time.Time]) (over func()) {
	claim.Store(new(time.Now()))
	return func() { claim.Store(nil) }
}
