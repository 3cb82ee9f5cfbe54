package api_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ringback/ringback"
)

func TestWhoPrefersToWaitGetsTheEndedJob(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	got := w.do("POST", "/api/generate", `{"prompt":"Hi","events":[]}`, "Prefer", "respond-async, wait=90", "Idempotency-Key", "one")
	job := read[ringback.Job](t, got)
	if got.StatusCode != http.StatusOK || job.Status != ringback.Completed || *job.Result != "Hi" || got.Header.Get("Preference-Applied") != "wait=60" {
		t.Errorf("got %s %s, %v", got.Status, got.body, got.Header)
	}
	shown := read[ringback.Job](t, w.do("GET", got.Header.Get("Location"), ""))
	if shown.ID != job.ID || string(shown.Response) != string(job.Response) {
		t.Errorf("GET shows %+v", shown)
	}
	again := w.do("POST", "/api/generate", `{"prompt":"Hi","events":[]}`, "Prefer", "wait=1", "Idempotency-Key", "one")
	if again.StatusCode != http.StatusOK || again.Header.Get("Idempotency-Replayed") != "true" || read[ringback.Job](t, again).ID != job.ID {
		t.Errorf("again: got %s %s", again.Status, again.body)
	}
}

func TestAJobThatOutlastsThePreferredWaitIsAccepted(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	got := w.do("POST", "/api/generate", `{"prompt":"Hi","events":[],"model":"sim/mute"}`, "Prefer", "wait=1")
	if got.StatusCode != http.StatusAccepted || got.Header.Get("Preference-Applied") != "wait=1" || got.Header.Get("Location") == "" {
		t.Errorf("got %s, %v", got.Status, got.Header)
	}
	if a := read[ringback.Accepted](t, got); a.Status != ringback.Queued || a.StreamURL == "" {
		t.Errorf("got %+v", a)
	}
	got = w.do("POST", "/api/generate", `{"prompt":"Hi","events":[]}`, "Prefer", "wait=soon")
	if got.StatusCode != http.StatusAccepted || got.Header.Get("Preference-Applied") != "" {
		t.Errorf("a preference that means nothing: got %s, %v", got.Status, got.Header)
	}
}

// A client that leaves in the middle of a wait has left; one that got its answer has not.
func TestAJobIsCancelledWhenThoseWhoWaitForItLeave(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	const body = `{"prompt":"Hi","events":[],"model":"sim/mute","on_disconnect":"cancel","metadata":{"a":"`
	leave := func(method, path, body string, header ...string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, method, w.url+path, strings.NewReader(body))
		must(t, err)
		r.Header.Set("Content-Type", "application/json")
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		if resp, err := w.client.Do(r); err == nil {
			resp.Body.Close()
			t.Errorf("%s %s was answered %s", method, path, resp.Status)
		}
	}
	leave("POST", "/api/generate", body+`post"}}`, "Prefer", "wait=60")
	got := read[ringback.Accepted](t, w.do("POST", "/api/generate", body+`get"}}`))
	leave("GET", got.StatusURL+"?wait=60", "")
	answered := read[ringback.Accepted](t, w.do("POST", "/api/generate", body+`answered"}}`, "Prefer", "wait=1"))

	w.eventually("both are cancelled", func() bool {
		return len(read[ringback.Page[ringback.Job]](t, w.do("GET", "/api/jobs?status=cancelled", "")).Data) == 2
	})
	if job := read[ringback.Job](t, w.do("GET", answered.StatusURL, "")); job.Status.Terminal() {
		t.Errorf("the job whose wait was answered is %s", job.Status)
	}
}
