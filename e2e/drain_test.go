package e2e_test

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/simulate"
)

// slowly returns a request whose answer has many words.
func slowly(prompt string) ringback.Request {
	return ringback.Request{Prompt: prompt, Model: "sim/slow?words=20&pace=1ms"}
}

func TestSIGTERMLetsRunningCallsEnd(t *testing.T) {
	t.Parallel()
	halfway := newBarrier(10)
	w := newWorld(t, setup{barrier: halfway})
	s := w.start()
	w.ready()
	id := w.submit(slowly("in the middle"))
	w.call(func(c simulate.Call) bool { return c.Words >= 10 })
	waiter := w.waitFor(id)
	ahead, err := net.Dial("tcp", w.address()) // like clients that open connections ahead of need
	must(t, err)
	defer ahead.Close()

	s.signal(syscall.SIGTERM)
	eventually(t, "unready while a call runs", func() bool { return w.readiness() == http.StatusServiceUnavailable })
	wantUnavailable(t, w, `{"prompt":"too late","model":"sim/echo","callback_url":"`+w.callback+`"}`)
	halfway.lift()
	wantAnswer(t, waiter, id, ringback.Completed)
	if code := s.ends(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	if slices.ContainsFunc(s.tail(100), func(line string) bool { return strings.Contains(line, "cut off") }) {
		t.Error("it waited for a connection that never sent anything")
	}

	w.start()
	w.ready()
	if job := w.delivered(id); job.Status != ringback.Completed {
		t.Errorf("the job is %s, want completed", job.Status)
	}
	if diff := cmp.Diff([]ringback.AttemptOutcome{ringback.AttemptAnswered}, w.outcomes(id)); diff != "" {
		t.Errorf("its ledger (-want +got):\n%s", diff)
	}
	if n := len(w.calls.Calls()); n != 1 {
		t.Errorf("%d calls of the provider, want 1", n)
	}
	if n := len(w.receiver.Deliveries()); n != 1 {
		t.Errorf("%d webhooks in all, want 1", n)
	}
}

// wantUnavailable checks that a submission gets a 503, and when to retry.
func wantUnavailable(t *testing.T, w *world, request string) {
	t.Helper()
	status, header, body := w.post(t, "/api/generate", request)
	var e ringback.Error
	if err := json.Unmarshal(body, &e); err != nil || status != http.StatusServiceUnavailable || e.Code != ringback.Unavailable || header.Get("Retry-After") == "" {
		t.Errorf("a submission got %d %s, Retry-After %q, want 503 unavailable and a time", status, compact(body), header.Get("Retry-After"))
	}
}

type waited struct {
	job ringback.Job
	err error
}

// wantAnswer checks that the client that waited for a job got it, in one of these states.
func wantAnswer(t *testing.T, waiter <-chan waited, id string, states ...ringback.Status) {
	t.Helper()
	switch answer := <-waiter; {
	case answer.err != nil:
		t.Errorf("who waited for the job got no answer: %v", answer.err)
	case answer.job.ID != id || !slices.Contains(states, answer.job.Status):
		t.Errorf("who waited for the job got %s %s, want %s %s", answer.job.ID, answer.job.Status, id, states)
	}
}

// waitFor waits for the end of a job, like a client. It returns once the request is in
// progress.
func (w *world) waitFor(id string) <-chan waited {
	w.t.Helper()
	sent := make(chan struct{})
	ctx := httptrace.WithClientTrace(w.t.Context(), &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { close(sent) }})
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1/api/jobs/"+id+"?wait=60", nil)
	must(w.t, err)
	got := make(chan waited, 1)
	go func() {
		var answer waited
		resp, err := w.http.Do(req)
		if err == nil {
			err = json.NewDecoder(resp.Body).Decode(&answer.job)
			resp.Body.Close()
		}
		answer.err = err
		got <- answer
	}()
	select {
	case <-sent:
	case answer := <-got:
		w.t.Fatalf("wait for %s: %v", id, answer.err)
	}
	return got
}

// Calls and webhooks that do not finish within the drain's time are neither lost nor
// failed: calls in the middle of an answer are uncertain and repeated, webhooks are sent
// again.
func TestWhatOutlastsTheDrainGoesOnAfterTheRestart(t *testing.T) {
	t.Parallel()
	prompts := []string{"the first", "the second", "the third"}
	halfway := newBarrier(10, prompts...)
	w := newWorld(t, setup{barrier: halfway, receiver: simulate.ReceiverConfig{Answer: func(d simulate.Delivery) simulate.Answer {
		if d.Status == string(ringback.Completed) && d.Try == 1 {
			return simulate.Answer{Fault: simulate.Hang}
		}
		return simulate.Answer{}
	}}})
	s := w.start("--drain-timeout", "100ms")
	w.ready()
	sending := w.submit(ringback.Request{Prompt: "answered at once", Model: "sim/echo"})
	w.webhook(sending)
	var cut []string
	for _, prompt := range prompts {
		cut = append(cut, w.submit(slowly(prompt)))
		w.call(func(c simulate.Call) bool { return c.Prompt == prompt && c.Words >= 10 })
	}
	waiter := w.waitFor(cut[0])
	s.signal(syscall.SIGTERM)
	wantAnswer(t, waiter, cut[0], ringback.Running, ringback.Queued)
	if code := s.ends(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	halfway.lift()

	w.start()
	w.ready()
	for _, id := range cut {
		if job := w.ended(id); job.Status != ringback.Completed || job.Attempts != 2 {
			t.Errorf("job %s is %s after %d attempts, want completed after 2: %s", id, job.Status, job.Attempts, job.Error)
		}
		if diff := cmp.Diff([]ringback.AttemptOutcome{ringback.AttemptUncertain, ringback.AttemptAnswered}, w.outcomes(id)); diff != "" {
			t.Errorf("the ledger of %s (-want +got):\n%s", id, diff)
		}
	}
	w.delivered(sending)
	if diff := cmp.Diff([]ringback.AttemptOutcome{ringback.AttemptAnswered}, w.outcomes(sending)); diff != "" {
		t.Errorf("the ledger of the job whose webhook was cut off (-want +got):\n%s", diff)
	}
}

func TestASecondSIGTERMEndsTheServerAtOnce(t *testing.T) {
	t.Parallel()
	halfway := newBarrier(10)
	w := newWorld(t, setup{barrier: halfway})
	s := w.start("--drain-timeout", "1h")
	w.ready()
	id := w.submit(slowly("in the middle"))
	w.call(func(c simulate.Call) bool { return c.Words >= 10 })

	s.signal(syscall.SIGTERM)
	s.says("a second signal ends it at once")
	retryUntil(t, s, syscall.SIGTERM)
	if status, ok := s.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGTERM {
		t.Errorf("the server ended by %v, want SIGTERM's own effect", s.cmd.ProcessState)
	}
	halfway.lift()

	w.start()
	w.ready()
	w.ended(id)
	if diff := cmp.Diff([]ringback.AttemptOutcome{ringback.AttemptUncertain, ringback.AttemptAnswered}, w.outcomes(id)); diff != "" {
		t.Errorf("its ledger (-want +got):\n%s", diff)
	}
}

// retryUntil sends a signal repeatedly: very soon after the first one, the server may treat
// a second as the same.
func retryUntil(t *testing.T, s *server, sig os.Signal) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-s.dead:
			return
		case <-tick.C:
			s.signal(sig)
		case <-ctx.Done():
			t.Fatal("the server ignores further signals")
		}
	}
}
