package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"

	"github.com/ringback/ringback"
)

// The answers of real servers, byte for byte, and the right result for each. Those of the
// first file come from public reports; the others have more of the same kinds: about the
// meaning of an answer, and about how it is read.
var answerFiles = []string{"testdata/provider-answers.jsonl", "testdata/provider-answers-more.jsonl", "testdata/provider-answers-read.jsonl", "testdata/provider-answers-odd.jsonl"}

// providerAnswer is a line of such a file: a server's answer to each call.
type providerAnswer struct {
	Name     string
	Protocol string
	HTTP     []answerPiece
	Expect   answerExpected

	job   string
	calls atomic.Int64
}

// answerExpected is the expected result for the job.
type answerExpected struct {
	Status string      // completed or failed; hold-model or hold-key: it waits, at no cost
	Text   string      // of the answer; not checked if empty
	Tools  [][2]string // the names of the tools that it calls, and their input
	Clean  bool        // the response has the protocol's members and no others
	Says   string      // part of the job's error
	Code   string      // that of the job's error
	Calls  int64       // that the provider had; 0: any number
	Within float64     // seconds
}

// answerPiece is bytes to send, or something else to do.
type answerPiece struct {
	text   []byte
	repeat int           // how often text is sent
	wait   time.Duration // before the next piece
	reset  bool          // breaks the connection off
}

// UnmarshalJSON reads a string, {"base64": …} with or without "repeat",
// {"wait_s": …} or {"reset": true}.
func (p *answerPiece) UnmarshalJSON(b []byte) error {
	p.repeat = 1
	var text string
	if json.Unmarshal(b, &text) == nil {
		p.text = []byte(text)
		return nil
	}
	var piece struct {
		Base64 []byte
		Repeat int
		WaitS  float64 `json:"wait_s"`
		Reset  bool
	}
	if err := json.Unmarshal(b, &piece); err != nil {
		return err
	}
	p.text, p.repeat, p.reset = piece.Base64, max(piece.Repeat, 1), piece.Reset
	p.wait = time.Duration(piece.WaitS * float64(time.Second))
	return nil
}

func TestAnswersOfRealServersAreReadAsTheirUsersWant(t *testing.T) {
	t.Parallel()
	answers := loadAnswers(t)
	w := newWorld(t, setup{})
	must(t, os.WriteFile(w.config, []byte(providersOf(answers, answerAsRecorded(t, answers))), 0o600))
	w.start("--log-level", "debug", "--concurrency", "200")
	for _, a := range answers { // all at once: some take seconds
		a.submit(t, w)
	}
	for _, a := range answers {
		t.Run(a.Name, func(t *testing.T) { a.check(t, w) })
	}
}

func loadAnswers(t *testing.T) []*providerAnswer {
	t.Helper()
	var answers []*providerAnswer
	for _, file := range answerFiles {
		lines, err := os.ReadFile(file)
		must(t, err)
		for line := range bytes.Lines(lines) {
			a := new(providerAnswer)
			must(t, json.Unmarshal(line, a))
			answers = append(answers, a)
		}
	}
	return answers
}

// providersOf makes each answer a provider with its own model, since a hold of one must not
// affect the others.
func providersOf(answers []*providerAnswer, url string) string {
	var providers, routes strings.Builder
	for _, a := range answers {
		fmt.Fprintf(&providers, "  %s: {protocol: %s, base_url: \"%s/%s\"}\n", a.Name, a.Protocol, url, a.Name)
		fmt.Fprintf(&routes, "  - {model: %q, provider: %s}\n", a.Name, a.Name)
	}
	return "providers:\n" + providers.String() + "routes:\n" + routes.String()
}

// answerAsRecorded starts a server that sends the answer whose name the path begins with.
func answerAsRecorded(t *testing.T, answers []*providerAnswer) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	ctx, end := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer context.AfterFunc(ctx, func() { c.Close() })()
				defer c.Close()
				r, err := http.ReadRequest(bufio.NewReader(c))
				if err != nil {
					return
				}
				_, _ = io.Copy(io.Discard, r.Body)
				name := strings.Split(r.URL.Path, "/")[1]
				if at := slices.IndexFunc(answers, func(a *providerAnswer) bool { return a.Name == name }); at >= 0 {
					answers[at].send(ctx, c)
				}
			})
		}
	})
	t.Cleanup(func() { l.Close(); end(); all.Wait() })
	return "http://" + l.Addr().String()
}

func (a *providerAnswer) send(ctx context.Context, c net.Conn) {
	a.calls.Add(1)
	for _, piece := range a.HTTP {
		if piece.reset {
			awaitReceived(ctx, c) // it is what the test is about
			_ = c.(*net.TCPConn).SetLinger(0)
			return
		}
		for range piece.repeat {
			if _, err := c.Write(piece.text); err != nil {
				return
			}
		}
		if piece.wait > 0 && !sleep(ctx, piece.wait) {
			return
		}
	}
}

