package client_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/client"
)

// noEvents asks for no webhooks.
var noEvents = &[]ringback.EventType{}

func TestAJobIsSubmittedAndWaitedFor(t *testing.T) {
	t.Parallel()
	w := start(t)
	accepted, err := w.client.Submit(t.Context(), ringback.Request{
		Prompt: "Hi <é>", Model: "sim/echo", MaxTokens: new(100), Events: noEvents, Metadata: []byte(`{"team":"blue"}`),
		ExpiresAt: &ringback.Time{Time: time.Now().Add(time.Hour)},
	})
	must(t, err)
	want := ringback.Accepted{
		JobID: accepted.JobID, Status: ringback.Queued, StatusURL: "/api/jobs/" + accepted.JobID, StreamURL: accepted.StreamURL,
	}
	if accepted != want {
		t.Errorf("accepted: got %+v, want %+v", accepted, want)
	}
	waited, err := w.client.Wait(t.Context(), accepted.JobID)
	must(t, err)
	if waited.Status != ringback.Completed || *waited.Result != "Hi <é>" || string(waited.Metadata) != `{"team":"blue"}` {
		t.Errorf("waited for: got %+v", waited)
	}
	got, err := w.client.Get(t.Context(), accepted.JobID)
	must(t, err)
	if d := cmp.Diff(waited, got); d != "" {
		t.Error("Get and Wait differ:\n" + d)
	}
	attempts, err := w.client.Attempts(t.Context(), accepted.JobID)
	must(t, err)
	if len(attempts) != 1 || attempts[0].Outcome != ringback.AttemptAnswered {
		t.Errorf("attempts: got %+v", attempts)
	}
	nodes, err := w.client.Nodes(t.Context())
	must(t, err)
	if len(nodes) != 1 || !nodes[0].Self || nodes[0].ID != attempts[0].Node {
		t.Errorf("nodes: got %+v, want the one that ran it", nodes)
	}
	deliveries, err := w.client.Deliveries(t.Context(), accepted.JobID)
	if err != nil || len(deliveries) != 0 {
		t.Errorf("deliveries: got %+v, %v", deliveries, err)
	}
}

func TestAListIsReadPageByPage(t *testing.T) {
	t.Parallel()
	w := start(t)
	const n = 3
	for i := range n {
		accepted, err := w.client.Submit(t.Context(), ringback.Request{Prompt: "Hi", Events: noEvents, Metadata: fmt.Appendf(nil, `{"i":"%d"}`, i)})
		must(t, err)
		_, err = w.client.Wait(t.Context(), accepted.JobID)
		must(t, err)
	}
	q := client.Query{Status: ringback.Completed, Model: "sim/echo", CreatedAfter: time.Now().Add(-time.Hour), CreatedBefore: time.Now().Add(time.Hour), Limit: 2}
	var got []string
	for {
		page, err := w.client.List(t.Context(), q)
		must(t, err)
		for _, job := range page.Data {
			got = append(got, string(job.Metadata))
		}
		if page.NextCursor == nil {
			break
		}
		q.Cursor = *page.NextCursor
	}
	if d := cmp.Diff([]string{`{"i":"2"}`, `{"i":"1"}`, `{"i":"0"}`}, got); d != "" {
		t.Error(d)
	}
	page, err := w.client.List(t.Context(), client.Query{Metadata: map[string]string{"i": "1"}})
	if err != nil || len(page.Data) != 1 {
		t.Errorf("by metadata: got %d jobs, %v", len(page.Data), err)
	}
}

func TestTheSameIdempotencyKeyIsTheSameJob(t *testing.T) {
	t.Parallel()
	w := start(t)
	r := ringback.Request{Prompt: "Hi", Events: noEvents}
	first, err := w.client.Submit(t.Context(), r, client.IdempotencyKey("order 17"))
	must(t, err)
	again, err := w.client.Submit(t.Context(), r, client.IdempotencyKey("order 17"))
	if err != nil || again.JobID != first.JobID {
		t.Errorf("got job %s, %v, want %s", again.JobID, err, first.JobID)
	}
	r.Prompt = "Ho"
	_, err = w.client.Submit(t.Context(), r, client.IdempotencyKey("order 17"))
	if e, ok := errors.AsType[*ringback.Error](err); !ok || e.Code != ringback.IdempotencyMismatch {
		t.Errorf("another request: got %v", err)
	}
}

