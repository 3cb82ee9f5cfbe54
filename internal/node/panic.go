package node

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/ringback/ringback/internal/outcome"
	"github.com/ringback/ringback/internal/store"
)

// errPanic is the error of a step that panicked. It has been logged.
var errPanic = errors.New("panic")

// guarded runs a step. A panic ends that step alone: it is logged with its stack, counted
// and returned as an error.
func (n *Node) guarded(step string, do func() error, attrs ...any) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = n.panicked(step, v, attrs...)
		}
	}()
	return do()
}

// panicked logs and counts a panic that was recovered. It is called by the deferred
// function that did so, while the stack is still there.
func (n *Node) panicked(step string, v any, attrs ...any) error {
	n.metrics.panics.Inc()
	n.log.Error("panic", append([]any{"step", step, "panic", fmt.Sprint(v), "stack", string(debug.Stack())}, attrs...)...)
	return fmt.Errorf("%w in %s: %v", errPanic, step, v)
}

// keepHouse runs a step of a loop that goes on whatever becomes of it.
func (n *Node) keepHouse(ctx context.Context, step string, do func() error) {
	n.logLoopError(ctx, step, n.guarded(step, do))
}

// careful is a Decide whose panic ends the job that it is about, and no other that shares
// its transaction.
func (n *Node) careful(decide store.Decide) store.Decide {
	return func(j store.Job) (o store.Outcome) {
		defer func() {
			if v := recover(); v != nil {
				_ = n.panicked("decide about a job", v, "job_id", j.ID, "attempt", j.Fence)
				o = n.quarantined(j, n.clock.Stamped())
			}
		}()
		return decide(j)
	}
}

// quarantined ends a job that can't be decided about. If even its webhook makes us panic,
// it has none.
func (n *Node) quarantined(j store.Job, now time.Time) (o store.Outcome) {
	plain := outcome.Quarantine(j, now)
	defer func() {
		if v := recover(); v != nil {
			_ = n.panicked("make the webhook of a job", v, "job_id", j.ID)
			o = plain
		}
	}()
	return n.conclude(j, plain)
}
