package e2e_test

import (
	"crypto/sha256"
	"database/sql"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"
	_ "modernc.org/sqlite" // to write what a newer version would

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/client"
)

// Mistakes of operators, and things that may be broken: a start that cannot succeed ends
// with its documented code and one sentence that says what to do, and leaves the data
// directory as it was, byte for byte.

// fault is one such start. break causes it, given a directory with jobs in it, and returns
// how to start the server.
type fault struct {
	name   string
	code   int
	says   string // a regular expression for the whole of stderr
	damage func(t *testing.T, dir string) start
}

// start is how to start a server; empty fields mean the normal way.
type start struct {
	env  []string
	args []string
	dir  string // another data directory
	addr string
}

var faults = []fault{
	{"a port in use", 4, `is in use by another program; stop that, or listen elsewhere with --addr`, func(t *testing.T, _ string) start {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		t.Cleanup(func() { l.Close() })
		return start{addr: l.Addr().String()}
	}},
	{"an address of another machine", 4, `192\.0\.2\.1:8080 is not an address of this machine; correct --addr`, func(*testing.T, string) start {
		return start{addr: "192.0.2.1:8080", args: []string{"--insecure"}}
	}},
	{"a file for a directory", 5, `is not a directory; correct --data`, func(_ *testing.T, dir string) start {
		return start{dir: filepath.Join(dir, "ringback.db")}
	}},
	{"a database that is none", 5, `is corrupt and was not changed: .*; restore it from a backup, or move it away`, func(t *testing.T, dir string) start {
		overwrite(t, dir, "ringback.db", 0, 100)
		return start{}
	}},
	{"a database with garbage behind its first page", 5, `is corrupt and was not changed: .*; restore it from a backup, or move it away`, func(t *testing.T, dir string) start {
		overwrite(t, dir, "ringback.db", 4096, 1<<30)
		return start{}
	}},
	{"a database that was cut in half", 5, `is corrupt and was not changed: .*; restore it from a backup, or move it away`, func(t *testing.T, dir string) start {
		file := filepath.Join(dir, "ringback.db")
		info, err := os.Stat(file)
		must(t, err)
		must(t, os.Truncate(file, info.Size()/2))
		return start{}
	}},
	{"a database that a newer version wrote", 5, `was written by a newer ringback and was not changed: .*; start that version, or use another directory with --data`, func(t *testing.T, dir string) start {
		db, err := sql.Open("sqlite", filepath.Join(dir, "ringback.db"))
		must(t, err)
		defer db.Close()
		_, err = db.Exec("PRAGMA user_version = 999; UPDATE store SET oldest_schema = 999")
		must(t, err)
		return start{}
	}},
	{"a webhook secret that is none", 5, `webhook-secret: .*; restore the file, or set WEBHOOK_SECRET`, func(t *testing.T, dir string) start {
		must(t, os.WriteFile(filepath.Join(dir, "webhook-secret"), []byte("whsec_no\n"), 0o600))
		return start{env: []string{"WEBHOOK_SECRET="}}
	}},
	{"no provider", 2, `no provider is set up; set EZAI_API_KEY, ANTHROPIC_API_KEY or OPENAI_API_KEY, .* or start with --simulate`, func(*testing.T, string) start {
		return start{env: []string{"EZAI_API_KEY="}}
	}},
	{"a configuration file with an unknown key", 2, `ringback\.yaml:2: there is no key "adr"; there are addr, `, func(t *testing.T, _ string) start {
		return start{args: []string{"--config", write(t, "ringback.yaml", "# one line\nadr: 127.0.0.1:8080\n")}}
	}},
	{"a configuration file that is no YAML", 2, `ringback\.yaml:1: is not YAML: `, func(t *testing.T, _ string) start {
		return start{args: []string{"--config", write(t, "ringback.yaml", "addr: [")}}
	}},
	{"no configuration file where one is named", 2, `nowhere\.yaml does not exist; correct --config or RINGBACK_CONFIG`, func(*testing.T, string) start {
		return start{env: []string{"RINGBACK_CONFIG=nowhere.yaml"}}
	}},
	{"a flag that is none", 2, `unknown flag: --colour`, func(*testing.T, string) start {
		return start{args: []string{"--colour"}}
	}},
	{"an address for all without a key", 2, `other machines can reach .*; set RINGBACK_API_KEY, or listen on 127\.0\.0\.1, or use --insecure`, func(*testing.T, string) start {
		return start{addr: "0.0.0.0:0"}
	}},
	{"a secret that is too short", 2, `WEBHOOK_SECRET: `, func(*testing.T, string) start {
		return start{env: []string{"WEBHOOK_SECRET=whsec_c2hvcnQ="}}
	}},
}

