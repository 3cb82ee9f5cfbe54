package api_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/api"
	"github.com/ringback/ringback/internal/node"
)

func TestASubmittedJobIsAnswered202AndThenDone(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	got := w.do("POST", "/api/generate", `{"prompt":"Hi <b>\u00e9\u2028","callback_url":"`+w.callback+`","metadata":{"team":"blue","n":12345678901234567890}}`)
	accepted := read[ringback.Accepted](t, got)
	path := "/api/jobs/" + accepted.JobID
	want := fmt.Sprintf(`{"job_id":%q,"status":"queued","status_url":%q,"stream_url":%q}`+"\n", accepted.JobID, path, accepted.StreamURL)
	if got.StatusCode != http.StatusAccepted || got.body != want || got.Header.Get("Location") != path {
		t.Errorf("got %s, Location: %s, %s\nwant 202, %s", got.Status, got.Header.Get("Location"), got.body, want)
	}
	if !regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7`).MatchString(accepted.JobID) {
		t.Errorf("job_id %s is no UUIDv7", accepted.JobID)
	}

	job := w.end(accepted.JobID)
	if job.Status != ringback.Completed || *job.Result != "Hi <b>é\u2028" || string(job.Metadata) != `{"team":"blue","n":12345678901234567890}` {
		t.Errorf("got %+v", job)
	}
	if got := w.do("GET", path, ""); !strings.Contains(got.body, `"result":"Hi <b>é`) {
		t.Errorf("HTML is escaped in %s", got.body)
	}
	d, err := w.receiver.Wait(t.Context(), 1)
	if err != nil || d[0].JobID != accepted.JobID {
		t.Errorf("webhook: got %v, %v", d, err)
	}
}

func TestMissingFieldsAreNamedInTheKnownSentence(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	for body, field := range map[string]string{
		`{}`:                           "prompt",
		`{"callback_url":"http://x/"}`: "prompt",
		`{"prompt":"","callback_url":"https://a/"}`:   "prompt",
		`{"prompt":null,"callback_url":"https://a/"}`: "prompt",
		`{"prompt":"","messages":null}`:               "prompt",
		`{"prompt":"Hi"}`:                             "callback_url",
		`{"prompt":"Hi","callback_url":""}`:           "callback_url",
		`{"messages":[{}],"callback_url":null}`:       "callback_url",
		`{"prompt":"Hi","events":["job.failed"]}`:     "callback_url",
		`{"prompt":"Hi","events":null}`:               "callback_url",
		`{"events":[]}`:                               "prompt",
	} {
		w.refused(w.do("POST", "/api/generate", body), 400, ringback.Error{Code: "invalid_request", Field: field, Message: "prompt and callback_url required"})
	}
	got := w.do("POST", "/api/generate", `{}`, "X-Request-Id", "r-1")
	if want := `{"error":"prompt and callback_url required","code":"invalid_request","field":"prompt","request_id":"r-1"}` + "\n"; got.body != want {
		t.Errorf("got %s want %s", got.body, want)
	}
	if got := w.do("POST", "/api/generate", `{"prompt":"Hi","events":[]}`); got.StatusCode != http.StatusAccepted {
		t.Errorf("without events: got %s %s", got.Status, got.body)
	}
	if got := w.do("POST", "/api/generate", `{"prompt":"Hi"}`, "X-Callback-URL", w.callback); got.StatusCode != http.StatusAccepted {
		t.Errorf("with X-Callback-URL: got %s %s", got.Status, got.body)
	}
}

func TestTheRequestIsKeptVerbatim(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	const messages, tools = `[{"role":"user","content":[{"type":"text","text":"12345678901234567890"}],"n":1.0E+2}]`, `[{"x":98765432109876543210.00}]`
	id := w.submit(`"messages":` + messages + `,"params":{"tools":` + tools + `}`)
	w.end(id)
	got := w.do("GET", "/api/jobs/"+id+"?include=request", "")
	if !strings.Contains(got.body, `"messages":`+messages) || !strings.Contains(got.body, `"tools":`+tools) {
		t.Errorf("got %s", got.body)
	}
	if got := w.do("GET", "/api/jobs/"+id, ""); strings.Contains(got.body, "98765432109876543210") {
		t.Errorf("the request is shown unasked: %s", got.body)
	}
}

