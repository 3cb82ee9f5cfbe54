package main

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/backoff"
	"github.com/ringback/ringback/internal/store/sqlite"
)

var update = flag.Bool("update", false, "write docs/configuration.md anew")

// leakChecked fails the package if a goroutine is left.
type leakChecked struct{ *testing.M }

func (m leakChecked) Run() int {
	code := m.M.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// TestMain puts the real program on the tests' PATH, as ringback.
func TestMain(m *testing.M) {
	testscript.Main(leakChecked{m}, map[string]func(){"ringback": main})
}

// Each script in testdata runs the real program.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:   "testdata",
		Setup: scriptSetup,
		Cmds:  scriptCommands,
	})
}

// scriptTest is the key under which a script finds its test.
type scriptTest struct{}

// scriptCommands are the additional commands of scripts.
var scriptCommands = map[string]func(*testscript.TestScript, bool, []string){
	"exits":    scriptExits,
	"up":       scriptUp,
	"post":     scriptPost,
	"webhook":  scriptWebhook,
	"newer":    scriptNewer,
	"mode":     scriptMode,
	"id":       scriptID,
	"fill":     scriptFill,
	"until":    scriptUntil,
	"database": scriptDatabase,
}

// scriptSetup gives a script two unused addresses.
func scriptSetup(env *testscript.Env) error {
	for _, name := range []string{"ADDR", "ADDR2", "ADDR3"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		env.Setenv(name, l.Addr().String())
		if err := l.Close(); err != nil {
			return err
		}
	}
	env.Values[scriptTest{}] = env.T()
	env.Setenv("XDG_CONFIG_HOME", env.Getenv("WORK")+"/config")
	return nil
}

// exits CODE PROGRAM ARG...: runs a program that must end with that code.
func scriptExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARG...")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if fmt.Sprint(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

// up ADDR: waits until something answers HTTP there.
func scriptUp(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: up ADDR")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for {
		resp, err := scriptClient.Get("http://" + args[0] + "/healthz")
		if err == nil {
			ts.Check(resp.Body.Close())
			return
		}
		if backoff.Pause(ctx, 5*time.Millisecond) != nil {
			ts.Fatalf("nothing answers at %s: %v", args[0], err)
		}
	}
}

var scriptClient = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// post URL STATUS BODY: posts JSON and expects that status.
func scriptPost(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: post URL STATUS BODY")
	}
	resp, err := scriptClient.Post(args[0], "application/json", strings.NewReader(args[2]))
	ts.Check(err)
	ts.Check(resp.Body.Close())
	if fmt.Sprint(resp.StatusCode) != args[1] {
		ts.Fatalf("POST %s: got %s, want %s", args[0], resp.Status, args[1])
	}
}

// webhook URL STATUS ID SECRET BODY: sends a signed webhook and expects that status.
func scriptWebhook(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 5 {
		ts.Fatalf("usage: webhook URL STATUS ID SECRET BODY")
	}
	secrets, err := ringback.ParseSecrets(args[3])
	ts.Check(err)
	req, err := http.NewRequest(http.MethodPost, args[0], strings.NewReader(args[4]))
	ts.Check(err)
	req.Header = ringback.Sign(secrets[0], args[2], time.Now(), []byte(args[4]), secrets[1:]...)
	resp, err := scriptClient.Do(req)
	ts.Check(err)
	ts.Check(resp.Body.Close())
	if fmt.Sprint(resp.StatusCode) != args[1] {
		ts.Fatalf("webhook to %s: got %s, want %s", args[0], resp.Status, args[1])
	}
}

// newer DIR: makes a data directory as a later version would leave it.
func scriptNewer(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: newer DIR")
	}
	ts.Check(makeNewer(ts.MkAbs(args[0])))
}

// mode FILE MODE: expects a file to have that mode.
func scriptMode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: mode FILE MODE")
	}
	info, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	if got := info.Mode().String(); got != args[1] {
		ts.Fatalf("mode of %s: got %s, want %s", args[0], got, args[1])
	}
}

// id NAME: sets a variable to the last word of the first line of stdout.
func scriptID(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: id NAME")
	}
	line, _, _ := strings.Cut(ts.ReadFile("stdout"), "\n")
	words := strings.Fields(line)
	if len(words) == 0 {
		ts.Fatalf("stdout has no first line")
	}
	ts.Setenv(args[0], words[len(words)-1])
}

// fill TEMPLATE FILE: writes a file with the variables of a template filled in.
func scriptFill(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: fill TEMPLATE FILE")
	}
	text := os.Expand(ts.ReadFile(args[0]), ts.Getenv)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(text), 0o600))
}

// until PATTERN PROGRAM ARG...: runs a program repeatedly until it succeeds and its stdout
// matches.
func scriptUntil(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until PATTERN PROGRAM ARG...")
	}
	pattern, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		if ts.Exec(args[1], args[2:]...) == nil && pattern.MatchString(ts.ReadFile("stdout")) {
			return
		}
		if backoff.Pause(ctx, 50*time.Millisecond) != nil {
			ts.Fatalf("in a minute stdout had no match for %s", args[0])
		}
	}
}

func makeNewer(dir string) error {
	s, err := sqlite.Open(context.Background(), sqlite.Config{Dir: dir})
	if err != nil {
		return err
	}
	if err := s.Close(); err != nil {
		return err
	}
	db, err := sql.Open("sqlite", filepath.Join(dir, "ringback.db"))
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.Exec("PRAGMA user_version = 999; UPDATE store SET oldest_schema = 999")
	return err
}

// lockedBuffer can be written to by a server while a test reads it.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