func TestAStartThatCannotSucceedSaysWhatToDoAndChangesNothing(t *testing.T) {
	t.Parallel()
	pristine := used(t)
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "data")
			must(t, os.CopyFS(dir, os.DirFS(pristine)))
			how := f.damage(t, dir)
			before := contents(t, dir)
			got := startFails(t, append([]string{"EZAI_API_KEY=key", "WEBHOOK_SECRET=" + whsecSecret}, how.env...), how.arguments(dir)...)
			wantRefusal(t, got, f.code, f.says)
			if diff := cmp.Diff(before, contents(t, dir)); diff != "" {
				t.Errorf("the data directory (-before +after):\n%s", diff)
			}
		})
	}
}

func (s start) arguments(dir string) []string {
	if s.dir != "" {
		dir = s.dir
	}
	if s.addr == "" {
		s.addr = "127.0.0.1:0"
	}
	return append([]string{"--data", dir, "--addr", s.addr}, s.args...)
}

func wantRefusal(t *testing.T, got refusal, code int, says string) {
	t.Helper()
	if got.code != code {
		t.Errorf("exit code %d, want %d", got.code, code)
	}
	if !regexp.MustCompile(`^ringback: [^\n]*` + says).MatchString(got.stderr) {
		t.Errorf("stderr: got %q, want ringback: … %s", got.stderr, says)
	}
	if lines := strings.Count(got.stderr, "\n") + 1; lines > 2 || strings.Contains(got.stderr, "goroutine ") {
		t.Errorf("stderr: got %d lines, want one sentence:\n%s", lines, got.stderr)
	}
}

// used makes a data directory with jobs in it, as a server leaves it that was stopped in
// order.
func used(t *testing.T) string {
	t.Helper()
	w := newWorld(t, setup{})
	s := w.start()
	w.ready()
	for n := range 50 {
		w.submit(ringback.Request{Prompt: strings.Repeat(fmt.Sprintf("job %d ", n), 100), Model: "sim/echo"})
	}
	eventually(t, "50 webhooks", func() bool { return len(w.receiver.Deliveries()) == 50 })
	s.terminate(syscall.SIGINT)
	return w.dir
}

// contents returns what is in a directory: mode, size and hash by path.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	must(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		all[path] = info.Mode().String()
		if info.Mode().IsRegular() {
			text, err := os.ReadFile(path)
			all[path] += fmt.Sprintf(" %d bytes %x", len(text), sha256.Sum256(text))
			return err
		}
		return nil
	}))
	return all
}

