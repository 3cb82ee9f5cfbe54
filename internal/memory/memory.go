// Package memory limits how much memory the large things of a process take
// together: bodies, answers, webhooks. Bytes are charged at what their life really
// costs, before they are allocated, and given back when they die.
package memory

import (
	"context"
	"sync"
)

// A Budget is a number of bytes that many share. A part of it is kept for small
// charges, so that they pass while large ones wait.
type Budget struct {
	size int64
	// Charges above the largest tier may take large bytes together; the rest is for the
	// others, a part for each tier and those below it.
	large int64
	tiers [tiers]int64 // the largest charge of each, the largest first

	mu     sync.Mutex
	used   int64
	beyond int64         // taken by grants that overdraw: only large charges wait for it
	freed  chan struct{} // closed when bytes are given back; nil while nobody waits

	// overdraft is held by the one grant that may go beyond size. Budgets may share it.
	overdraft chan struct{}
}

// keptPart is the part of a budget that is kept for small charges. It has tiers, so that
// what is on its way to become large does not fill it all: the largest charge of each tier
// is a quarter of the one above it.
const (
	keptPart = 8
	tiers    = 4
	// Small is the largest charge that counts as small: what 64 KiB cost at most.
	Small = 512 << 10
	// smallPart bounds a small charge in a small budget.
	smallPart = 64
)

// New returns a budget of size bytes.
func New(size int64) *Budget {
	b := &Budget{size: size, large: size - size/keptPart, overdraft: make(chan struct{}, 1)}
	for i := range b.tiers {
		b.tiers[i] = min(Small, size/smallPart) >> (2 * i)
	}
	return b
}

// NewBeside returns a budget of size bytes that overdraws in turn with b: of the grants
// of both together, one at a time may go beyond its budget.
func NewBeside(b *Budget, size int64) *Budget {
	beside := New(size)
	beside.overdraft = b.overdraft
	return beside
}

// Size returns how many bytes there are.
func (b *Budget) Size() int64 { return b.size }

// Largest returns the largest charge that can ever be taken.
func (b *Budget) Largest() int64 { return b.large }

// Used returns how many bytes are taken.
func (b *Budget) Used() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used + b.beyond
}

// Full reports whether nothing new should be begun.
func (b *Budget) Full() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used >= b.size
}

// Crowded reports whether a large charge has no room.
func (b *Budget) Crowded() bool { return b.Used() >= b.large }

// Take takes n bytes if there is room for them.
func (b *Budget) Take(n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.take(n, n)
}

// TakeOrWait takes n bytes if there is room for them. Otherwise it returns a
// channel that is closed when bytes are given back.
func (b *Budget) TakeOrWait(n int64) (freed <-chan struct{}) {
	return b.takeOrWait(n, n)
}

func (b *Budget) takeOrWait(n, whole int64) (freed <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.take(n, whole) {
		return nil
	}
	if b.freed == nil {
		b.freed = make(chan struct{})
	}
	return b.freed
}

// take takes n bytes for a charge that is whole bytes with them. The caller holds the lock.
func (b *Budget) take(n, whole int64) bool {
	if b.used+n > b.room(whole) {
		return false
	}
	b.used += n
	return true
}

// room returns how many bytes may be used once a charge of whole bytes is taken.
func (b *Budget) room(whole int64) int64 {
	if whole > b.tiers[0] {
		return b.large - b.beyond
	}
	room := b.large
	for _, largest := range b.tiers {
		if whole <= largest {
			room += (b.size - b.large) / tiers
		}
	}
	if whole <= b.tiers[tiers-1] {
		return b.size
	}
	return room
}

// Give gives bytes back.
func (b *Budget) Give(n int64) { b.give(n, 0) }

func (b *Budget) give(n, beyond int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
	b.beyond -= beyond
	if b.freed != nil {
		close(b.freed)
		b.freed = nil
	}
}

// A Grant is what one user has taken of a budget. It is not for several goroutines
// at once.
type Grant struct {
	budget    *Budget
	taken     int64
	beyond    int64 // of these
	overdrawn bool
}

// Grant returns an empty grant.
func (b *Budget) Grant() *Grant { return &Grant{budget: b} }

// Taken returns how many bytes the grant has.
func (g *Grant) Taken() int64 { return g.taken }

// Take takes n bytes more if there is room for them.
func (g *Grant) Take(n int64) bool {
	g.budget.mu.Lock()
	defer g.budget.mu.Unlock()
	if !g.budget.take(n, g.taken+n) {
		return false
	}
	g.taken += n
	return true
}

// Grow takes n bytes more and waits for them if need be. Those who all wait for each
// other would wait for ever, so one grant at a time may overdraw its budget.
func (g *Grant) Grow(ctx context.Context, n int64) error {
	for !g.overdrawn {
		freed := g.budget.takeOrWait(n, g.taken+n)
		if freed == nil {
			g.taken += n
			return nil
		}
		select {
		case g.budget.overdraft <- struct{}{}:
			g.overdrawn = true
		case <-freed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	g.Force(n)
	return nil
}

// Force takes n bytes more in any case: they are allocated already.
func (g *Grant) Force(n int64) {
	b := g.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	g.taken += n
	if g.overdrawn && n > 0 {
		g.beyond += n
		b.beyond += n
		return
	}
	b.used += n
}

// Release gives everything back. A second call does nothing.
func (g *Grant) Release() {
	g.Shrink(0)
	if g.overdrawn {
		g.overdrawn = false
		<-g.budget.overdraft
	}
}

// Shrink gives back all but n bytes, first those that are beyond the budget.
func (g *Grant) Shrink(n int64) {
	over := g.taken - n
	if over <= 0 {
		return
	}
	beyond := min(over, g.beyond)
	g.budget.give(over-beyond, beyond)
	g.taken, g.beyond = n, g.beyond-beyond
}
