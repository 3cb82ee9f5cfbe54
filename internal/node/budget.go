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
	freed chan struct{} // closed when bytes are given back; nil while nobody waits

	// overdraft is held by the one that may go beyond size.
	overdraft chan struct{}
}

func newBudget(size int64) *budget {
	return &budget{size: size, overdraft: make(chan struct{}, 1)}
}

// take takes n bytes if they are there.
func (b *budget) take(n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.taken(n)
}

// takeOrWait takes n bytes if they are there. Else it returns what is closed when
// some are given back.
func (b *budget) takeOrWait(n int64) (freed <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.taken(n) {
		return nil
	}
	if b.freed == nil {
		b.freed = make(chan struct{})
	}
	return b.freed
}

// taken is take for who holds the lock.
func (b *budget) taken(n int64) bool {
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
	if b.freed != nil {
		close(b.freed)
		b.freed = nil
	}
}

// full tells whether nothing new should be begun.
func (b *budget) full() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used >= b.size
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
		if s.overdrawn {
			s.force(int64(n))
			return nil
		}
		freed := s.b.takeOrWait(int64(n))
		if freed == nil {
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
	return func() {
		n.budget.give(bytes)
		bytes = 0 // a second call gives nothing
		poke(n.wakeJobs)
	}, nil
}
