//go:build siege && unix

package e2e_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// A memoryLimit limits one server: by a control group if this user may make one, so that
// the kernel kills a server that takes more; otherwise by GOMEMLIMIT, as an operator sets
// it, and the watch alone.
type memoryLimit struct {
	bytes int64
	group string   // the directory of the control group; "": there is none
	enter []string // the command that enters it and becomes the one after it
	env   []string
}

func newMemoryLimit(t *testing.T, bytes int64) *memoryLimit {
	t.Helper()
	l := &memoryLimit{bytes: bytes}
	name := fmt.Sprintf("ringback-e2e-%d-%d", os.Getpid(), time.Now().UnixNano())
	for parent, file := range map[string]string{"/sys/fs/cgroup": "memory.max", "/sys/fs/cgroup/memory": "memory.limit_in_bytes"} {
		group := filepath.Join(parent, name)
		if os.Mkdir(group, 0o755) != nil {
			continue
		}
		if writeExisting(filepath.Join(group, file), strconv.FormatInt(bytes, 10)) == nil {
			l.group = group
			l.enter = []string{"sh", "-c", `echo $$ >"$0" && exec "$@"`, filepath.Join(group, "cgroup.procs")}
			t.Cleanup(func() { _ = os.Remove(group) }) // its process is dead: this runs after launch's
			return l
		}
		_ = os.Remove(group)
	}
	l.env = []string{fmt.Sprintf("GOMEMLIMIT=%d", bytes/10*9)} // it does not count everything that the process takes
	return l
}

// writeExisting writes to a file that must exist: outside control groups there is none,
// even if the directory can be made.
func writeExisting(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// around returns the command that starts command within the limit.
func (l *memoryLimit) around(command []string) []string { return slices.Concat(l.enter, command) }

// A memoryWatch reads what a server has in RAM ten times a second, and kills the server if
// that exceeds its limit.
type memoryWatch struct {
	limit  *memoryLimit
	server *server
	busy   func() string // what is going on

	mu       sync.Mutex
	peak     int64
	during   string // what went on at the peak
	exceeded bool
}

// watch starts watching; stop ends it, and must be called before the end of the test.
func (l *memoryLimit) watch(s *server, busy func() string) (w *memoryWatch, stop func()) {
	w = &memoryWatch{limit: l, server: s, busy: busy}
	end, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				w.look()
			case <-end:
				return
			}
		}
	}()
	return w, sync.OnceFunc(func() { close(end); <-over })
}

func (w *memoryWatch) look() {
	rss := statusBytes(w.server.cmd.Process.Pid, "VmRSS:")
	w.mu.Lock()
	defer w.mu.Unlock()
	if rss > w.peak {
		w.peak, w.during = rss, w.busy()
	}
	if rss > w.limit.bytes && !w.exceeded {
		w.exceeded = true
		_ = w.server.cmd.Process.Kill()
	}
}

// fault returns that the limit was exceeded, or that the server has died of something else;
// "" if neither.
func (w *memoryWatch) fault() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.exceeded {
		return fmt.Sprintf("the server had %d MiB in RAM, its limit is %d MiB; going on: %s", w.peak>>20, w.limit.bytes>>20, w.during)
	}
	select {
	case <-w.server.dead:
		return fmt.Sprintf("the server died (%s) at %d MiB of %d MiB; at the last peak went on: %s",
			w.server.cmd.ProcessState, w.peak>>20, w.limit.bytes>>20, w.during)
	default:
		return ""
	}
}

// figures returns a line for the report.
func (w *memoryWatch) figures() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	hwm := statusBytes(w.server.cmd.Process.Pid, "VmHWM:")
	line := fmt.Sprintf("peak RSS %d MiB (kernel's high-water mark %d MiB) of %d MiB", w.peak>>20, hwm>>20, w.limit.bytes>>20)
	if w.limit.group != "" {
		for _, file := range []string{"memory.failcnt", "memory.max_usage_in_bytes", "memory.peak", "memory.events"} {
			if text, err := os.ReadFile(filepath.Join(w.limit.group, file)); err == nil {
				line += fmt.Sprintf("; %s %s", file, strings.Join(strings.Fields(string(text)), " "))
			}
		}
	}
	return line + "; at the peak went on: " + w.during
}

// statusBytes reads one size of a process in /proc; 0 if the process has ended.
func statusBytes(pid int, name string) int64 {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(status)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == name {
			kib, _ := strconv.ParseInt(fields[1], 10, 64) // digits
			return kib << 10
		}
	}
	return 0
}