func TestAJobIsCancelled(t *testing.T) {
	t.Parallel()
	w := start(t)
	accepted, err := w.client.Submit(t.Context(), ringback.Request{Prompt: "Hi", Model: "sim/mute", Events: noEvents})
	must(t, err)
	_, err = w.client.Cancel(t.Context(), accepted.JobID)
	must(t, err)
	if job, err := w.client.Wait(t.Context(), accepted.JobID); err != nil || job.Status != ringback.Cancelled {
		t.Errorf("got %s, %v, want cancelled", job.Status, err)
	}
}

func TestRefusalsComeBackAsTheServerMeantThem(t *testing.T) {
	t.Parallel()
	w := start(t)
	_, err := w.client.Submit(t.Context(), ringback.Request{Prompt: "Hi"})
	e, ok := errors.AsType[*ringback.Error](err)
	if !ok || e.Code != ringback.InvalidRequest || e.Field != "callback_url" || e.Message != "prompt and callback_url required" || e.RequestID == "" {
		t.Errorf("got %+v", err)
	}
	for name, call := range map[string]func() error{
		"Get":        func() error { _, err := w.client.Get(t.Context(), "a/b?c"); return err },
		"Wait":       func() error { _, err := w.client.Wait(t.Context(), "a/b?c"); return err },
		"Cancel":     func() error { _, err := w.client.Cancel(t.Context(), "a/b?c"); return err },
		"Attempts":   func() error { _, err := w.client.Attempts(t.Context(), "a/b?c"); return err },
		"Deliveries": func() error { _, err := w.client.Deliveries(t.Context(), "a/b?c"); return err },
	} {
		err := call()
		if e, ok := errors.AsType[*ringback.Error](err); !ok || e.Code != ringback.NotFound || e.Message != `there is no job "a/b?c"` {
			t.Errorf("%s of an unknown job: got %v", name, err)
		}
	}
	_, err = w.newClient("wrong").List(t.Context(), client.Query{})
	if e, ok := errors.AsType[*ringback.Error](err); !ok || e.Code != ringback.Unauthorized {
		t.Errorf("with a wrong key: got %v", err)
	}
}

func TestAWaitOutlivesARestartOfTheServer(t *testing.T) {
	t.Parallel()
	w := start(t)
	accepted, err := w.client.Submit(t.Context(), ringback.Request{Prompt: "Hi", Model: "sim/slow?words=30&pace=20ms", Events: noEvents})
	must(t, err)
	type result struct {
		job ringback.Job
		err error
	}
	waited := make(chan result, 1)
	go func() {
		job, err := w.client.Wait(t.Context(), accepted.JobID)
		waited <- result{job, err}
	}()
	w.stop()
	if _, err := w.client.Get(t.Context(), accepted.JobID); err == nil {
		t.Error("the server answers while it is stopped")
	}
	w.serve()
	if got := <-waited; got.err != nil || got.job.Status != ringback.Completed {
		t.Errorf("got %s, %v, want completed", got.job.Status, got.err)
	}
}

// The client's own rules, against a server made by the test. Its connections are in memory,
// so that both run in a bubble, on its clock.
func inBubble(t *testing.T, h http.HandlerFunc, test func(t *testing.T, c *client.Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go answer(theirs, h)
			return ours, nil
		}}
		c, err := client.New(client.Config{URL: "http://ringback.test", HTTPClient: &http.Client{Transport: transport}})
		must(t, err)
		test(t, c)
		transport.CloseIdleConnections()
	})
}

// answer serves one request and closes the connection; if the handler panics, without a
// response.
func answer(conn net.Conn, h http.HandlerFunc) {
	defer conn.Close()
	r, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return
	}
	w := httptest.NewRecorder()
	defer func() {
		if recover() == nil {
			resp := w.Result()
			resp.ContentLength = int64(w.Body.Len())
			resp.Close = true
			_ = resp.Write(conn)
		}
	}()
	h(w, r)
}

