package node

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/backoff"
	"github.com/ringback/ringback/internal/store"
)

// outage is a spell in which the store can't be reached: a line when it begins and
// one when it is over, however often the loops try meanwhile.
type outage struct {
	mu      sync.Mutex
	since   time.Time       // zero: there is none
	failing map[string]bool // the steps whose last run failed
}

// note notes how a step went, and tells what begins or ends with it.
func (o *outage) note(step string, failed bool) (begins bool, over time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case failed && len(o.failing) == 0:
		o.failing, o.since, begins = map[string]bool{step: true}, time.Now(), true
	case failed:
		o.failing[step] = true
	case o.failing[step]:
		if delete(o.failing, step); len(o.failing) == 0 {
			over = time.Since(o.since)
		}
	}
	return begins, over
}

// outOfReach tells whether a step of a loop failed since the store can't be reached.
// It is told here, once; the loop goes on trying.
func (n *Node) outOfReach(step string, err error) bool {
	failed := errors.Is(err, store.ErrUnavailable)
	begins, over := n.outage.note(step, failed)
	if begins {
		n.log.Warn("the database can't be reached: running calls go on, nothing new is begun", "step", step, "err", err)
	}
	if over > 0 {
		n.log.Info("the database is reached again", "ms", over.Milliseconds())
	}
	return failed
}

// reached ends an outage: the store has just renewed a lease. A step that still
// fails begins another one.
func (n *Node) reached() {
	if over := n.outage.end(); over > 0 {
		n.log.Info("the database is reached again", "ms", over.Milliseconds())
	}
}

func (o *outage) end() (over time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.failing) > 0 {
		over = time.Since(o.since)
		clear(o.failing)
	}
	return over
}

// heldDatabase is a spell in which another program holds the database: a line when it begins and
// one when it is over.
type heldDatabase struct{ since atomic.Int64 } // milliseconds since 1970; 0: it is not held

// stepExpire is the step that finds out whether the database is held no more: it writes
// each second, and waits for no row that another one has locked.
const stepExpire = "expire jobs"

// isHeld reports whether a step of a loop failed since another program holds the
// database. It is logged here, once; the loop goes on trying.
func (n *Node) isHeld(step string, err error) bool {
	if err == nil && step == stepExpire {
		if since := n.held.since.Swap(0); since > 0 {
			n.log.Info("the database is not held any more", "ms", time.Now().UnixMilli()-since)
		}
	}
	if !errors.Is(err, store.ErrBusy) {
		return false
	}
	if n.held.since.CompareAndSwap(0, time.Now().UnixMilli()) {
		n.log.Warn("another program holds the database: nothing can be stored until it lets go", "step", step, "err", err)
	}
	return true
}

// retryUntil repeats a step of the start until it succeeds, as long as it fails since
// the store can't be reached: a process that ends then is only started again.
func (n *Node) retryUntil(ctx context.Context, step string, do func() error) error {
	const first, most = 250 * time.Millisecond, 4 * time.Second
	for pause := first; ; pause = min(2*pause, most) {
		err := do()
		if !n.outOfReach(step, err) && !n.isHeld(step, err) && !errors.Is(err, store.ErrUnknown) {
			return err
		}
		if !backoff.Sleep(ctx, backoff.Jitter(pause, backoff.Half)) {
			return ctx.Err()
		}
	}
}

// Refusal is the error for users where the store can't take or find anything for
// now; nil for any other error.
func Refusal(err error) *ringback.Error {
	const again = 5
	switch {
	case errors.Is(err, store.ErrBusy):
		return &ringback.Error{Code: ringback.Unavailable, Message: "another program holds the server's database, or a part of it; try again in a moment", RetryAfterSeconds: again}
	case errors.Is(err, store.ErrFull):
		return &ringback.Error{Code: ringback.Unavailable, Message: "the server's disk is full; try again later", RetryAfterSeconds: 30}
	case errors.Is(err, store.ErrClosed):
		return &ringback.Error{Code: ringback.Unavailable, Message: "the server is stopping; try again in a moment", RetryAfterSeconds: again}
	case errors.Is(err, store.ErrUnavailable):
		return &ringback.Error{Code: ringback.Unavailable, Message: "the database can't be reached; try again in a moment", RetryAfterSeconds: again}
	case errors.Is(err, store.ErrUnknown):
		return &ringback.Error{Code: ringback.Unavailable, RetryAfterSeconds: again, Message: "the database was lost in the middle of this: " +
			"it may be done or not; try again in a moment, a new job with the same Idempotency-Key, so that it is not made twice"}
	}
	return nil
}
