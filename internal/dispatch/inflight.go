package dispatch

import (
	"context"
	"errors"
	"sync"

	"github.com/ringback/ringback/internal/outcome"
	"github.com/ringback/ringback/internal/store"
)

// ErrDrain ends calls that outlast the drain.
var ErrDrain = errors.New("the node is stopping")

// errCancelled ends the call of a job that was cancelled.
var errCancelled = errors.New("the job was cancelled")

// Inflight knows which attempts are in flight in this process, and ends their calls. It is
// safe for concurrent use.
type Inflight struct {
	mu       sync.Mutex
	attempts map[store.Ref]*attempting
	// cancelled are attempts whose cancel came before they were known here.
	cancelled map[store.Ref]bool
	// drained are the results of the attempts that the drain ended, for the one
	// transaction that frees them.
	drained map[store.Ref]outcome.Result
}

// attempting is an attempt from its claim until its settle has ended.
type attempting struct {
	session     Session
	uncommitted bool                    // it is being stored: nobody knows yet whether it is one
	end         context.CancelCauseFunc // of its call; nil before
	cause       error                   // what ends the call when it begins
}

func newInflight() *Inflight {
	return &Inflight{
		attempts:  map[store.Ref]*attempting{},
		cancelled: map[store.Ref]bool{},
		drained:   map[store.Ref]outcome.Result{},
	}
}

// startNow makes an attempt known that is about to be stored as claimed.
func (r *Inflight) startNow(attempt store.Ref, s Session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.attempts[attempt] = &attempting{session: s, uncommitted: true}
}

// start makes an attempt known that is stored.
func (r *Inflight) start(attempt store.Ref, s Session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.attempts[attempt]
	if a == nil {
		a = &attempting{session: s}
		r.attempts[attempt] = a
	}
	a.uncommitted = false
	if r.cancelled[attempt] {
		a.stop(errCancelled)
	}
}

// enter makes the call of an attempt known.
func (r *Inflight) enter(attempt store.Ref, end context.CancelCauseFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.attempts[attempt]
	if a.end = end; a.cause != nil {
		end(a.cause)
	}
}

// leave forgets an attempt that is settled, or never came about.
func (r *Inflight) leave(attempt store.Ref) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.attempts, attempt)
	delete(r.cancelled, attempt)
}

// Stop ends the call of an attempt, or the one that is about to begin.
func (r *Inflight) Stop(attempt store.Ref, cause error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a := r.attempts[attempt]; a != nil {
		a.stop(cause)
	}
}

// Cancel stops an attempt because its job was cancelled.
func (r *Inflight) Cancel(attempt store.Ref) { r.Stop(attempt, errCancelled) }

// stop ends the call, or the one that is about to begin. The caller holds the lock.
func (a *attempting) stop(cause error) {
	if a.end != nil {
		a.end(cause)
	} else if a.cause == nil {
		a.cause = cause
	}
}

// cancelNowOrLater is Cancel, also of an attempt whose claim is committed but not known
// here yet.
func (r *Inflight) cancelNowOrLater(attempt store.Ref) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a := r.attempts[attempt]; a != nil {
		a.stop(errCancelled)
		return
	}
	r.cancelled[attempt] = true
}

// ForgetCancel forgets that an attempt was to be cancelled: it was settled before the
// cancel reached its call.
func (r *Inflight) ForgetCancel(attempt store.Ref) { r.leave(attempt) }

// drain keeps the result of an attempt that the drain ended.
func (r *Inflight) drain(attempt store.Ref, res outcome.Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.drained[attempt] = res
}

// Has reports whether an attempt is in flight.
func (r *Inflight) Has(attempt store.Ref) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.attempts[attempt] != nil
}

// Started lists the attempts of a session that are stored.
func (r *Inflight) Started(s Session) (all []store.Ref) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for ref, a := range r.attempts {
		if a.session == s && !a.uncommitted {
			all = append(all, ref)
		}
	}
	return all
}

// Forget forgets the cancels of attempts that are not held, and so won't come.
func (r *Inflight) Forget(held map[store.Ref]bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for ref := range r.cancelled {
		if !held[ref] {
			delete(r.cancelled, ref)
		}
	}
}

// Count returns how many attempts run.
func (r *Inflight) Count() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range r.attempts {
		if !a.uncommitted {
			n++
		}
	}
	return n
}

// Remembered returns how many attempts and cancels are known: none once all are settled.
func (r *Inflight) Remembered() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.attempts) + len(r.cancelled)
}