func TestAnIdempotencyKeyNamesOneJob(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	body := `{"prompt":"Hi","callback_url":"` + w.callback + `"}`
	first := w.do("POST", "/api/generate", body, "Idempotency-Key", "order 17")
	id := read[ringback.Accepted](t, first).JobID
	if first.StatusCode != http.StatusAccepted || first.Header.Get("Idempotency-Replayed") != "" {
		t.Errorf("first: got %s, replayed %q", first.Status, first.Header.Get("Idempotency-Replayed"))
	}
	w.end(id)
	again := w.do("POST", "/api/generate", `{ "callback_url":"`+w.callback+`", "model":null, "prompt":"\u0048i" }`, "Idempotency-Key", "order 17")
	got := read[ringback.Accepted](t, again)
	want := ringback.Accepted{JobID: id, Status: ringback.Completed, StatusURL: "/api/jobs/" + id, StreamURL: got.StreamURL}
	if again.StatusCode != http.StatusAccepted || got != want || again.Header.Get("Idempotency-Replayed") != "true" || again.Header.Get("Location") != want.StatusURL {
		t.Errorf("again: got %s %+v, replayed %q", again.Status, got, again.Header.Get("Idempotency-Replayed"))
	}
	mismatch := ringback.Error{Code: "idempotency_mismatch", Message: "this Idempotency-Key was used for another request; use a new key for a new request"}
	w.refused(w.do("POST", "/api/generate", strings.Replace(body, "Hi", "Ho", 1), "Idempotency-Key", "order 17"), 422, mismatch)
	w.refused(w.do("POST", "/api/generate", body, "Idempotency-Key", "order 17", "X-Callback-URL", w.callback), 422, mismatch)
	if page := read[ringback.Page[ringback.Job]](t, w.do("GET", "/api/jobs", "")); len(page.Data) != 1 {
		t.Errorf("there are %d jobs, want 1", len(page.Data))
	}
}

func TestURLsAreAbsoluteWithAPublicURL(t *testing.T) {
	t.Parallel()
	const public = "https://ringback.example.com/sub"
	w := start(t, setup{api: api.Config{PublicURL: public}, node: func(c *node.Config) { c.PublicURL = public }})
	got := w.do("POST", "/api/generate", `{"prompt":"Hi","events":[]}`)
	accepted := read[ringback.Accepted](t, got)
	want := public + "/api/jobs/" + accepted.JobID
	if accepted.StatusURL != want || got.Header.Get("Location") != want {
		t.Errorf("got status_url %s, Location: %s, want %s", accepted.StatusURL, got.Header.Get("Location"), want)
	}
}

func TestAJobIsCancelledOnceOrTwiceButNotAfterItsEnd(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	id := w.submit(`"prompt":"Hi","model":"sim/mute"`)
	for _, body := range []string{"", "{}", " "} {
		got := w.do("POST", "/api/jobs/"+id+"/cancel", body)
		if job := read[ringback.Job](t, got); got.StatusCode != http.StatusOK || job.ID != id {
			t.Errorf("cancel with body %q: got %s %s", body, got.Status, got.body)
		}
	}
	if job := w.end(id); job.Status != ringback.Cancelled {
		t.Errorf("got %s, want cancelled", job.Status)
	}
	w.refused(w.do("POST", "/api/jobs/"+id+"/cancel", `{"reason":"why"}`), 400,
		ringback.Error{Code: "invalid_request", Field: "reason", Message: "reason is not a field here; send no body, or {}"})

	done := w.submit(`"prompt":"Hi"`)
	w.end(done)
	w.refused(w.do("POST", "/api/jobs/"+done+"/cancel", ""), 409,
		ringback.Error{Code: "conflict", Message: "job " + done + " has ended already: it is completed"})
}

