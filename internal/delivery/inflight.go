package delivery

import (
	"sync"

	"github.com/ringback/ringback/internal/store"
)

// inflight holds the claims on deliveries that this process knows: from before their commit,
// where they are known by then, until they are settled. The zero value is empty.
type inflight struct {
	mu     sync.Mutex
	claims map[store.Ref]struct{}
}

// enter records a claim.
func (f *inflight) enter(claim store.Ref) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.claims == nil {
		f.claims = map[store.Ref]struct{}{}
	}
	f.claims[claim] = struct{}{}
}

// leave forgets a claim that is settled, or was never made.
func (f *inflight) leave(claim store.Ref) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.claims, claim)
}

func (f *inflight) has(claim store.Ref) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, ok := f.claims[claim]
	return ok
}
