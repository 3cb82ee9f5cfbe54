package e2e_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"

	"github.com/ringback/ringback"
)

const clients = "../examples/submit/"

// exampleClients are the three, each as the command in their README.
var exampleClients = []struct {
	name    string
	command []string
	prompt  string
}{
	{"sh with curl", []string{"sh", clients + "submit.sh"}, "What is a webhook?"},
	{"Node", []string{"node", clients + "submit.mjs", "Grüße & \"quotes\""}, "Grüße & \"quotes\""},
	{"Python", []string{"python3", clients + "submit.py", "Grüße & \"quotes\""}, "Grüße & \"quotes\""},
}

func TestExampleClientsSubmitAJob(t *testing.T) {
	t.Parallel()
	for _, example := range exampleClients {
		t.Run(example.name, func(t *testing.T) {
			t.Parallel()
			need(t, example.command[1])
			w := newWorld(t, setup{})
			w.env = append(w.env, "RINGBACK_API_KEY=key-of-clients")
			w.start()
			busy := newBusyProxy(t, w.url())
			run := func(server, key string) ([]byte, error) {
				cmd := exec.CommandContext(t.Context(), example.command[0], example.command[1:]...)
				cmd.Env = append(cleanEnviron(), "RINGBACK_URL="+server, "RINGBACK_API_KEY="+key, "CALLBACK_URL="+w.callback, "MODEL=sim/echo")
				cmd.Stderr = os.Stderr
				return cmd.Output()
			}

			out, err := run(busy.url, "key-of-clients")
			if err != nil || gjson.GetBytes(out, "status").Str != "queued" {
				t.Fatalf("it printed %q (%v), want the accepted job", out, err)
			}
			d := w.webhook(gjson.GetBytes(out, "job_id").Str)
			if got := gjson.GetBytes(d.Body, "result").Str; d.Status != string(ringback.Completed) || got != example.prompt {
				t.Errorf("its job is %s with %q, want the echo of %q", d.Status, got, example.prompt)
			}
			if len(busy.requests) != 2 || busy.requests[0].key == "" {
				t.Fatalf("it made the requests %v, want two with a key, the first one refused", busy.requests)
			}
			if diff := cmp.Diff(busy.requests[0], busy.requests[1], cmp.AllowUnexported(attempt{})); diff != "" {
				t.Errorf("its second request differs (-first +second):\n%s", diff)
			}

			if out, err := run(w.url(), "another-key"); err == nil {
				t.Errorf("with a wrong key it ended well and printed %q", out)
			}
		})
	}
}

// busyProxy is in front of a server and refuses the first request, like a server that is
// restarting.
type busyProxy struct {
	url      string
	mu       sync.Mutex
	requests []attempt
}

// attempt is what must be the same when a submission is repeated.
type attempt struct{ key, body string }

func newBusyProxy(t *testing.T, server string) *busyProxy {
	t.Helper()
	to, err := url.Parse(server)
	must(t, err)
	p := &busyProxy{}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	through := &httputil.ReverseProxy{Transport: transport, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.note(r) == 1 {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, `{"error":"the server is stopping; try again in a moment","code":"unavailable"}`)
			return
		}
		through.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	p.url = s.URL
	return p
}

// note records a request and returns its number.
func (p *busyProxy) note(r *http.Request) int {
	body, _ := io.ReadAll(r.Body) // what is cut off differs from the next
	r.Body = io.NopCloser(bytes.NewReader(body))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests = append(p.requests, attempt{r.Header.Get("Idempotency-Key"), string(body)})
	return len(p.requests)
}
