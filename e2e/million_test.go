package e2e_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ringback/ringback"
)

// The two tests here measure, so that no other runs beside them.

// many returns how many jobs a data directory is filled with.
func many() int {
	if long {
		return 1_000_000
	}
	return 20_000
}

var fillProgram = sync.OnceValues(func() (string, error) {
	return build("fill", "./testdata/fill", []string{"CGO_ENABLED=0"})
})

// fill puts jobs into the world's data directory.
func (w *world) fill(n int, state string) {
	w.t.Helper()
	fill, err := fillProgram()
	must(w.t, err)
	start := time.Now()
	out, err := exec.CommandContext(w.t.Context(), fill, w.dir, strconv.Itoa(n), state, w.callback).CombinedOutput()
	if err != nil {
		w.t.Fatalf("fill: %v: %s", err, out)
	}
	w.t.Logf("%d %s jobs stored in %s", n, state, time.Since(start).Round(time.Millisecond))
}

// A start on a million waiting jobs takes seconds and bounded memory, and they run.
func TestAStartOnVeryManyWaitingJobsIsQuickAndSmall(t *testing.T) {
	closed := newBarrier(0) // calls begin, and are not answered
	w := newWorld(t, setup{barrier: closed})
	w.fill(many(), "queued")
	within, below := 3*time.Second, int64(200<<20)
	if long {
		within, below = 5*time.Second, 300<<20
	}

	began := time.Now()
	s := w.start("--concurrency", "16")
	w.ready()
	took := time.Since(began)
	memory := s.memory(t)
	t.Logf("ready after %s, with %d MiB", took.Round(time.Millisecond), memory>>20)
	if took > within {
		t.Errorf("ready after %s, want at most %s", took, within)
	}
	if memory > below {
		t.Errorf("it takes %d MiB of memory, want at most %d", memory>>20, below>>20)
	}

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	closed.lift()
	const some = 500
	if got, err := w.receiver.Wait(ctx, some); err != nil {
		t.Errorf("%d jobs ran, want %d: %v", len(got), some, err)
	}
	if memory = s.memory(t); memory > below {
		t.Errorf("at work it takes %d MiB of memory, want at most %d", memory>>20, below>>20)
	}
	id := w.submit(ringback.Request{Prompt: "one more", Model: "sim/slow?words=1"}) // a lane of its own
	w.delivered(id)
	s.terminate(syscall.SIGTERM)
}

// memory returns how many bytes the process has in memory.
func (s *server) memory(t *testing.T) int64 {
	t.Helper()
	pid := strconv.Itoa(s.cmd.Process.Pid)
	if status, err := os.ReadFile("/proc/" + pid + "/status"); err == nil {
		for line := range strings.Lines(string(status)) {
			if f := strings.Fields(line); len(f) == 3 && f[0] == "VmRSS:" {
				return kib(t, f[1])
			}
		}
	}
	out, err := exec.CommandContext(t.Context(), "ps", "-o", "rss=", "-p", pid).Output()
	must(t, err)
	return kib(t, strings.TrimSpace(string(out)))
}

func kib(t *testing.T, s string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(s, 10, 64)
	must(t, err)
	return n << 10
}

// A claim and a submission cost the same beside a million ended jobs as beside none. They
// are measured alternately, since the machine's speed changes; twice the time still counts
// as the same, a scan of the table does not.
func TestEndedJobsCostTheOthersNothing(t *testing.T) {
	const rounds, batch = 15, 30
	empty, full := newWorld(t, setup{}), newWorld(t, setup{})
	full.fill(many(), "ended")
	times := map[*world][]time.Duration{}
	for _, w := range []*world{empty, full} {
		s := w.start("--concurrency", "1") // all but the first of a batch wait, and are claimed
		w.ready()
		defer s.terminate(syscall.SIGTERM)
		w.run("warm up", batch)
	}
	for n := range rounds {
		for _, w := range []*world{empty, full} {
			times[w] = append(times[w], w.run(fmt.Sprint("round ", n), batch))
		}
	}
	alone, beside := median(times[empty]), median(times[full])
	t.Logf("%d jobs: %s alone, %s beside %d that have ended", batch, alone, beside, many())
	if beside > 2*alone {
		t.Errorf("%d jobs take %s beside %d that have ended, and %s alone", batch, beside, many(), alone)
	}
}

// run submits jobs one after another and returns how long it took until the last webhook
// arrived.
func (w *world) run(name string, jobs int) time.Duration {
	w.t.Helper()
	before := len(w.receiver.Deliveries())
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	start := time.Now()
	for n := range jobs {
		w.submit(ringback.Request{Prompt: fmt.Sprint(name, n), Model: "sim/echo"})
	}
	_, err := w.receiver.Wait(ctx, before+jobs)
	must(w.t, err)
	return time.Since(start)
}

func median(all []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}
