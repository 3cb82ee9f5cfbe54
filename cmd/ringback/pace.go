package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
)

// paceProcessors lets one more thread run than there are processors, unless GOMAXPROCS is
// set: the store's writer waits for the disk most of the time, in a system call for which
// Go reserves a processor. stop undoes it.
func paceProcessors() (stop func()) {
	if os.Getenv("GOMAXPROCS") != "" {
		return func() {}
	}
	before := runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1)
	return func() { runtime.GOMAXPROCS(before) }
}

// A collector paces the garbage collector by the live memory, unless GOGC is set. Go's own
// pace, one collection each time that the heap has doubled, suits neither end here: a
// server with 10 MB alive would collect 20 times a second under load, for a third of its
// processor time; one that holds 10,000 growing answers would keep as much garbage besides.
type collector struct {
	percent atomic.Int64
	stopped atomic.Bool
}

const (
	// leastGarbage is how much garbage, in bytes, may always pile up between two
	// collections.
	leastGarbage = 64 << 20
	// leastPercent is how much may pile up when much memory is alive.
	leastPercent = 25
)

// paceCollector starts it; stop restores Go's own pace.
func paceCollector() (stop func()) {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	c := &collector{}
	c.pace()
	return func() {
		c.stopped.Store(true)
		debug.SetGCPercent(100)
	}
}

// pace sets the percentage, and runs again after each collection: that is when an
// unreachable object is cleaned up.
func (c *collector) pace() {
	if c.stopped.Load() {
		return
	}
	if now := gcPercent(aliveBytes()); c.percent.Swap(int64(now)) != int64(now) {
		debug.SetGCPercent(now)
	}
	runtime.AddCleanup(&struct{ _ [32]byte }{}, (*collector).pace, c)
}

// aliveBytes returns what the last collection found alive, in bytes.
func aliveBytes() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// gcPercent returns how much garbage, as a percentage of what is alive, makes a collection
// worthwhile. It moves in steps of an eighth, so that it is not set anew each time.
func gcPercent(alive uint64) int {
	percent := int(leastGarbage * 100 / max(alive, 4<<20))
	for step := 1600; step > leastPercent; step = step * 7 / 8 {
		if percent >= step {
			return step
		}
	}
	return leastPercent
}
