package api_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/api"
	"github.com/ringback/ringback/internal/limit"
	"github.com/ringback/ringback/internal/node"
)

func TestARedeliverySaysWhereToAndHowMuch(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	id := read[ringback.Accepted](t, w.do("POST", "/api/generate", `{"prompt":"Hi","events":[]}`)).JobID
	w.do("GET", "/api/jobs/"+id+"?wait=30", "")
	path := "/api/jobs/" + id + "/redeliver"
	got := w.do("POST", path, `{"url":"`+w.callback+`","webhook_body":"thin"}`)
	d := read[ringback.Delivery](t, got)
	if got.StatusCode != http.StatusAccepted || d.ID == "" || d.URL != w.callback || d.WebhookBody != ringback.WebhookThin {
		t.Errorf("got %d, %s", got.StatusCode, got.body)
	}
	if again := read[ringback.Delivery](t, w.do("POST", path, `{"url":"`+w.callback+`"}`)); again.ID != d.ID {
		t.Errorf("the same URL again: got %s, want %s", again.ID, d.ID)
	}
	for body, field := range map[string]string{
		`{"callback_url":"https://example.com"}`: "callback_url", `{"url":""}`: "url", `{"url":7}`: "url", `{"url":"https://10.0.0.1/"}`: "url",
		`{"webhook_body":"small"}`: "webhook_body", `{"webhook_body":["thin"]}`: "webhook_body",
	} {
		got := w.do("POST", path, body)
		if e := read[ringback.Error](t, got); got.StatusCode != http.StatusBadRequest || e.Field != field {
			t.Errorf("%s: got %d, %s; want a fault of %s", body, got.StatusCode, got.body, field)
		}
	}
}

func TestHeldHostsAreShownToThoseWithTheKey(t *testing.T) {
	t.Parallel()
	failing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }))
	t.Cleanup(failing.Close)
	w := start(t, setup{api: api.Config{APIKey: "k"}, node: func(c *node.Config) {
		c.HostGate = limit.Config{BreakAfter: 1, HoldMin: time.Hour, HoldMax: time.Hour}
	}})
	w.do("POST", "/api/generate", `{"prompt":"Hi","callback_url":"`+failing.URL+`"}`, "X-Api-Key", "k")
	deadline := time.Now().Add(time.Minute)
	var holds []node.Hold
	for len(holds) == 0 && time.Now().Before(deadline) {
		holds = read[node.Readiness](t, w.do("GET", "/readyz", "", "X-Api-Key", "k")).Holds
	}
	if len(holds) != 1 || holds[0].Host != failing.URL || holds[0].Reason != "receiver_failing" || time.Until(holds[0].Until) < 40*time.Minute {
		t.Errorf("holds: got %+v, want the receiver's host", holds)
	}
	if got := w.do("GET", "/readyz", ""); strings.Contains(got.body, failing.URL) {
		t.Errorf("without the key: got %s", got.body)
	}
}