// overwrite overwrites that many bytes of a file with garbage, at most to its end.
func overwrite(t *testing.T, dir, name string, from, n int) {
	t.Helper()
	file := filepath.Join(dir, name)
	text, err := os.ReadFile(file)
	must(t, err)
	for i := from; i < min(from+n, len(text)); i++ {
		text[i] = byte(i*7 + i>>8)
	}
	must(t, os.WriteFile(file, text, 0o600))
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	must(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

// A second process on the same directory gets an error, and the first continues.
func TestASecondProcessOnTheSameDirectoryIsToldSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{})
	w.start()
	w.ready()
	before := contents(t, filepath.Dir(w.config))
	env := []string{"EZAI_API_KEY=key", "WEBHOOK_SECRET=" + whsecSecret}
	wantRefusal(t, startFails(t, env, "--data", w.dir, "--addr", "127.0.0.1:0"),
		3, `is in use by another ringback; stop that one, or give this one its own directory with --data`)
	wantRefusal(t, startFails(t, env, "--data", w.dir, "--addr", w.address()),
		3, `another ringback is running on data directory .*; stop it, or give this one its own --data and --addr`)
	if diff := cmp.Diff(before, contents(t, filepath.Dir(w.config))); diff != "" {
		t.Errorf("the first one's directory (-before +after):\n%s", diff)
	}
	if job := w.delivered(w.submit(ringback.Request{Prompt: "still there?", Model: "sim/echo"})); job.Status != ringback.Completed {
		t.Errorf("the first one's next job is %s", job.Status)
	}
}

// A crash of the machine may leave garbage in the write-ahead log: what was committed
// before it is there.
func TestGarbageInTheLogLosesNothingBeforeIt(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(t *testing.T, w *world){
		"where no log was": func(t *testing.T, w *world) {
			must(t, os.WriteFile(filepath.Join(w.dir, "ringback.db-wal"), []byte(strings.Repeat("garbage ", 10_000)), 0o600))
		},
		"behind its last frame": func(t *testing.T, w *world) {
			w.start().kill() // leaves a log
			f, err := os.OpenFile(filepath.Join(w.dir, "ringback.db-wal"), os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600)
			must(t, err)
			_, err = f.WriteString(strings.Repeat("garbage ", 10_000))
			must(t, err)
			must(t, f.Close())
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, setup{})
			must(t, os.CopyFS(w.dir, os.DirFS(used(t))))
			damage(t, w)
			s := w.start()
			w.ready()
			page, err := w.api.List(t.Context(), client.Query{Limit: 100})
			must(t, err)
			if len(page.Data) != 50 {
				t.Errorf("%d jobs are left, want 50", len(page.Data))
			}
			if job := w.delivered(w.submit(ringback.Request{Prompt: "and further?", Model: "sim/echo"})); job.Status != ringback.Completed {
				t.Errorf("the next job is %s", job.Status)
			}
			s.terminate(syscall.SIGTERM)
		})
	}
}

// A callback into the operator's network is refused when it is submitted, with the way to
// allow it.
func TestAWrongCallbackIsRefusedWithTheReason(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{})
	s := launch(t, w.command, w.env, "--addr", "127.0.0.1:0", "--data", w.dir, "--config", w.config)
	w.leadTo(strings.TrimPrefix(<-s.up, "http://"))
	for url, reason := range map[string]string{
		"http://127.0.0.1:9099/hook":     "--allow-callback",
		"http://10.0.0.7/hook":           "10.0.0.7 is private; the operator can open it with --allow-callback",
		"http://169.254.169.254/latest":  "169.254.169.254",
		"ftp://app.example/hook":         "http",
		"app.example/hook":               "http",
		"https://user:pass@app.example/": "user",
		"https://app.example/hook#part":  "fragment",
		"https://app.example:22/hook":    "port",
		"http://[::1]:9099/hook":         "--allow-callback",
		"https://app.example/a path":     "control",
	} {
		status, _, body := w.post(t, "/api/generate", fmt.Sprintf(`{"prompt":"Hello","model":"sim/echo","callback_url":%q}`, url))
		message := gjson.GetBytes(body, "error").Str
		if status != http.StatusBadRequest || gjson.GetBytes(body, "field").Str != "callback_url" || !strings.Contains(message, reason) {
			t.Errorf("%s: got %d %s, want 400 on callback_url that says %q", url, status, compact(body), reason)
		}
	}
}
