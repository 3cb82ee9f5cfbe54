package node

import (
	"encoding/binary"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// clock is the one clock of all nodes of a store: the local monotonic clock, put
// right by what the store's showed at each renewal. All times of jobs and
// deliveries are from it, so that a machine whose clock is an hour wrong does no
// harm. Gates and timers go by the local clock; times cross over by shared and local.
type clock struct {
	anchor atomic.Pointer[anchor] // nil: the store goes by this machine's clock
	last   atomic.Int64           // of stamp
}

// anchor says that it was at on the one clock when it was local here.
type anchor struct{ local, at time.Time }

// now is the time on the one clock.
func (c *clock) now() time.Time { return c.shared(time.Now()) }

// stamped is now as rows have it, in milliseconds.
func (c *clock) stamped() time.Time { return c.now().Truncate(time.Millisecond) }

// shared is the time on the one clock at a local time; the zero time stays zero.
func (c *clock) shared(local time.Time) time.Time {
	a := c.anchor.Load()
	if a == nil || local.IsZero() {
		return local
	}
	return a.at.Add(local.Sub(a.local))
}

// local is the local time, with its monotonic reading, at a time on the one clock.
func (c *clock) local(shared time.Time) time.Time {
	a := c.anchor.Load()
	if a == nil || shared.IsZero() {
		return shared
	}
	return a.local.Add(shared.Sub(a.at))
}

// learn sets the clock by what the store's showed at some moment between two local
// times. As long as what this one shows is possible it stays, so that it does not
// jump to and fro with the time that answers take.
func (c *clock) learn(asked, answered, shown time.Time) {
	if shown.IsZero() {
		return
	}
	took := answered.Sub(asked)
	at := shown.Add(took / 2)
	if c.anchor.Load() != nil {
		at = c.shared(answered)
		if at.Before(shown) {
			at = shown
		}
		if latest := shown.Add(took); at.After(latest) {
			at = latest
		}
	}
	c.anchor.Store(&anchor{answered, at})
}

// newID makes a UUIDv7 by the one clock. Those of a process sort in the order in
// which they were made, as long as the clock is not set back.
func (c *clock) newID() (uuid.UUID, error) {
	id, err := uuid.NewRandom()
	if err != nil {
		return id, err
	}
	at := c.stamp()
	binary.BigEndian.PutUint64(id[:8], uint64(at>>12)<<16|0x7000|uint64(at&0xfff))
	return id, nil
}

// stamp is the time in milliseconds and, in its last 12 bits, fractions of one. It
// is always a later one, unless the clock was set back.
func (c *clock) stamp() int64 {
	const second = 1000 << 12
	for {
		nanos, last := c.now().UnixNano(), c.last.Load()
		at := nanos/1e6<<12 | nanos%1e6>>8
		if at <= last && last-at < second {
			at = last + 1
		}
		if c.last.CompareAndSwap(last, at) {
			return at
		}
	}
}