// submit submits a job that gets the answer.
func (a *providerAnswer) submit(t *testing.T, w *world) {
	request := ringback.Request{Model: a.Name, Prompt: a.Name, Events: &[]ringback.EventType{}}
	if a.Expect.Status == "failed" && a.Expect.Calls == 0 {
		request.MaxAttempts = new(1) // no need to wait for more
	}
	accepted, err := w.api.Submit(t.Context(), request)
	must(t, err)
	a.job = accepted.JobID
}

// check checks the job's result.
func (a *providerAnswer) check(t *testing.T, w *world) {
	switch a.Expect.Status {
	case "completed", "failed":
		a.checkEnd(t, w)
	case "hold-model", "hold-key":
		a.checkHold(t, w)
	default:
		t.Fatalf("the file expects %q, which is none of our words", a.Expect.Status)
	}
	if calls := a.calls.Load(); a.Expect.Calls > 0 && calls != a.Expect.Calls {
		t.Errorf("the provider was called %d times, want %d", calls, a.Expect.Calls)
	}
}

// checkEnd waits for the end of the job.
func (a *providerAnswer) checkEnd(t *testing.T, w *world) {
	job := w.ended(a.job)
	if string(job.Status) != a.Expect.Status {
		t.Fatalf("the job is %s (%q), want %s", job.Status, job.Error, a.Expect.Status)
	}
	if !strings.Contains(job.Error, a.Expect.Says) {
		t.Errorf("the job's error is %q, want one that says %q", job.Error, a.Expect.Says)
	}
	if a.Expect.Code != "" && string(job.ErrorDetail.Code) != a.Expect.Code {
		t.Errorf("the code of the job's error is %s (%q), want %s", job.ErrorDetail.Code, job.Error, a.Expect.Code)
	}
	if took := job.EndedAt.Sub(job.CreatedAt.Time); a.Expect.Within > 0 && took.Seconds() > a.Expect.Within {
		t.Errorf("the job took %s, want %g s at most", took, a.Expect.Within)
	}
	if job.Status != ringback.Completed {
		return
	}
	if a.Expect.Text != "" && *job.Result != a.Expect.Text {
		t.Errorf("the text is %q, want %q", *job.Result, a.Expect.Text)
	}
	if diff := cmp.Diff(a.Expect.Tools, toolsOf(job.Response)); a.Expect.Tools != nil && diff != "" {
		t.Errorf("the tools that are called (-want +got):\n%s", diff)
	}
	if a.Expect.Clean {
		checkClean(t, a.Protocol, job.Response)
	}
}

// checkHold waits until the job waits for its model, or for the key, without an attempt
// that counts.
func (a *providerAnswer) checkHold(t *testing.T, w *world) {
	eventually(t, "the first attempt ends", func() bool {
		attempts, err := w.api.Attempts(t.Context(), a.job)
		must(t, err)
		return len(attempts) > 0 && !attempts[0].EndedAt.IsZero()
	})
	var job ringback.Job
	eventually(t, "the job says what it waits for", func() (says bool) {
		var err error
		job, err = w.api.Get(t.Context(), a.job)
		must(t, err)
		return job.StatusReason != "" || job.Status.Terminal() // a probe has none
	})
	outcomes := w.outcomes(a.job)
	if outcomes[0] != ringback.AttemptRefused || job.Attempts != 0 || job.Status.Terminal() {
		t.Fatalf("the job is %s (%q) after %v, want it to wait", job.Status, job.Error, outcomes)
	}
	if ofKey := job.StatusReason == string(ringback.CodeProviderRefusedKey); ofKey != (a.Expect.Status == "hold-key") {
		t.Errorf("the job waits for %q, want %s", job.StatusReason, a.Expect.Status)
	}
}

// toolsOf returns the tools that a message of either protocol calls.
func toolsOf(message []byte) (tools [][2]string) {
	for _, call := range gjson.GetBytes(message, "choices.0.message.tool_calls").Array() {
		tools = append(tools, [2]string{call.Get("function.name").Str, call.Get("function.arguments").Str})
	}
	for _, block := range gjson.GetBytes(message, `content.#(type=="tool_use")#`).Array() {
		tools = append(tools, [2]string{block.Get("name").Str, block.Get("input").Raw})
	}
	return tools
}

func checkClean(t *testing.T, protocol string, message []byte) {
	t.Helper()
	known := map[string][]string{
		"openai":    {"id", "object", "created", "model", "choices", "usage"},
		"anthropic": {"id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "usage"},
	}[protocol]
	gjson.ParseBytes(message).ForEach(func(name, _ gjson.Result) bool {
		if !slices.Contains(known, name.Str) {
			t.Errorf("the response has a member %s: %s", name.Str, message)
		}
		return true
	})
}
