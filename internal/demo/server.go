package demo

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/ringback/ringback/internal/exit"
)

// child is a server in a process of its own.
type child struct {
	pid  int
	tail *tail         // of its stderr
	up   chan struct{} // closed when its log says that it is up
	dead chan struct{} // closed when it has ended; err is set by then
	err  error
	cmd  *exec.Cmd

	killed atomic.Bool // by us
}

// startChild starts a server. It calls died if the server has been up and ends by itself.
func startChild(config Config, died func(), args ...string) (*child, error) {
	cmd := exec.Command(config.Program, args...)
	cmd.Env = config.Environ
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
		c.read(stderr, config.Up)
		c.err = cmd.Wait()
		close(c.dead)
		select {
		case <-c.up:
			if !c.killed.Load() {
				died()
			}
		default: // awaitUp reports it
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	c.pid = cmd.Process.Pid
	return c, nil
}

// read reads the child's log until it ends, and closes c.up at the message upMessage.
func (c *child) read(stderr io.Reader, upMessage string) {
	up := sync.OnceFunc(func() { close(c.up) })
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		c.tail.add(lines.Text())
		var record struct{ Msg string }
		if json.Unmarshal(lines.Bytes(), &record) == nil && record.Msg == upMessage {
			up()
		}
	}
	_, _ = io.Copy(io.Discard, stderr) // after a line that is too long: it must not block the child
}

// errEnded is the error of a server that exited with 0 when it should have stayed up.
var errEnded = errors.New("exit status 0")

// awaitUp waits until the server is up. An error says why it is not.
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

// portTaken reports whether a dead child ended because it could not listen.
func (c *child) portTaken() bool {
	ended, ok := errors.AsType[*exec.ExitError](c.err)
	return ok && ended.ExitCode() == exit.Port
}

// kill kills the process with SIGKILL and returns when it is dead.
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