func TestUnknownJobsAreNotFound(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	const id = "0193c1a7-0000-7000-8000-000000000000"
	for _, path := range []string{"", "?wait=1", "/attempts", "/deliveries"} {
		w.refused(w.do("GET", "/api/jobs/"+id+path, ""), 404, ringback.Error{Code: "not_found", Message: `there is no job "` + id + `"`})
	}
	w.refused(w.do("POST", "/api/jobs/x%2F%22y/cancel", ""), 404, ringback.Error{Code: "not_found", Message: `there is no job "x/\"y"`})
}

func TestAWaitEndsWithTheJob(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	id := w.submit(`"prompt":"Hi","model":"sim/mute"`)
	waited := make(chan ringback.Job)
	go func() { waited <- read[ringback.Job](t, w.do("GET", "/api/jobs/"+id+"?wait=60s", "")) }()
	if job := read[ringback.Job](t, w.do("GET", "/api/jobs/"+id+"?wait=10ms", "")); job.Status.Terminal() {
		t.Errorf("after 10 ms: got %s", job.Status)
	}
	w.do("POST", "/api/jobs/"+id+"/cancel", "")
	if job := <-waited; job.Status != ringback.Cancelled {
		t.Errorf("the wait ended with %s, want cancelled", job.Status)
	}
}

func TestAWaitIsAnsweredWhenTheServerStops(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	id := w.submit(`"prompt":"Hi","model":"sim/mute"`)
	c, err := net.Dial("tcp", w.addr)
	must(t, err)
	defer c.Close()
	_, err = io.WriteString(c, "GET /api/jobs/"+id+"?wait=60 HTTP/1.1\r\nHost: localhost\r\n\r\n")
	must(t, err)
	// Once a later connection was served, this one has been accepted.
	w.client.CloseIdleConnections()
	w.do("GET", "/healthz", "")
	w.stop()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	must(t, err)
	text, err := io.ReadAll(resp.Body)
	must(t, err)
	if resp.StatusCode != http.StatusOK || !bytes.Contains(text, []byte(id)) {
		t.Errorf("got %s %s", resp.Status, text)
	}
}

func TestListsComeInPages(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	var ids []string
	for i := range 5 {
		ids = append(ids, w.submit(fmt.Sprintf(`"prompt":"Hi %d","metadata":{"n":"%d","team":"blue"}`, i, i%2)))
		w.end(ids[i])
	}
	var got []string
	cursor := ""
	for {
		page := read[ringback.Page[ringback.Job]](t, w.do("GET", "/api/jobs?limit=2&cursor="+cursor, ""))
		for _, job := range page.Data {
			got = append([]string{job.ID}, got...)
			if job.Result != nil || job.Response != nil {
				t.Errorf("job %s is listed with its body", job.ID)
			}
		}
		if page.NextCursor == nil {
			break
		}
		cursor = *page.NextCursor
	}
	if strings.Join(got, " ") != strings.Join(ids, " ") {
		t.Errorf("got %v, want %v", got, ids)
	}
	for query, want := range map[string]int{"metadata.n=1&metadata.team=blue": 2, "status=completed": 5, "status=failed": 0, "model=sim/echo": 5, "created_after=2100-01-01T00:00:00Z": 0} {
		if page := read[ringback.Page[ringback.Job]](t, w.do("GET", "/api/jobs?"+query, "")); len(page.Data) != want {
			t.Errorf("%s: got %d jobs, want %d", query, len(page.Data), want)
		}
	}
	if got := w.do("GET", "/api/jobs?status=failed", ""); got.body != `{"data":[],"next_cursor":null}`+"\n" {
		t.Errorf("an empty list: got %s", got.body)
	}
	w.refused(w.do("GET", "/api/jobs?cursor=x", ""), 400, ringback.Error{Code: "invalid_request", Field: "cursor", Message: "cursor must be the next_cursor of the page before"})
}

