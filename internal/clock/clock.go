// Package clock provides the one clock shared by all nodes of a store. Times of jobs and
// deliveries are on this clock, so a machine whose own clock is wrong does no harm.
// Timers and gates use local time; Shared and Local convert between the two.
package clock

import (
	"encoding/binary"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// Clock is the local monotonic clock, corrected by what the store's clock showed at
// each renewal. The zero value shows this machine's time. It is safe for concurrent use
// and must not be copied.
type Clock struct {
	anchor atomic.Pointer[anchor] // nil: the store goes by this machine's clock
	last   atomic.Int64           // of stamp
}

// anchor records that the shared clock showed at when this machine's showed local.
type anchor struct{ local, at time.Time }

// Now returns the time on the shared clock.
func (c *Clock) Now() time.Time { return c.Shared(time.Now()) }

// Stamped returns Now truncated to milliseconds, the precision of stored rows.
func (c *Clock) Stamped() time.Time { return c.Now().Truncate(time.Millisecond) }

// Shared converts a local time to the shared clock. The zero time stays zero.
func (c *Clock) Shared(local time.Time) time.Time {
	a := c.anchor.Load()
	if a == nil || local.IsZero() {
		return local
	}
	return a.at.Add(local.Sub(a.local))
}

// Local converts a time on the shared clock to a local time with its monotonic
// reading. The zero time stays zero.
func (c *Clock) Local(shared time.Time) time.Time {
	a := c.anchor.Load()
	if a == nil || shared.IsZero() {
		return shared
	}
	return a.local.Add(shared.Sub(a.at))
}

// Learn sets the clock to what the store's clock showed at some moment between two
// local times; a zero shown changes nothing. The setting is kept while it is within
// the bounds of that answer, so that the clock does not jitter with network latency.
func (c *Clock) Learn(asked, answered, shown time.Time) {
	if shown.IsZero() {
		return
	}
	took := answered.Sub(asked)
	at := shown.Add(took / 2)
	if c.anchor.Load() != nil {
		at = c.Shared(answered)
		if at.Before(shown) {
			at = shown
		}
		if latest := shown.Add(took); at.After(latest) {
			at = latest
		}
	}
	c.anchor.Store(&anchor{answered, at})
}

// NewID returns a UUIDv7 with the time of the shared clock. The IDs of a process sort
// in the order in which they were made, unless the clock is set back.
func (c *Clock) NewID() (uuid.UUID, error) {
	id, err := uuid.NewRandom()
	if err != nil {
		return id, err
	}
	at := c.stamp()
	binary.BigEndian.PutUint64(id[:8], uint64(at>>12)<<16|0x7000|uint64(at&0xfff))
	return id, nil
}

// stamp returns the time in milliseconds, with fractions of one in the last 12 bits.
// Each call returns a later value, unless the clock was set back.
func (c *Clock) stamp() int64 {
	const second = 1000 << 12
	for {
		nanos, last := c.Now().UnixNano(), c.last.Load()
		at := nanos/1e6<<12 | nanos%1e6>>8
		if at <= last && last-at < second {
			at = last + 1
		}
		if c.last.CompareAndSwap(last, at) {
			return at
		}
	}
}
