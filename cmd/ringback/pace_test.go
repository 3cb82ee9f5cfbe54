package main

import (
	"runtime"
	"runtime/debug"
	"testing"
)

func TestGarbageIsBoundedByWhatIsAlive(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		alive       uint64 // MiB
		least, most int    // MiB
	}{
		{0, 50, 64},
		{4, 50, 64},
		{10, 50, 64},
		{64, 50, 64},
		{200, 50, 80},
		{2000, 490, 510},
	} {
		got := int(c.alive) * gcPercent(c.alive<<20) / 100
		if c.alive == 0 {
			got = 4 * gcPercent(0) / 100 // Go's minimum heap
		}
		if got < c.least || got > c.most {
			t.Errorf("%d MiB alive: %d MiB of garbage, want %d to %d", c.alive, got, c.least, c.most)
		}
	}
}

// The pace follows what is alive, collection by collection. (Not parallel: it is
// process-wide.)
func TestThePaceFollowsWhatIsAlive(t *testing.T) {
	stop := paceCollector()
	defer stop()
	await := func(what string, so func(percent int) bool) {
		for range 100 {
			runtime.GC()
			percent := debug.SetGCPercent(100)
			debug.SetGCPercent(percent)
			if so(percent) {
				return
			}
		}
		t.Errorf("the pace does not follow %s", what)
	}
	await("a small heap", func(percent int) bool { return percent > 100 })
	large := make([][]byte, 300)
	for i := range large {
		large[i] = make([]byte, 1<<20)
	}
	await("a large one", func(percent int) bool { return percent == leastPercent })
	runtime.KeepAlive(large)
	await("a small one again", func(percent int) bool { return percent > 100 })
}
