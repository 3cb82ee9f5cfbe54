// Package memory limits how much memory the large things of a process take together:
// bodies, answers, webhooks. Bytes are charged at their real cost, before they are
// allocated, and returned when they are freed.
package memory

import (
	"context"
	"sync"
)

// A Pool is a shared number of bytes. A part of it is reserved for small charges, so that
// they pass while large ones wait.
type Pool struct {
	size int64
	// Charges above the largest tier may together take large bytes; the rest is for the
	// others, a part for each tier and those below it.
	large int64
	tiers [tiers]int64 // the largest charge of each, the largest first

	mu     sync.Mutex
	used   int64
	beyond int64         // taken by grants that overdraw: only large charges wait for it
	freed  chan struct{} // closed when bytes are returned; nil while nobody waits

	// overdraft is held by the one grant that may go beyond size. Pools may share it.
	overdraft chan struct{}
}

// keptPart is the part of a pool that is reserved for small charges. It has tiers, so
// that charges that are still growing do not fill it: the largest charge of each tier is a
// quarter of the one above it.
const (
	keptPart = 8
	tiers    = 4
	// Small is the largest charge that counts as small: the most that 64 KiB cost.
	Small = 512 << 10
	// smallPart bounds a small charge in a small pool.
	smallPart = 64
)

// New returns a pool of size bytes.
func New(size int64) *Pool {
	b := &Pool{size: size, large: size - size/keptPart, overdraft: make(chan struct{}, 1)}
	for i := range b.tiers {
		b.tiers[i] = min(Small, size/smallPart) >> (2 * i)
	}
	return b
}

// NewBeside returns a pool of size bytes that takes turns with b in overdrawing: among
// the grants of both, one at a time may exceed its pool.
func NewBeside(b *Pool, size int64) *Pool {
	beside := New(size)
	beside.overdraft = b.overdraft
	return beside
}

// Size returns how many bytes there are.
func (b *Pool) Size() int64 { return b.size }

// Largest returns the largest charge that can ever be taken.
func (b *Pool) Largest() int64 { return b.large }

// Used returns how many bytes are taken.
func (b *Pool) Used() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used + b.beyond
}

// Full reports whether nothing new should begin.
func (b *Pool) Full() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used >= b.size
}

// Crowded reports whether there is no room for a large charge.
func (b *Pool) Crowded() bool { return b.Used() >= b.large }

// Take takes n bytes if there is room for them.
func (b *Pool) Take(n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.take(n, n)
}

// TakeOrWait takes n bytes if there is room for them. Otherwise it returns a channel that
// is closed when bytes are returned.
func (b *Pool) TakeOrWait(n int64) (freed <-chan struct{}) {
	return b.takeOrWait(n, n)
}

func (b *Pool) takeOrWait(n, whole int64) (freed <-chan struct{}) {
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

// take takes n bytes for a charge that totals whole bytes with them. The caller holds the
// lock.
func (b *Pool) take(n, whole int64) bool {
	if b.used+n > b.room(whole) {
		return false
	}
	b.used += n
	return true
}

// room returns how many bytes may be used once a charge of whole bytes has been taken.
func (b *Pool) room(whole int64) int64 {
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

// Give returns bytes to the pool.
func (b *Pool) Give(n int64) { b.give(n, 0) }

func (b *Pool) give(n, beyond int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
	b.beyond -= beyond
	if b.freed != nil {
		close(b.freed)
		b.freed = nil
	}
}

// A Grant is what one user has taken from a pool. It is not safe for concurrent use.
type Grant struct {
	pool      *Pool
	taken     int64
	beyond    int64 // of these
	overdrawn bool
}

// Grant returns an empty grant.
func (b *Pool) Grant() *Grant { return &Grant{pool: b} }

// Taken returns how many bytes the grant has.
func (g *Grant) Taken() int64 { return g.taken }

// Take takes n bytes more if there is room for them.
func (g *Grant) Take(n int64) bool {
	g.pool.mu.Lock()
	defer g.pool.mu.Unlock()
	if !g.pool.take(n, g.taken+n) {
		return false
	}
	g.taken += n
	return true
}

// Grow takes n bytes more, waiting for them if necessary. Grants that all wait for each
// other would wait forever, so one grant at a time may overdraw its pool.
func (g *Grant) Grow(ctx context.Context, n int64) error {
	for !g.overdrawn {
		freed := g.pool.takeOrWait(n, g.taken+n)
		if freed == nil {
			g.taken += n
			return nil
		}
		select {
		case g.pool.overdraft <- struct{}{}:
			g.overdrawn = true
		case <-freed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	g.Force(n)
	return nil
}

// Force takes n bytes more in any case: they are already allocated.
func (g *Grant) Force(n int64) {
	b := g.pool
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

// Release returns everything. A second call does nothing.
func (g *Grant) Release() {
	g.Shrink(0)
	if g.overdrawn {
		g.overdrawn = false
		<-g.pool.overdraft
	}
}

// Shrink returns all but n bytes, those beyond the pool first.
func (g *Grant) Shrink(n int64) {
	over := g.taken - n
	if over <= 0 {
		return
	}
	beyond := min(over, g.beyond)
	g.pool.give(over-beyond, beyond)
	g.taken, g.beyond = n, g.beyond-beyond
}
