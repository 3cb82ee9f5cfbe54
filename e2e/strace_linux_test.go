package e2e_test

import (
	"bufio"
	"iter"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// strace returns the command that runs another one, and writes its writes, syncs and new
// directories to a file. With -D the process that was started is the other program, as
// without strace: it receives the signals.
func strace(t *testing.T, file string) []string {
	t.Helper()
	path, err := exec.LookPath("strace")
	if err != nil {
		t.Fatal("strace is missing: sudo apt-get install -y strace")
	}
	// All strings whole, in hexadecimal, and the path beside each descriptor.
	command := []string{path, "-D", "-f", "--seccomp-bpf", "-y", "-xx", "-s", "65536", "-a", "1",
		"-e", "signal=none", "-e", "trace=write,pwrite64,fsync,fdatasync,mkdirat", "-o"}
	try := exec.CommandContext(t.Context(), path, slices.Concat(command[1:], []string{os.DevNull, "true"})...)
	if out, err := try.CombinedOutput(); err != nil || len(out) > 0 {
		t.Fatalf("strace may not trace here (in a container, run it with --cap-add SYS_PTRACE; elsewhere look at kernel.yama.ptrace_scope): %v\n%s", err, out)
	}
	return append(command, file)
}

// call is a system call of a trace.
type call struct {
	name   string
	args   []string
	result string // "" until it has ended
	covers int    // see storage.take
}

// straced yields the calls of a trace as they were seen: each twice, when it begins and
// when it has ended. strace lets no thread continue before it has written that down, so
// what one thread does because of another comes after it.
func straced(t *testing.T, file string) iter.Seq[*call] {
	t.Helper()
	f, err := os.Open(file)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	return func(yield func(*call) bool) {
		unfinished := map[string]*call{} // by thread
		for lines.Scan() {
			// 123 fsync(7</a/b>) = 0
			// 123 fsync(7</a/b> <unfinished ...>
			// 123 <... fsync resumed>) = 0
			thread, text, _ := strings.Cut(lines.Text(), " ")
			text, result, ended := strings.Cut(strings.TrimLeft(text, " "), ") = ")
			c := unfinished[thread]
			if !strings.HasPrefix(text, "<... ") {
				name, args, isCall := strings.Cut(strings.TrimSuffix(text, " <unfinished ...>"), "(")
				if !isCall {
					continue // the end of a thread
				}
				c = &call{name: name, args: strings.Split(args, ", ")}
				unfinished[thread] = c
				if !yield(c) {
					return
				}
			}
			if ended {
				c.result = result
				if !yield(c) {
					return
				}
			}
		}
		must(t, lines.Err())
	}
}

// path returns that of a descriptor.
func (c *call) path(t *testing.T) string {
	t.Helper()
	_, path, _ := strings.Cut(c.args[0], "<")
	return unhex(t, `"`+strings.TrimSuffix(path, ">")+`"`)
}

func unhex(t *testing.T, arg string) string {
	t.Helper()
	s, err := strconv.Unquote(arg)
	must(t, err)
	return s
}
