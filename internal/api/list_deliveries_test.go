package api_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/ringback/ringback"
)

// A list of webhooks, as requested by a user who looks for those that have not arrived.
func TestWebhooksThatHaveNotArrivedAreListedWithTheReason(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	receiver := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/gone":
			rw.WriteHeader(http.StatusGone)
		case "/busy":
			rw.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(receiver.Close)
	jobs := map[string]string{}
	for path, status := range map[string]ringback.DeliveryStatus{
		"/ok": ringback.DeliveryDelivered, "/gone": ringback.DeliveryDead, "/busy": ringback.DeliveryPending,
	} {
		accepted := w.do("POST", "/api/generate", `{"prompt":"Hi","model":"sim/echo","callback_url":"`+receiver.URL+path+`"}`)
		id := read[ringback.Accepted](t, accepted).JobID
		jobs[path] = id
		w.eventually("the webhook to "+path+" is "+string(status), func() bool {
			job := w.end(id)
			return job.Webhook != nil && job.Webhook.Tries > 0 && job.Webhook.Status == status
		})
	}
	jobs["none"] = w.submit(`"prompt":"Hi","model":"sim/echo","events":[]`)
	w.end(jobs["none"])
	for query, paths := range map[string][]string{
		"": {"/ok", "/gone", "/busy"}, "?status=pending": {"/busy"}, "?status=delivered": {"/ok"}, "?status=dead": {"/gone"},
		"?status_code=410": {"/gone"}, "?status_code=5xx": {"/busy"}, "?status_code=0": nil, "?status_code=none": nil,
		"?older_than=1h": nil, "?older_than=0s&status=dead": {"/gone"}, "?created_after=2099-01-01T00:00:00Z": nil,
		"?job=" + jobs["/ok"]: {"/ok"}, "?host=" + receiver.URL + "/hook": {"/ok", "/gone", "/busy"}, "?host=" + receiver.Listener.Addr().String(): {"/ok", "/gone", "/busy"},
		"?host=https://example.com": nil,
	} {
		var got, want []string
		for _, d := range read[ringback.Page[ringback.Delivery]](t, w.do("GET", "/api/deliveries"+query, "")).Data {
			got = append(got, d.JobID)
		}
		for _, path := range paths {
			want = append(want, jobs[path])
		}
		slices.Sort(got)
		if slices.Sort(want); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", query, got, want)
		}
	}
	for webhook, path := range map[string]string{"pending": "/busy", "delivered": "/ok", "dead": "/gone", "none": "none"} {
		page := read[ringback.Page[ringback.Job]](t, w.do("GET", "/api/jobs?webhook="+webhook, ""))
		if len(page.Data) != 1 || page.Data[0].ID != jobs[path] || (page.Data[0].Webhook == nil) != (path == "none") {
			t.Errorf("webhook=%s: got %+v", webhook, page.Data)
		}
	}
	d := read[ringback.Page[ringback.Delivery]](t, w.do("GET", "/api/deliveries?status=pending", "")).Data[0]
	if d.LastStatusCode != 503 || d.LastError != "status" || d.NextTryAt.IsZero() || len(d.Tries) == 0 {
		t.Errorf("the pending one: got %+v", d)
	}
	if one := read[ringback.Delivery](t, w.do("GET", "/api/deliveries/"+d.ID, "")); one.ID != d.ID || one.JobID != jobs["/busy"] {
		t.Errorf("read by its id: got %+v", one)
	}
}

// In every list, an unknown value of an enumeration is refused with the known ones.
func TestAnUnknownWordIsRefusedWithThoseThereAre(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	const codes = "provider_error, provider_rejected, model_not_found, timeout, idle, stream_broken, too_large, max_wait, uncertain, provider_refused_key, internal"
	for target, want := range map[string]ringback.Error{
		"/api/jobs?status=x":                                 {Field: "status", Message: "status must be one of queued, running, completed, failed, cancelled, expired"},
		"/api/jobs?webhook=x":                                {Field: "webhook", Message: "webhook must be one of pending, delivered, dead, none"},
		"/api/deliveries?status=none":                        {Field: "status", Message: "status must be one of pending, delivered, dead"},
		"/api/dead?code=x":                                   {Field: "code", Message: "code must be one of " + codes},
		"/api/dead?kind=x":                                   {Field: "kind", Message: "kind must be one of job, delivery"},
		"/api/deliveries?status_code=6":                      {Field: "status_code", Message: "status_code must be a status code like 503, a class of them like 5xx, or none for no answer"},
		"/api/deliveries?status_code=0xx":                    {Field: "status_code", Message: "status_code must be a status code like 503, a class of them like 5xx, or none for no answer"},
		"/api/deliveries?older_than=x":                       {Field: "older_than", Message: "older_than must be a duration such as 90s, 10m or 36h"},
		"/api/deliveries?older_than=-1m":                     {Field: "older_than", Message: "older_than must be a duration such as 90s, 10m or 36h"},
		"/api/deliveries?job=x":                              {Field: "job", Message: "job must be the id of a job, like 0193c1a7-5e6f-7a8b-9c0d-1e2f3a4b5c6d"},
		"/api/deliveries?host=ftp://x":                       {Field: "host", Message: "host must be the host of a receiver, like https://example.com, example.com:8443 or http://10.0.0.7:3000"},
		"/api/dead?kind=delivery&host=https://example.com:x": {Field: "host", Message: "host must be the host of a receiver, like https://example.com, example.com:8443 or http://10.0.0.7:3000"},
		"/api/deliveries?cursor=x":                           {Field: "cursor", Message: "cursor must be the next_cursor of the page before"},
	} {
		want.Code = ringback.InvalidRequest
		w.refused(w.do("GET", target, ""), http.StatusBadRequest, want)
	}
	w.refused(w.do("POST", "/api/dead/replay", `{"code":"x"}`), http.StatusBadRequest, ringback.Error{
		Code: ringback.InvalidRequest, Field: "code", Message: "code must be one of provider_error, provider_rejected, model_not_found, timeout, idle, stream_broken, too_large, max_wait, uncertain, provider_refused_key, internal",
	})
	w.refused(w.do("GET", "/api/deliveries/x", ""), http.StatusNotFound, ringback.Error{Code: ringback.NotFound, Message: `there is no delivery "x"`})
}
