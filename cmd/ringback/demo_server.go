package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// child is a server in a process of its own.
type child struct {
	pid  int
	tail *tail         // of its stderr
	up   chan struct{} // closed when it says that it is up
	dead chan struct{} // closed when it has ended; err is set by then
	err  error
	cmd  *exec.Cmd

	killed atomic.Bool // by us
}

// startChild starts this program once more with other arguments. Nothing of the
// environment that would set it up gets through. died is called when it has been up
// and ends by itself.
func startChild(program string, died func(), args ...string) (*child, error) {
	cmd := exec.Command(program, args...)
	cmd.Env = slices.DeleteFunc(os.Environ(), isSetting)
	dieWithParent(cmd)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	c := &child{tail: &tail{}, up: make(chan struct{}), dead: make(chan struct{}), cmd: cmd}
	started := make(chan error)
	go func() {
		// Linux ties a child to the thread that started it, not to the process.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		c.read(stderr)
		c.err = cmd.Wait()
		close(c.dead)
		select {
		case <-c.up:
			if !c.killed.Load() {
				died()
			}
		default: // awaitUp tells
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	c.pid = cmd.Process.Pid
	return c, nil
}

// isSetting says whether a variable sets up a server.
func isSetting(variable string) bool {
	name, _, _ := strings.Cut(variable, "=")
	for _, prefix := range []string{"RINGBACK_", "EZAI_", "ANTHROPIC_", "OPENAI_"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return slices.ContainsFunc(settings, func(s setting) bool { return s.variable == name })
}

// read follows the child's log until it ends.
func (c *child) read(stderr io.Reader) {
	up := sync.OnceFunc(func() { close(c.up) })
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		c.tail.add(lines.Text())
		var record struct{ Msg string }
		if json.Unmarshal(lines.Bytes(), &record) == nil && record.Msg == msgUp {
			up()
		}
	}
	_, _ = io.Copy(io.Discard, stderr) // after a line that is too long: it must not block the child
}

// errEnded is what a server ended with that ended well, and should not have.
var errEnded = errors.New("exit status 0")

// awaitUp returns when the server is up, or with what it said instead.
func (c *child) awaitUp(ctx context.Context) error {
	select {
	case <-c.up:
		return nil
	case <-c.dead:
		return fmt.Errorf("the server did not start (%w)", cmp.Or(c.err, errEnded))
	case <-ctx.Done():
		return fmt.Errorf("wait for the server to be up: %w", context.Cause(ctx))
	}
}

// portTaken says whether a dead child ended since it could not listen.
func (c *child) portTaken() bool {
	exit, ok := errors.AsType[*exec.ExitError](c.err)
	return ok && exit.ExitCode() == exitPort
}

// kill ends the process as kill -9 does, and returns when it is dead.
func (c *child) kill() {
	c.killed.Store(true)
	_ = c.cmd.Process.Kill() // fails only if it is dead already
	<-c.dead
}

// tail keeps the last lines of a log.
type tail struct {
	mu    sync.Mutex
	lines []string
}

const tailLines = 10

func (t *tail) add(line string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = append(t.lines, line)
	if len(t.lines) > tailLines {
		t.lines = t.lines[1:]
	}
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.lines, "\n")
}
