//go:build unix

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/ringback/ringback/internal/exit"
)

// The real thing: a process without write permission. Root may write everything, so for
// root another user runs the program.
func TestADirectoryThatMayNotBeWrittenIsNamed(t *testing.T) {
	dir := t.TempDir()
	closed := filepath.Join(dir, "closed")
	if err := os.Mkdir(closed, 0o555); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{dir, filepath.Dir(dir)} { // the test's own: otherwise another user cannot get there
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, data := range []string{closed, filepath.Join(closed, "new")} {
		cmd := asNobody(t, "serve", "--simulate", "--addr", "127.0.0.1:0", "--data", data)
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != exit.DataDir || !strings.HasPrefix(string(out), "ringback: data directory "+data+" may not be read and written by this user") {
			t.Errorf("%s: %v, exit code %d:\n%s", data, err, cmd.ProcessState.ExitCode(), out)
		}
		if strings.Count(string(out), "\n") != 1 {
			t.Errorf("%s: more than one line:\n%s", data, out)
		}
	}
}

// asNobody returns a call of the real program by a user who is not root.
func asNobody(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	program, err := exec.LookPath("ringback")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, args...)
	if os.Getuid() == 0 {
		// Another user may not be able to reach our program's path, but may run it anyway.
		cmd.Path = "/proc/self/exe"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	cmd.Args[0] = "ringback"
	cmd.Dir = "/"
	return cmd
}
