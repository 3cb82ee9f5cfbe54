package node

import (
	"context"
	"sync"

	"github.com/ringback/ringback/internal/outcome"
	"github.com/ringback/ringback/internal/store"
)

// inflight is which attempts this process has in hand, and how to end their calls.
type inflight struct {
	mu       sync.Mutex
	attempts map[store.Ref]*attempting
	// cancelled are attempts that a cancel found before they were here.
	cancelled map[store.Ref]bool
	// stopped are the attempts that the drain ended, for the one transaction
	// that frees them.
	stopped map[store.Ref]outcome.Result
}

// attempting is an attempt from its claim until its settle has ended.
type attempting struct {
	session     session
	uncommitted bool                    // it is being stored: nobody knows yet whether it is one
	end         context.CancelCauseFunc // of its call; nil before
	cause       error                   // what ends the call when it begins
}

func (r *inflight) init() {
	r.attempts = map[store.Ref]*attempting{}
	r.cancelled = map[store.Ref]bool{}
	r.stopped = map[store.Ref]outcome.Result{}
}

// startNow makes an attempt known that is about to be stored as claimed.
func (r *inflight) startNow(attempt store.Ref, l session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.attempts[attempt] = &attempting{session: l, uncommitted: true}
}

// start makes an attempt known that is stored.
func (r *inflight) start(attempt store.Ref, l session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.attempts[attempt]
	if a == nil {
		a = &attempting{session: l}
		r.attempts[attempt] = a
	}
	a.uncommitted = false
	if r.cancelled[attempt] {
		a.stop(errCancelled)
	}
}

// enter makes the call of an attempt known.
func (r *inflight) enter(attempt store.Ref, end context.CancelCauseFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.attempts[attempt]
	if a.end = end; a.cause != nil {
		end(a.cause)
	}
}

// leave forgets an attempt that is settled, or never came about.
func (r *inflight) leave(attempt store.Ref) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.attempts, attempt)
	delete(r.cancelled, attempt)
}

// stop ends the call of an attempt, or the one that is about to begin.
func (r *inflight) stop(attempt store.Ref, cause error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a := r.attempts[attempt]; a != nil {
		a.stop(cause)
	}
}

// stop ends the call, or the one that is about to begin. The caller holds the lock.
func (a *attempting) stop(cause error) {
	if a.end != nil {
		a.end(cause)
	} else if a.cause == nil {
		a.cause = cause
	}
}

// cancel ends the call of an attempt, also where its claim is committed and not
// heard of here yet.
func (r *inflight) cancel(attempt store.Ref) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a := r.attempts[attempt]; a != nil {
		a.stop(errCancelled)
		return
	}
	r.cancelled[attempt] = true
}

// drained keeps what an attempt had brought that the drain ended.
func (r *inflight) drained(attempt store.Ref, res outcome.Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped[attempt] = res
}

func (r *inflight) has(attempt store.Ref) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.attempts[attempt] != nil
}

// started are the attempts of a session that are stored.
func (r *inflight) started(l session) (all []store.Ref) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for ref, a := range r.attempts {
		if a.session == l && !a.uncommitted {
			all = append(all, ref)
		}
	}
	return all
}

// forget forgets the cancels of attempts that are not held, and so are not to come.
func (r *inflight) forget(held map[store.Ref]bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for ref := range r.cancelled {
		if !held[ref] {
			delete(r.cancelled, ref)
		}
	}
}

// count is how many attempts run.
func (r *inflight) count() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range r.attempts {
		if !a.uncommitted {
			n++
		}
	}
	return n
}
