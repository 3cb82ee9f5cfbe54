//go:build siege

package e2e_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// The long form is two minutes.
func TestStrangersShutNoCallerOutNorTakeTheMemory(t *testing.T) {
	w := locked(t, "512MiB")
	s := w.start()
	w.ready()
	lasts, connections := 8*time.Second, 10_000
	if long {
		lasts = 2 * time.Minute
	}
	var limit unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	connections = min(connections, int(limit.Cur)-1000)

	calm, err := w.callers(2 * time.Second)
	must(t, err)

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var seen atomic.Int64
	var enemies errgroup.Group
	enemies.Go(func() error { return flood(ctx, w.address(), connections, 1000, &seen) })
	most := make(chan int, 1)
	go func() { most <- residentMost(ctx, s.cmd.Process.Pid) }()
	among, err := w.callers(lasts)
	stop()
	_ = enemies.Wait()
	resident := <-most
	must(t, err)
	t.Logf("%d strangers' connections; %d jobs: p99 of 202 %s, without strangers %s; at most %d MiB in RAM", seen.Load(), len(among), p99(among), p99(calm), resident)
	if bound := max(250*time.Millisecond, 5*p99(calm)); p99(among) > bound { // others may use the machine
		t.Errorf("p99 of the callers is %s, want at most %s", p99(among), bound)
	}
	if resident > 512 {
		t.Errorf("%d MiB were in RAM, want at most 512", resident)
	}
}
