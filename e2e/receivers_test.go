package e2e_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ringback/ringback"
)

const (
	receivers = "../examples/receivers"

	whsecSecret = "whsec_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="
	plainSecret = "ein schlichtes Geheimnis: größer als 16 Bytes"
)

// exampleReceivers are the three, each as the command in its README.
var exampleReceivers = []struct {
	name    string
	command func(*testing.T) *exec.Cmd
}{
	{"Node with Express", func(t *testing.T) *exec.Cmd {
		return nodeCommand(t, receivers+"/node/receiver.js")
	}},
	{"Python with Flask", func(t *testing.T) *exec.Cmd {
		return pythonCommand(t, receivers+"/python/receiver.py")
	}},
	{"Go with net/http", func(t *testing.T) *exec.Cmd {
		return goCommand(t, receivers+"/go")
	}},
}

func TestExampleReceivers(t *testing.T) {
	t.Parallel()
	for _, example := range exampleReceivers {
		t.Run(example.name, func(t *testing.T) {
			t.Parallel()
			for _, secret := range []string{whsecSecret, plainSecret} {
				r := startReceiver(t, example.command(t), secret)
				t.Run("accepts each golden body once, however often it comes", func(t *testing.T) {
					acceptsOnce(t, r, parseSecret(t, secret))
				})
				t.Run("refuses what was not signed just now with its secret", func(t *testing.T) {
					refuses(t, r, parseSecret(t, secret))
				})
			}
			r := startReceiver(t, example.command(t), whsecSecret+","+plainSecret)
			t.Run("accepts the new secret while one is being replaced", func(t *testing.T) {
				acceptsOnce(t, r, parseSecret(t, whsecSecret))
			})
			t.Run("accepts the old secret while one is being replaced, and no other", func(t *testing.T) {
				refuses(t, r, parseSecret(t, plainSecret))
			})
		})
	}
}

func acceptsOnce(t *testing.T, r *receiver, secret ringback.Secret) {
	bodies := goldenBodies(t)
	bodies["one mebibyte"] = mebibyte(t)
	var want []accepted
	for name, body := range bodies {
		var job accepted
		if err := json.Unmarshal(body, &job); err != nil {
			t.Fatalf("golden body %s: %v", name, err)
		}
		want = append(want, job)
		for range 2 { // the second try of a delivery differs only in its timestamp
			if got := r.post(t, ringback.Sign(secret, "dlv_"+name, time.Now(), body), body); got.status/100 != 2 {
				t.Errorf("%s: got %d %s, want 2xx", name, got.status, got.body)
			}
		}
	}
	want = append(want, r.postLast(t, secret))
	if diff := cmp.Diff(want, r.acceptedUntil(t, want[len(want)-1])); diff != "" {
		t.Errorf("jobs accepted (-want +got):\n%s", diff)
	}
}

func refuses(t *testing.T, r *receiver, secret ringback.Secret) {
	body := goldenBodies(t)["unicode"]
	sign := func(s ringback.Secret, age time.Duration, body []byte) http.Header {
		return ringback.Sign(s, "dlv_refused", time.Now().Add(-age), body)
	}
	without := func(header string) http.Header {
		h := sign(secret, 0, body)
		h.Del(header)
		return h
	}
	garbled := sign(secret, 0, body)
	garbled.Set(ringback.HeaderWebhookSignature, "v1,no-base64!")

	tests := []struct {
		name    string
		headers http.Header
		body    []byte
	}{
		{"a tampered body", sign(secret, 0, body), bytes.Replace(body, []byte("completed"), []byte("Completed"), 1)},
		{"a cut body", sign(secret, 0, body), body[:len(body)-1]},
		{"no body", sign(secret, 0, body), nil},
		{"a timestamp of six minutes ago", sign(secret, 6*time.Minute, body), body},
		{"a timestamp in six minutes", sign(secret, -6*time.Minute, body), body},
		{"another secret", sign(ringback.NewSecret(), 0, body), body},
		{"a signature that is not base64", garbled, body},
		{"no id", without(ringback.HeaderWebhookID), body},
		{"no timestamp", without(ringback.HeaderWebhookTimestamp), body},
		{"X-Webhook-Signature alone", without(ringback.HeaderWebhookSignature), body},
	}
	for _, test := range tests {
		if got := r.post(t, test.headers, test.body); got.status != http.StatusUnauthorized {
			t.Errorf("%s: got %d %s, want 401", test.name, got.status, got.body)
		}
	}
	last := r.postLast(t, secret)
	if diff := cmp.Diff([]accepted{last}, r.acceptedUntil(t, last)); diff != "" {
		t.Errorf("jobs accepted (-want +got):\n%s", diff)
	}
}

