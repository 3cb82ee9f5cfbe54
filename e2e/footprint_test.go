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

// footprint is what a process uses of the machine.
type footprint struct {
	descriptors int
	threads     int
	memory      int // MiB of its own that are in RAM
	heap        int // MiB that the last garbage collection found in use, with gcTrace
	cpu         time.Duration
}

func (f footprint) String() string {
	return fmt.Sprintf("%d descriptors, %d threads, %d MiB of heap in use, %d MiB in RAM, %s of CPU", f.descriptors, f.threads, f.heap, f.memory, f.cpu)
}

// gcTrace makes a server report each garbage collection, and collect often, so that garbage
// is soon recognized. What it has in RAM says little: freed memory is returned to the
// system later.
var gcTrace = []string{"GODEBUG=gctrace=1", "GOGC=50"}

// gcLine matches such a line; its last number is what was in use.
var gcLine = regexp.MustCompile(`^gc \d+ @.* \d+->\d+->(\d+) MB`)

// footprint reads the kernel's figures in /proc, which Linux has.
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

// cpuTime returns the time that a process has used, in user mode and in the kernel.
func cpuTime(t *testing.T, dir string) (sum time.Duration) {
	t.Helper()
	stat, err := os.ReadFile(dir + "stat")
	must(t, err)
	_, rest, _ := strings.Cut(string(stat), ") ") // after the name, which may contain anything
	for _, ticks := range strings.Fields(rest)[11:13] {
		n, err := strconv.Atoi(ticks)
		must(t, err)
		sum += time.Duration(n) * 10 * time.Millisecond
	}
	return sum
}
