package e2e_test

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// footprint is what a process takes of the machine.
type footprint struct {
	descriptors int
	threads     int
	memory      int // MiB of its own that are in RAM
	heap        int // MiB that the last collection of garbage found in use, with gcTrace
	cpu         time.Duration
}

func (f footprint) String() string {
	return fmt.Sprintf("%d descriptors, %d threads, %d MiB of heap in use, %d MiB in RAM, %s of CPU", f.descriptors, f.threads, f.heap, f.memory, f.cpu)
}

// gcTrace has a server tell of each collection, and collect often, so that what
// is garbage is soon known to be. What it has in RAM says little: memory that is
// free again goes back to the system later.
var gcTrace = []string{"GODEBUG=gctrace=1", "GOGC=50"}

// gcLine is such a line; its last number is what was in use.
var gcLine = regexp.MustCompile(`^gc \d+ @.* \d+->\d+->(\d+) MB`)

// footprint asks the kernel, which tells it under /proc: Linux's does.
func (s *server) footprint(t *testing.T) (f footprint) {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/", s.cmd.Process.Pid)
	open, err := os.ReadDir(dir + "fd")
	if err != nil {
		t.Fatalf("what a process takes is read from /proc, as Linux has it: %v", err)
	}
	status, err := os.ReadFile(dir + "status")
	must(t, err)
	f.descriptors = len(open)
	for line := range strings.Lines(string(status)) {
		fields := strings.Fields(line)
		switch fields[0] {
		case "Threads:":
			f.threads, err = strconv.Atoi(fields[1])
		case "RssAnon:":
			f.memory, err = strconv.Atoi(fields[1])
			f.memory >>= 10
		}
		must(t, err)
	}
	f.heap, f.cpu = s.heap(), cpuTime(t, dir)
	return f
}

func (s *server) heap() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := gcLine.FindStringSubmatch(s.lastGC); m != nil {
		n, _ := strconv.Atoi(m[1]) // digits
		return n
	}
	return 0
}

// cpuTime is what a process has used, in user mode and in the kernel.
func cpuTime(t *testing.T, dir string) (sum time.Duration) {
	t.Helper()
	stat, err := os.ReadFile(dir + "stat")
	must(t, err)
	_, rest, _ := strings.Cut(string(stat), ") ") // behind the name, which may hold anything
	for _, ticks := range strings.Fields(rest)[11:13] {
		n, err := strconv.Atoi(ticks)
		must(t, err)
		sum += time.Duration(n) * 10 * time.Millisecond
	}
	return sum
}