func TestReceiversRefuseToStartWithoutASecret(t *testing.T) {
	t.Parallel()
	for _, example := range exampleReceivers {
		t.Run(example.name, func(t *testing.T) {
			t.Parallel()
			cmd := example.command(t)
			cmd.Env = append(os.Environ(), "WEBHOOK_SECRET=", "PORT=0")
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "set WEBHOOK_SECRET") {
				t.Errorf("got %v and %q, want an exit that names WEBHOOK_SECRET", err, out)
			}
		})
	}
}

// The receivers' official libraries verify a webhook with a known secret, id and time and
// two signatures, each by either key alone, and sign the same.
func TestOfficialLibrariesAgreeBothWays(t *testing.T) {
	secrets := []string{whsecSecret, "whsec_8O/u7ezr6uno5+bl5OPi4eDf3t3c29rZ"}
	const (
		id   = "dlv_01JXYZ0123456789ABCDEFGHJK"
		at   = 1767225600
		body = `{"type":"job.completed","timestamp":"2026-01-01T00:00:00Z","job_id":"job_1","status":"completed","result":"Grüße 👋\n<b>"}`
	)
	want := []string{"v1,lOIq+/Dcj36OSpctdxO2qrchwsM7ROJeKg0AdTGgCNw=", "v1,5/uoZ3O3BgfrBt/P9WtgZKaLJgf2gMyzrKABEXggZrU="}
	vector, err := json.Marshal(map[string]any{
		"secrets": secrets, "id": id, "timestamp": at, "body": body, "signature": strings.Join(want, " "),
	})
	if err != nil {
		t.Fatal(err)
	}
	libraries := map[string]*exec.Cmd{
		"npm":  nodeCommand(t, besideModules(t, "testdata/vector/vector.mjs")),
		"PyPI": pythonCommand(t, "testdata/vector/vector.py"),
	}
	for name, cmd := range libraries {
		t.Run(name, func(t *testing.T) {
			cmd.Stdin, cmd.Stderr = bytes.NewReader(vector), os.Stderr
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("the library of %s does not verify: %v", name, err)
			}
			var signed []string
			if err := json.Unmarshal(out, &signed); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, signed); diff != "" {
				t.Errorf("signatures (-want +got):\n%s", diff)
			}
			for i, secret := range secrets {
				h := ringback.Sign(parseSecret(t, secret), id, time.Unix(at, 0), []byte(body))
				h.Set(ringback.HeaderWebhookSignature, signed[i])
				if err := ringback.VerifyAt(time.Unix(at, 0), h, []byte(body), parseSecret(t, secret)); err != nil {
					t.Errorf("Verify of what %s signed: %v", name, err)
				}
			}
		})
	}
}

// receiver is a program that runs as a separate process and receives webhooks.
type receiver struct {
	url    string
	stdout *bufio.Scanner
	client *http.Client
}

// accepted is what a receiver prints of a job that it accepts.
type accepted struct {
	JobID  string `json:"job_id"`
	Status string `json:"status"`
}

var listening = regexp.MustCompile(`listening on (http://127\.0\.0\.1:\d+/\S+)`)

// startReceiver starts cmd on a free port and waits until it prints where it listens. It is
// killed when the test ends.
func startReceiver(t *testing.T, cmd *exec.Cmd, secret string) *receiver {
	t.Helper()
	cmd.Env = append(os.Environ(), "WEBHOOK_SECRET="+secret, "PORT=0")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start the receiver: %v", err)
	}
	urls := make(chan string, 1) // closed when stderr ends
	go func() {
		defer close(urls)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			if m := listening.FindStringSubmatch(lines.Text()); m != nil {
				urls <- m[1]
			} else {
				t.Log(lines.Text())
			}
		}
	}()
	transport := &http.Transport{}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		cmd.Process.Kill()
		for range urls { // until its stderr has ended
		}
		cmd.Wait()
	})
	url, ok := <-urls
	if !ok {
		t.Fatalf("%s ended before it said where it listens", cmd)
	}
	return &receiver{url: url, stdout: bufio.NewScanner(stdout), client: &http.Client{Transport: transport}}
}

