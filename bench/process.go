package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// program is how one process is started.
type program struct {
	args   []string
	dir    string
	env    []string // added to a bare environment
	user   *syscall.Credential
	says   string         // a line of its output that says that it works; "" means not to wait
	stderr string         // a file that its output goes to
	quit   syscall.Signal // asks it to end at once; 0 means to kill it
}

// process is a running program, with all that it starts.
type process struct {
	name  string
	cmd   *exec.Cmd
	quit  syscall.Signal
	ready chan struct{} // closed at the awaited line
	gone  chan struct{} // closed when it has ended
	err   error         // why it ended; read after gone
}

// bare returns the environment of a contender's programs, without what is meant for them.
func bare() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "LANG=C.UTF-8"}
}

func (p program) start() (*process, error) {
	cmd := exec.Command(p.args[0], p.args[1:]...) //nolint:gosec // the contenders' own programs
	cmd.Dir, cmd.Env = p.dir, append(bare(), p.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: p.user}
	log, err := os.OpenFile(p.stderr, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		_ = log.Close()
		return nil, fmt.Errorf("start %s: %w", p.args[0], err)
	}
	pr := &process{name: filepath.Base(p.args[0]), cmd: cmd, quit: p.quit, ready: make(chan struct{}), gone: make(chan struct{})}
	go pr.follow(bufio.NewScanner(out), log, p.says)
	return pr, nil
}

// follow logs the process's output, and waits for its end.
func (pr *process) follow(out *bufio.Scanner, log *os.File, says string) {
	said := sync.OnceFunc(func() { close(pr.ready) })
	if says == "" {
		said()
	}
	for out.Scan() {
		_, _ = fmt.Fprintln(log, out.Text())
		if strings.TrimSpace(out.Text()) == says {
			said()
		}
	}
	pr.err = pr.cmd.Wait()
	_ = log.Close()
	close(pr.gone)
}

// await waits until the process has said that it works.
func (pr *process) await(ctx context.Context) error {
	select {
	case <-pr.ready:
		return nil
	case <-pr.gone:
		return fmt.Errorf("%s ended: %w", pr.name, errors.Join(pr.err, errEnded))
	case <-ctx.Done():
		return fmt.Errorf("%s is not ready: %w", pr.name, ctx.Err())
	}
}

var errEnded = errors.New("the process has ended")

// kill ends the process and all that it has started, without warning.
func (pr *process) kill() {
	_ = syscall.Kill(-pr.cmd.Process.Pid, syscall.SIGKILL)
	<-pr.gone
}

// end ends the process in its program's way.
func (pr *process) end() {
	if pr.quit == 0 {
		pr.kill()
		return
	}
	pr.stop(pr.quit)
}

// stop asks the process to end, and ends it when it does not.
func (pr *process) stop(sig syscall.Signal) {
	_ = pr.cmd.Process.Signal(sig)
	select {
	case <-pr.gone:
	case <-time.After(15 * time.Second):
	}
	pr.kill()
}

// usage is the memory that a group of processes has now, and the processor time that it has
// used.
type usage struct {
	Memory int64         // bytes; a page that several share counts once
	CPU    time.Duration // of those that still run, and of their children that have ended
	// Descriptors are open files and sockets.
	Descriptors int
}

// measure adds up the given processes and all their descendants: those of PostgreSQL are
// groups of their own. (PSS, since they share their buffers; for a single process it is the
// RSS.)
func measure(ancestors ...*process) (u usage) {
	ours := map[int]bool{}
	for _, a := range ancestors {
		ours[a.cmd.Process.Pid] = true
	}
	stats := readStats()
	for pid, s := range stats {
		if !stats.descends(pid, ours) {
			continue
		}
		dir := filepath.Join("/proc", strconv.Itoa(pid))
		u.CPU += s.cpu
		u.Memory += readPSS(dir)
		fds, _ := os.ReadDir(filepath.Join(dir, "fd"))
		u.Descriptors += len(fds)
	}
	return u
}

// stats are the processes of the machine, by their ids.
type stats map[int]stat

type stat struct {
	parent, group int
	cpu           time.Duration
}

func readStats() stats {
	all := stats{}
	paths, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range paths {
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if s, ok := readStat(path); ok {
			all[pid] = s
		}
	}
	return all
}

// descends reports whether a process, or one of its ancestors, is among those given, or in
// the group of one.
func (all stats) descends(pid int, among map[int]bool) bool {
	for pid > 1 {
		if among[pid] || among[all[pid].group] {
			return true
		}
		pid = all[pid].parent
	}
	return false
}

// tick is the kernel's unit of processor time, the same on all Linux of today.
const tick = 10 * time.Millisecond

// readStat reads what /proc/PID/stat has of a process; proc(5).
func readStat(path string) (s stat, ok bool) {
	text, err := os.ReadFile(path) //nolint:gosec // of /proc
	if err != nil {
		return s, false
	}
	_, rest, found := strings.Cut(string(text), ") ") // the name before it may hold anything
	fields := strings.Fields(rest)
	if !found || len(fields) < 15 {
		return s, false
	}
	s.parent, _ = strconv.Atoi(fields[1])
	s.group, _ = strconv.Atoi(fields[2])
	for _, f := range fields[11:15] {
		ticks, _ := strconv.ParseInt(f, 10, 64)
		s.cpu += time.Duration(ticks) * tick
	}
	return s, true
}

func readPSS(dir string) int64 {
	text, err := os.ReadFile(filepath.Join(dir, "smaps_rollup")) //nolint:gosec // of /proc
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "Pss:" {
			kib, _ := strconv.ParseInt(f[1], 10, 64)
			return kib << 10
		}
	}
	return 0
}

// sampler samples processes again and again.
type sampler struct {
	stop chan struct{}
	done chan struct{}
	peak int64
	seen []sample
}

type sample struct {
	At time.Duration // after the start
	usage
}

func watch(every time.Duration, ancestors ...*process) *sampler {
	s := &sampler{stop: make(chan struct{}), done: make(chan struct{})}
	start := time.Now()
	look := func() {
		u := measure(ancestors...)
		s.peak = max(s.peak, u.Memory)
		s.seen = append(s.seen, sample{time.Since(start), u})
	}
	go func() {
		defer close(s.done)
		t := time.NewTicker(every)
		defer t.Stop()
		for {
			look()
			select {
			case <-t.C:
			case <-s.stop:
				look()
				return
			}
		}
	}()
	return s
}

// end ends the sampling; peak and seen may be read then.
func (s *sampler) end() *sampler {
	close(s.stop)
	<-s.done
	return s
}
