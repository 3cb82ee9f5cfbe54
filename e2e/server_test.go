package e2e_test

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ringback/ringback/client"
)

// program builds the server once, as it is released: without cgo.
var program = sync.OnceValues(func() (string, error) {
	return build("ringback", "../cmd/ringback", []string{"CGO_ENABLED=0"})
})

// racingProgram is the server with the race detector in it.
var racingProgram = sync.OnceValues(func() (string, error) {
	return build("ringback-race", "../cmd/ringback", []string{"CGO_ENABLED=1"}, "-race")
})

func build(name, pkg string, env []string, flags ...string) (string, error) {
	path := filepath.Join(scratch, name)
	cmd := exec.Command("go", slices.Concat([]string{"build"}, flags, []string{"-o", path, pkg})...)
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", errors.New(string(out))
	}
	return path, nil
}

// patience is how long a test waits for something that must come.
const patience = 60 * time.Second

// endpoint is the way to a server that is restarted from time to time, each time on another
// port: its clients dial where the server is now.
type endpoint struct {
	http *http.Client
	api  *client.Client

	mu   sync.Mutex
	addr string // "" before the first start
}

func newEndpoint(t *testing.T) *endpoint {
	t.Helper()
	d := &endpoint{}
	transport := &http.Transport{
		MaxIdleConnsPerHost: 64,
		IdleConnTimeout:     time.Minute, // before the server ends them
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, d.address())
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	d.http = &http.Client{Transport: transport}
	var err error
	d.api, err = client.New(client.Config{URL: "http://127.0.0.1", HTTPClient: d.http})
	must(t, err)
	return d
}

func (d *endpoint) address() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return cmp.Or(d.addr, "127.0.0.1:0")
}

func (d *endpoint) leadTo(addr string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.addr = addr
}

// url returns where the server is now, for programs that know nothing of endpoints.
func (d *endpoint) url() string { return "http://" + d.address() }

// post posts JSON text.
func (d *endpoint) post(t *testing.T, path, body string) (int, http.Header, []byte) {
	t.Helper()
	resp, err := d.http.Post("http://127.0.0.1"+path, "application/json", strings.NewReader(body))
	must(t, err)
	return read(t, resp)
}

func read(t *testing.T, resp *http.Response) (int, http.Header, []byte) {
	t.Helper()
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	must(t, err)
	return resp.StatusCode, resp.Header, body
}

// server is one process of the server.
type server struct {
	t    *testing.T
	cmd  *exec.Cmd
	url  string
	dead chan struct{} // closed when it has ended and was waited for
	up   chan string   // gets its URL once; closed at its end

	mu      sync.Mutex
	log     []string // the lines of its stderr
	lastGC  string   // the last one about a garbage collection; these are not in log
	changed chan struct{}
}

// launch starts a server that may or may not come up. It is killed at the end of the test.
func launch(t *testing.T, command, env []string, args ...string) *server {
	t.Helper()
	command = slices.Concat(command, []string{"serve"}, args)
	s := &server{t: t, cmd: exec.Command(command[0], command[1:]...), dead: make(chan struct{}),
		up: make(chan string, 1), changed: make(chan struct{})}
	s.cmd.Env = append(cleanEnviron(), env...)
	s.cmd.Dir = t.TempDir()
	stderr, err := s.cmd.StderrPipe()
	must(t, err)
	must(t, s.cmd.Start())
	go func() {
		defer close(s.dead)
		s.follow(stderr)
		_ = s.cmd.Wait() // ProcessState has the result
	}()
	t.Cleanup(func() {
		s.kill()
		if t.Failed() {
			t.Logf("the end of the server's log:\n%s", strings.Join(s.tail(40), "\n"))
		}
	})
	return s
}

// cleanEnviron returns the environment without what would configure a server.
func cleanEnviron() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool {
		for _, prefix := range []string{"RINGBACK_", "EZAI_", "ANTHROPIC_", "OPENAI_", "WEBHOOK_SECRET="} {
			if strings.HasPrefix(v, prefix) {
				return true
			}
		}
		return false
	})
}

// follow reads the log to its end.
func (s *server) follow(stderr io.Reader) {
	defer close(s.up)
	lines := bufio.NewScanner(stderr)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var record struct{ Msg, URL string }
		if json.Unmarshal(lines.Bytes(), &record) == nil && record.Msg == "server is up" {
			s.up <- record.URL
		}
		s.mu.Lock()
		if strings.HasPrefix(lines.Text(), "gc ") {
			s.lastGC = lines.Text()
			s.mu.Unlock()
			continue
		}
		s.log = append(s.log, lines.Text())
		close(s.changed)
		s.changed = make(chan struct{})
		s.mu.Unlock()
	}
}

func (s *server) tail(n int) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.log[max(0, len(s.log)-n):])
}

// says waits until a line of the log contains text.
func (s *server) says(text string) {
	s.t.Helper()
	deadline := time.After(patience)
	for {
		s.mu.Lock()
		said, changed := slices.ContainsFunc(s.log, func(line string) bool { return strings.Contains(line, text) }), s.changed
		s.mu.Unlock()
		if said {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			s.t.Fatalf("the server never printed %q", text)
		}
	}
}

// signal sends a signal; it is ignored if the process has ended.
func (s *server) signal(sig os.Signal) { _ = s.cmd.Process.Signal(sig) }

// kill ends the process like kill -9, and returns when it is dead.
func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	<-s.dead
}

// ends waits for the end of the process and returns its exit code, -1 after a signal.
func (s *server) ends() int {
	s.t.Helper()
	select {
	case <-s.dead:
	case <-time.After(patience):
		s.t.Fatalf("the server does not end")
	}
	return s.cmd.ProcessState.ExitCode()
}

// terminate makes the server stop in order.
func (s *server) terminate(sig os.Signal) {
	s.t.Helper()
	s.signal(sig)
	if code := s.ends(); code != 0 {
		s.t.Fatalf("the server ended with %d, want 0", code)
	}
}

// refusal is how a server that did not come up ended.
type refusal struct {
	code   int
	stderr string
}

// startFails starts a server that must end by itself.
func startFails(t *testing.T, env []string, args ...string) refusal {
	t.Helper()
	binary, err := program()
	must(t, err)
	s := launch(t, []string{binary}, env, args...)
	code := s.ends()
	return refusal{code, strings.Join(s.tail(1<<20), "\n")}
}

// must ends the test for an error that is unrelated to its promise.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually polls for what no event reports.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: not within %s", what, patience)
		}
	}
}

// compact returns JSON as one line, for messages.
func compact(body []byte) string { return string(bytes.TrimSpace(body)) }
