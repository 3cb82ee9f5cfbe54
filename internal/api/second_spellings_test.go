package api_test

import (
	"net/http"
	"testing"

	"github.com/ringback/ringback"
)

func TestABodyOfUTF8IsTakenByWhateverNameAndMark(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	body := `{"prompt":"é","callback_url":"` + w.callback + `"}`
	for _, kind := range []string{
		"application/json", "Application/JSON; charset=utf8", `application/json; charset="UTF-8"`, "application/json;charset=Utf8", "application/json;",
		"application/json; charset=us-ascii", "application/json; charset", "application/json; charset=utf-8; charset=utf-8",
	} {
		for _, mark := range []string{"", "\uFEFF"} {
			if got := w.do("POST", "/api/generate", mark+body, "Content-Type", kind); got.StatusCode != http.StatusAccepted {
				t.Errorf("%s, %q: got %s %s", kind, mark, got.Status, got.body)
			}
		}
	}
	if got := w.do("POST", "/api/generate", body, "Content-Encoding", "identity"); got.StatusCode != http.StatusAccepted {
		t.Errorf("identity: got %s %s", got.Status, got.body)
	}
	for _, kind := range []string{"application/json; charset=utf-16", "application/json; charset=windows-1252", "text/plain", "application/jsonp", ""} {
		if got := w.do("POST", "/api/generate", body, "Content-Type", kind); got.StatusCode != http.StatusUnsupportedMediaType {
			t.Errorf("%q: got %s, want 415", kind, got.Status)
		}
	}
}

func TestOneRequestInTwoSpellingsIsOneJob(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	ids := map[string]bool{}
	for _, rest := range []string{
		`"max_tokens":100,"params":{"temperature":1}}`, `"params":{"temperature":1.0},"max_tokens":100.0}`, `"max_tokens":1e2,"params":{"temperature":10e-1}}`,
	} {
		for _, mark := range []string{"", "\uFEFF"} {
			got := w.do("POST", "/api/generate", mark+`{"prompt":"a","callback_url":"`+w.callback+`",`+rest, "Idempotency-Key", "k")
			if got.StatusCode != http.StatusAccepted {
				t.Fatalf("%s: got %s %s", rest, got.Status, got.body)
			}
			ids[read[ringback.Accepted](t, got).JobID] = true
		}
	}
	if len(ids) != 1 {
		t.Errorf("got %d jobs, want 1", len(ids))
	}
}

func TestASlashTooManyIsTold(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	w.refused(w.do("POST", "/api/generate/", `{}`), http.StatusNotFound, ringback.Error{
		Code: ringback.NotFound, Message: "there is nothing at this path; write it without the trailing slash: /api/generate",
	})
	w.refused(w.do("GET", "/api/nothing/", ""), http.StatusNotFound, ringback.Error{
		Code: ringback.NotFound, Message: "there is nothing at this path; jobs are sent to POST /api/generate and read at GET /api/jobs/{id}",
	})
}
