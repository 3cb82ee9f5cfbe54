package node

import (
	"context"
	"sync"
)

// budget is the memory that bodies being read and answers being assembled may
// take together. A submit that does not fit is refused; a claim waits; an
// answer that grows waits too, which holds its provider up. So that answers
// which all wait for each other can't stand still for ever, one of them at a
// time may overdraw.
type budget struct {
	size int64

	mu    sync.Mutex
	used  int64
	freed chan struct{} // closed and replaced when bytes are given back

	// overdraft is held by the one that may go beyond size.
	overdraft chan struct{}
}

func newBudget(size int64) *budget {
	return &budget{size: size, freed: make(chan struct{}), overdraft: make(chan struct{}, 1)}
}

// take takes n bytes if they are there.
func (b *budget) take(n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.used+n > b.size {
		return false
	}
	b.used += n
	return true
}

func (b *budget) give(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
	close(b.freed)
	b.freed = make(chan struct{})
}

// full tells whether nothing new should be begun.
func (b *budget) full() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used >= b.size
}

func (b *budget) wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.freed
}

// share is what one answer has taken of the budget.
type share struct {
	b         *budget
	taken     int64
	overdrawn bool
}

// grow takes n bytes more, waiting for them if need be.
func (s *share) grow(ctx context.Context, n int) error {
	for {
		freed := s.b.wait()
		if s.overdrawn {
			s.force(int64(n))
			return nil
		}
		if s.b.take(int64(n)) {
			s.taken += int64(n)
			return nil
		}
		select {
		case s.b.overdraft <- struct{}{}:
			s.overdrawn = true
		case <-freed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (s *share) force(n int64) {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	s.b.used += n
	s.taken += n
}

// release gives all back.
func (s *share) release() {
	s.b.give(s.taken)
	s.taken = 0
	if s.overdrawn {
		s.overdrawn = false
		<-s.b.overdraft
	}
}

// Reserve takes bytes of the memory for a body that is about to be read; they
// must be given back by release. The error is the user's: unavailable.
func (n *Node) Reserve(bytes int64) (release func(), err error) {
	if !n.budget.take(bytes) {
		return nil, n.refuse(refusedMemory, "the server is reading as much as its memory allows; try again in a moment", 2)
	}
	return sync.OnceFunc(func() {
		n.budget.give(bytes)
		poke(n.wakeJobs)
	}), nil
}
