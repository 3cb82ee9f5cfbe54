package api_test

import (
	"net/http"
	"testing"

	"github.com/ringback/ringback"
)

// The handlers of second chances, as a client uses them.
func TestSecondChancesThroughTheAPI(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	const none = "/api/jobs/0193c1a7-5e6f-7a8b-9c0d-1e2f3a4b5c6d"
	for _, c := range []struct {
		method, target, body string
		status               int
		field                string
	}{
		{"POST", none + "/retry", "", http.StatusNotFound, ""},
		{"POST", none + "/retry", `{"priority":"high"}`, http.StatusBadRequest, "priority"},
		{"POST", none + "/redeliver", "", http.StatusNotFound, ""},
		{"POST", none + "/redeliver", `{"at":1}`, http.StatusBadRequest, "at"},
		{"DELETE", none, "", http.StatusNotFound, ""},
		{"GET", "/api/dead?kind=letter", "", http.StatusBadRequest, "kind"},
		{"GET", "/api/dead?ended_after=now", "", http.StatusBadRequest, "ended_after"},
		{"GET", "/api/dead?host=https://example.com", "", http.StatusBadRequest, "host"},
		{"GET", "/api/dead?kind=delivery&code=timeout", "", http.StatusBadRequest, "code"},
		{"GET", "/api/dead?cursor=x", "", http.StatusBadRequest, "cursor"},
		{"GET", "/api/dead", "", http.StatusOK, ""},
		{"POST", "/api/dead/replay", `{}`, http.StatusBadRequest, "all"},
		{"POST", "/api/dead/replay", `{"all":"yes"}`, http.StatusBadRequest, "all"},
		{"POST", "/api/dead/replay", `{"all":true,"limit":0}`, http.StatusBadRequest, "limit"},
		{"POST", "/api/dead/replay", `{"all":true,"patch":{"prompt":"x"}}`, http.StatusBadRequest, "patch.prompt"},
		{"POST", "/api/dead/replay", `{"all":true}`, http.StatusOK, ""},
		{"DELETE", "/api/dead", `{"kind":"delivery"}`, http.StatusBadRequest, "all"},
		{"DELETE", "/api/dead", `{"all":true,"patch":{}}`, http.StatusBadRequest, "patch"},
		{"DELETE", "/api/dead", `{"model":"x"}`, http.StatusOK, ""},
	} {
		a := w.do(c.method, c.target, c.body)
		var e ringback.Error
		if a.StatusCode >= 400 {
			e = read[ringback.Error](t, a)
		}
		if a.StatusCode != c.status || e.Field != c.field {
			t.Errorf("%s %s %s: got %d, field %q: %s", c.method, c.target, c.body, a.StatusCode, e.Field, e.Message)
		}
	}
}

func TestADeadJobIsFoundMendedReplayedAndErased(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	id := w.submit(`"prompt":"Hi","model":"sim/status-400","metadata":{"order":"17"}`)
	w.end(id)
	dead := read[ringback.Page[ringback.Job]](t, w.do("GET", "/api/dead?code=provider_rejected&metadata.order=17", ""))
	if len(dead.Data) != 1 || dead.Data[0].ID != id {
		t.Fatalf("dead: got %+v, want job %s", dead.Data, id)
	}
	a := w.do("POST", "/api/jobs/"+id+"/retry", `{"model":"sim/echo"}`)
	again := read[ringback.Job](t, a)
	if a.StatusCode != http.StatusAccepted || again.ReplayOf != id || a.Header.Get("Location") != again.StatusURL {
		t.Errorf("retry: got %d, %+v", a.StatusCode, again)
	}
	if j := w.end(again.ID); j.Status != ringback.Completed || *j.Result != "Hi" {
		t.Errorf("the replay: got %+v", j)
	}
	if a := w.do("DELETE", "/api/jobs/"+id, ""); a.StatusCode != http.StatusNoContent || len(a.body) != 0 || a.Header.Get("Content-Type") != "" {
		t.Errorf("erase: got %d with %q", a.StatusCode, a.body)
	}
	if a := w.do("GET", "/api/jobs/"+id, ""); a.StatusCode != http.StatusGone {
		t.Errorf("erased: got %d", a.StatusCode)
	}
	if a := w.do("POST", "/api/jobs/"+again.ID+"/redeliver", ""); a.StatusCode != http.StatusAccepted && a.StatusCode != http.StatusConflict {
		t.Errorf("redeliver: got %d %s", a.StatusCode, a.body)
	}
}