type answer struct {
	status int
	body   []byte
}

// post delivers body as Ringback does.
func (r *receiver) post(t *testing.T, signature http.Header, body []byte) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = signature
	req.Header.Set("Content-Type", "application/json")
	resp, err := r.client.Do(req)
	if err != nil {
		t.Fatalf("deliver: %v", err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("read the receiver's answer: %v", err)
	}
	return answer{resp.StatusCode, got}
}

// postLast delivers one more job, so that acceptedUntil knows where to end.
func (r *receiver) postLast(t *testing.T, secret ringback.Secret) accepted {
	t.Helper()
	job := accepted{JobID: "the last of " + t.Name(), Status: "failed"}
	body, err := json.Marshal(job)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.post(t, ringback.Sign(secret, "dlv_last_"+t.Name(), time.Now(), body), body); got.status/100 != 2 {
		t.Fatalf("the last job: got %d %s, want 2xx", got.status, got.body)
	}
	return job
}

// acceptedUntil reads what the receiver printed, up to the last job.
func (r *receiver) acceptedUntil(t *testing.T, last accepted) []accepted {
	t.Helper()
	var jobs []accepted
	for r.stdout.Scan() {
		var job accepted
		if err := json.Unmarshal(r.stdout.Bytes(), &job); err != nil {
			t.Fatalf("the receiver printed %q: %v", r.stdout.Bytes(), err)
		}
		jobs = append(jobs, job)
		if job == last {
			return jobs
		}
	}
	t.Fatalf("the receiver's stdout ended after %d jobs: %v", len(jobs), r.stdout.Err())
	return nil
}

func nodeCommand(t *testing.T, script string) *exec.Cmd {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatal("there is no node in PATH: run ./test.sh once, it says how to get it")
	}
	need(t, receivers+"/node/node_modules/express/package.json")
	need(t, script)
	return exec.CommandContext(t.Context(), node, script)
}

func pythonCommand(t *testing.T, script string) *exec.Cmd {
	t.Helper()
	python := receivers + "/python/.venv/bin/python"
	need(t, python)
	need(t, script)
	return exec.CommandContext(t.Context(), python, script)
}

func goCommand(t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	need(t, dir+"/main.go")
	binary := filepath.Join(t.TempDir(), "receiver")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, dir).CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", dir, err, out)
	}
	return exec.CommandContext(t.Context(), binary)
}

// need ends the test if the file is missing, saying how to get it. It opens the file, so
// that go test does not reuse a cached result after it has changed.
func need(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatalf("%v: run ./test.sh once, it installs what the tests use", err)
	}
	f.Close()
}

// besideModules copies a script to where Node finds the modules of the example
// receiver, and returns its path.
func besideModules(t *testing.T, script string) string {
	t.Helper()
	dir := t.TempDir()
	text, err := os.ReadFile(script)
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(dir, filepath.Base(script))
	if err := os.WriteFile(copied, text, 0o600); err != nil {
		t.Fatal(err)
	}
	modules, err := filepath.Abs(receivers + "/node/node_modules")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	return copied
}

// goldenBodies returns webhooks as Ringback sends them, by name.
func goldenBodies(t *testing.T) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob("testdata/seed/*.json")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no golden bodies in testdata/seed (%v)", err)
	}
	bodies := make(map[string][]byte, len(paths))
	for _, path := range paths {
		body, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		bodies[strings.TrimSuffix(filepath.Base(path), ".json")] = body
	}
	return bodies
}

// mebibyte returns a webhook with a long answer full of what parsers stumble over.
func mebibyte(t *testing.T) []byte {
	t.Helper()
	const awkward = "Grüße 👋 <b>&amp;</b> \u2028 \"\\ "
	result := strings.Repeat(awkward, 1<<20/len(awkward)+1)
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(map[string]string{"job_id": "long", "status": "completed", "result": result}); err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSuffix(body.Bytes(), []byte("\n"))
}

func parseSecret(t *testing.T, text string) ringback.Secret {
	t.Helper()
	secret, err := ringback.ParseSecret(text)
	if err != nil {
		t.Fatal(err)
	}
	return secret
}
