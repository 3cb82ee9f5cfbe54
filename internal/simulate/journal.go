package simulate

import (
	"context"
	"fmt"
	"sync"
)

// journal is a list that can be waited on: for tests that wait for an event instead of a
// time.
type journal[T any] struct {
	mu      sync.Mutex
	entries []T
	changed chan struct{} // closed at the next change; nil: nobody waits
}

// write changes the entries and wakes the waiters.
func (j *journal[T]) write(change func(entries []T) []T) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries = change(j.entries)
	if j.changed != nil {
		close(j.changed)
		j.changed = nil
	}
}

// read copies the entries.
func (j *journal[T]) read() []T {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]T(nil), j.entries...)
}

// wait blocks until enough, which is called with the lock held, reports true for the
// entries, or the context ends.
func (j *journal[T]) wait(ctx context.Context, enough func(entries []T) bool) error {
	for {
		changed, ok := j.look(enough)
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("wait for the simulation: %w", context.Cause(ctx))
		}
	}
}

func (j *journal[T]) look(enough func(entries []T) bool) (changed <-chan struct{}, ok bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if enough(j.entries) {
		return nil, true
	}
	if j.changed == nil {
		j.changed = make(chan struct{})
	}
	return j.changed, false
}