func TestTheLedgerAndTheDeliveriesOfAJobAreShown(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	id := w.submit(`"prompt":"Hi"`)
	w.end(id)
	if _, err := w.receiver.Wait(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	attempts := read[ringback.Page[ringback.Attempt]](t, w.do("GET", "/api/jobs/"+id+"/attempts?limit=100", ""))
	if len(attempts.Data) != 1 || attempts.Data[0].Outcome != ringback.AttemptAnswered || attempts.NextCursor != nil {
		t.Errorf("attempts: got %+v", attempts)
	}
	deliveries := read[ringback.Page[ringback.Delivery]](t, w.do("GET", "/api/jobs/"+id+"/deliveries", ""))
	if len(deliveries.Data) != 1 || deliveries.Data[0].URL != w.callback || deliveries.NextCursor != nil {
		t.Errorf("deliveries: got %+v", deliveries)
	}
}

func TestHEADIsGETWithoutItsBody(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	id := w.submit(`"prompt":"Hi"`)
	w.end(id)
	w.receiver.Wait(t.Context(), 1)
	// A list has the state of the webhook, which changes when the receiver's answer is stored.
	for until := time.Now().Add(20 * time.Second); !strings.Contains(w.do("GET", "/api/jobs", "").body, `"delivered"`); {
		if time.Now().After(until) {
			t.Fatal("the webhook was not delivered within 20 s")
		}
	}
	for _, path := range []string{"/healthz", "/readyz", "/api/jobs", "/api/jobs/" + id + "/attempts"} {
		get, head := w.do("GET", path, ""), w.do("HEAD", path, "")
		if head.StatusCode != http.StatusOK || head.body != "" || head.ContentLength != get.ContentLength {
			t.Errorf("HEAD %s: got %s with %d bytes announced and %d sent, want %d and 0", path, head.Status, head.ContentLength, len(head.body), get.ContentLength)
		}
	}
	if got := w.do("HEAD", "/api/jobs/x", ""); got.StatusCode != http.StatusNotFound || got.body != "" {
		t.Errorf("HEAD of an unknown job: got %s %q", got.Status, got.body)
	}
}

// /readyz is open; what a provider said about whose job is not.
func TestWhatCausedAHoldIsShownToThoseWithTheKeyOnly(t *testing.T) {
	t.Parallel()
	w := start(t, setup{api: api.Config{APIKey: "k-1"}, node: func(c *node.Config) { c.Gate.HoldMin, c.Gate.HoldMax = time.Hour, time.Hour }})
	key := []string{"Authorization", "Bearer k-1"}
	sent := read[ringback.Accepted](t, w.do("POST", "/api/generate", `{"prompt":"Hi","model":"sim/status-529","events":[]}`, key...))
	var held []node.Hold
	for until := time.Now().Add(20 * time.Second); len(held) == 0 && time.Now().Before(until); {
		held = read[node.Readiness](t, w.do("GET", "/readyz", "", key...)).Holds
	}
	if len(held) != 1 || held[0].HeldBy == nil || held[0].HeldBy.JobID != sent.JobID || held[0].HeldBy.StatusCode != 529 || held[0].HeldBy.Error == "" {
		t.Errorf("with the key: got %+v", held)
	}
	if got := w.do("GET", "/readyz", ""); strings.Contains(got.body, "held_by") || !strings.Contains(got.body, "provider_refused") {
		t.Errorf("without: got %s", got.body)
	}
	w.do("POST", "/api/jobs/"+sent.JobID+"/cancel", "", key...)
}

func TestANodeThatStopsIsNotReadyButAlive(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	got := w.do("GET", "/readyz", "")
	for until := time.Now().Add(20 * time.Second); got.StatusCode != http.StatusOK && time.Now().Before(until); {
		got = w.do("GET", "/readyz", "") // it is still taking back what an earlier process left
	}
	if got.StatusCode != http.StatusOK || !read[node.Readiness](t, got).Ready {
		t.Errorf("after the start: got %s %s", got.Status, got.body)
	}
	w.node.Stop()
	got = w.do("GET", "/readyz", "")
	if ready := read[node.Readiness](t, got); got.StatusCode != http.StatusServiceUnavailable || ready.Ready {
		t.Errorf("stopping: got %s %s", got.Status, got.body)
	}
	if got := w.do("GET", "/healthz", ""); got.StatusCode != http.StatusOK {
		t.Errorf("/healthz: got %s", got.Status)
	}
	got = w.do("POST", "/api/generate", `{"prompt":"Hi","events":[]}`)
	w.refused(got, 503, ringback.Error{Code: "unavailable", Message: "the server is stopping; try again in a moment"})
	if after := got.Header.Get("Retry-After"); after != "5" {
		t.Errorf("Retry-After: got %q, want 5", after)
	}
}

func TestABodyIsRefusedBeforeItIsSent(t *testing.T) {
	t.Parallel()
	w := start(t, setup{api: api.Config{MaxBody: 3 << 20}, node: func(c *node.Config) { c.Memory.Bodies = 16 << 20 }})
	if !w.node.BodiesMemory().Take(8 << 20) {
		t.Fatal("no memory")
	}
	for name, c := range map[string]struct {
		length int
		status string
		retry  string
	}{
		"larger than the limit":          {3<<20 + 1, "413 Request Entity Too Large", ""},
		"larger than what memory allows": {2 << 20, "503 Service Unavailable", "2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", w.addr)
			must(t, err)
			defer conn.Close()
			fmt.Fprintf(conn, "POST /api/generate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", c.length)
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			must(t, err)
			if resp.Status != c.status || resp.Header.Get("Retry-After") != c.retry {
				t.Errorf("got %s, Retry-After: %q, want %s, %q", resp.Status, resp.Header.Get("Retry-After"), c.status, c.retry)
			}
		})
	}
}