func TestAWaitAsksAgainWhileTheServerIsAway(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	script := []func(w http.ResponseWriter){
		func(w http.ResponseWriter) { panic("the connection breaks") },
		func(w http.ResponseWriter) {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, `{"error":"stopping","code":"unavailable"}`)
		},
		func(w http.ResponseWriter) { w.WriteHeader(http.StatusBadGateway); fmt.Fprint(w, "<h1>nginx</h1>") },
		func(w http.ResponseWriter) {
			w.Header().Set("Retry-After", "86400")
			w.WriteHeader(http.StatusTooManyRequests)
		},
		func(w http.ResponseWriter) { time.Sleep(time.Minute); fmt.Fprint(w, `{"status":"running"}`) },
		func(w http.ResponseWriter) { fmt.Fprint(w, `{"status":"running"}`) },
		func(w http.ResponseWriter) { time.Sleep(time.Hour) }, // silent forever
		func(w http.ResponseWriter) { fmt.Fprint(w, `{"status":"failed","error":"no luck"}`) },
	}
	inBubble(t, func(w http.ResponseWriter, r *http.Request) {
		if got, want := r.RequestURI, "/api/jobs/j1?wait=60"; got != want {
			t.Errorf("asked for %s, want %s", got, want)
		}
		script[calls.Add(1)-1](w)
	}, func(t *testing.T, c *client.Client) {
		start := time.Now()
		job, err := c.Wait(t.Context(), "j1")
		if err != nil || job.Status != ringback.Failed || calls.Load() != int64(len(script)) {
			t.Errorf("after %d calls: got %s, %v", calls.Load(), job.Status, err)
		}
		// 7 s and at most 60 s by Retry-After, 60 s held, 75 s until the silent one is
		// given up, and small pauses.
		if took, least := time.Since(start), 202*time.Second; took < least || took > least+10*time.Second {
			t.Errorf("it took %v, want about %v", took, least)
		}
		time.Sleep(time.Hour) // the silent one ends
	})
}

func TestAWaitEndsWithItsContextAndSaysWhatItMet(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprint(w, `{"error":"the server is stopping","code":"unavailable"}`)
	}, func(t *testing.T, c *client.Client) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		_, err := c.Wait(ctx, "j1")
		want := "wait for job j1: context deadline exceeded; the last try: the server is stopping"
		if !errors.Is(err, context.DeadlineExceeded) || err.Error() != want || time.Since(start) != time.Minute {
			t.Errorf("after %v: got %v, want %s", time.Since(start), err, want)
		}
		if e, ok := errors.AsType[*ringback.Error](err); !ok || e.Code != ringback.Unavailable {
			t.Errorf("the server's error is lost in %v", err)
		}
	})
	inBubble(t, func(http.ResponseWriter, *http.Request) { time.Sleep(time.Second) }, func(t *testing.T, c *client.Client) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := c.Wait(ctx, "j1"); !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "the last try") {
			t.Errorf("cancelled before: got %v", err)
		}
	})
}

func TestAnswersOfOthersAreErrorsToo(t *testing.T) {
	t.Parallel()
	bodies := map[int]string{404: `{"error":{"message":"not of this shape"}}`, 502: strings.Repeat("<h1>proxy</h1>", 10_000)}
	for status, code := range map[int]ringback.Code{302: ringback.Internal, 404: ringback.NotFound, 502: ringback.Unavailable, 500: ringback.Internal, 418: ringback.Internal} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
			fmt.Fprint(w, bodies[status])
		}))
		c, err := client.New(client.Config{URL: server.URL})
		must(t, err)
		_, err = c.Get(t.Context(), "j1")
		want := fmt.Sprintf("%s/api/jobs/j1 answered %d %s, which is not an answer of Ringback", server.URL, status, http.StatusText(status))
		if e, ok := errors.AsType[*ringback.Error](err); !ok || e.Code != code || e.Message != want {
			t.Errorf("got %+v, want %s %s", err, code, want)
		}
		server.Close()
	}
	inBubble(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }, func(t *testing.T, c *client.Client) {
		_, err := c.Get(t.Context(), "j1")
		if err == nil || !strings.HasPrefix(err.Error(), "read the answer of GET /api/jobs/j1: ") {
			t.Errorf("an answer that is no JSON: got %v", err)
		}
	})
}

func TestAServersURLMustBeOne(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"localhost:8080", "ftp://localhost", "http://", "http://a/?b=c", "http://a/#b", "http://a b"} {
		if _, err := client.New(client.Config{URL: url}); err == nil || !strings.HasPrefix(err.Error(), "URL of the server: ") {
			t.Errorf("%s: got %v", url, err)
		}
	}
	for _, url := range []string{"", "http://127.0.0.1:8080", "https://example.com/sub/"} {
		if _, err := client.New(client.Config{URL: url}); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
}