func TestABodyOfUnknownLengthIsRefusedWhileItComes(t *testing.T) {
	t.Parallel()
	w := start(t, setup{api: api.Config{MaxBody: 3 << 20}, node: func(c *node.Config) { c.Memory.Bodies = 16 << 20 }})
	if !w.node.BodiesMemory().Take(8 << 20) {
		t.Fatal("no memory")
	}
	body := func(n int) io.Reader { // not of a type whose length net/http knows
		return io.MultiReader(strings.NewReader(`{"prompt":"`), bytes.NewReader(bytes.Repeat([]byte("x"), n)), strings.NewReader(`","events":[]}`))
	}
	if got := w.send("POST", "/api/generate", body(100_000)); got.StatusCode != http.StatusAccepted {
		t.Errorf("100 kB: got %s %s", got.Status, got.body)
	}
	w.refused(w.send("POST", "/api/generate", body(5<<19)), 503,
		ringback.Error{Code: "unavailable", Message: "the server is reading as much as its memory allows; try again in a moment"})
	// The reserved memory has been returned.
	if got := w.send("POST", "/api/generate", body(100_000)); got.StatusCode != http.StatusAccepted {
		t.Errorf("100 kB after that: got %s %s", got.Status, got.body)
	}
}

func TestAKeyOpensTheAPI(t *testing.T) {
	t.Parallel()
	w := start(t, setup{api: api.Config{APIKey: "k-1"}})
	if got := w.do("POST", "/api/generate", `{"prompt":"Hi","events":[]}`); got.StatusCode != http.StatusUnauthorized {
		t.Errorf("without a key: got %s", got.Status)
	}
	for _, header := range [][]string{{"Authorization", "Bearer k-1"}, {"x-api-key", "k-1"}} {
		if got := w.do("POST", "/api/generate", `{"prompt":"Hi","events":[]}`, header...); got.StatusCode != http.StatusAccepted {
			t.Errorf("with %v: got %s %s", header, got.Status, got.body)
		}
	}
}

func TestTheNodesRefusalsComeWithTheirField(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	w.refused(w.do("POST", "/api/generate", `{"prompt":"Hi","events":[],"max_attempts":21}`), 400,
		ringback.Error{Code: "invalid_request", Field: "max_attempts", Message: "max_attempts must be from 1 to 20"})
	got := w.do("POST", "/api/generate", `{"prompt":"Hi","callback_url":"http://10.0.0.7/hook"}`)
	if e := read[ringback.Error](t, got); got.StatusCode != http.StatusBadRequest || e.Field != "callback_url" || !strings.Contains(e.Message, "--allow-callback") {
		t.Errorf("a private address: got %s %s", got.Status, got.body)
	}
}
