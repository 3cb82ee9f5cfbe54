package provider

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/ringback/ringback"
)

// said returns an error in the provider's own words.
func said(kind, message string) string {
	return fmt.Sprintf(`{"type":"error","error":{"type":%q,"message":%q},"request_id":"req_body"}`, kind, message)
}

// The design's table of what a provider says, row by row.
func TestWhatTheProviderSays(t *testing.T) {
	const (
		provErr  = ringback.CodeProviderError
		rejected = ringback.CodeProviderRejected
		noModel  = ringback.CodeModelNotFound
		badKey   = ringback.CodeProviderRefusedKey
	)
	credit := said("invalid_request_error", "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits.")
	cap429 := `{"type":"error","error":{"type":"rate_limit_error","message":"Limit reached.","details":{"error_code":"enforced_spend_limit_reached"}}}`
	for _, row := range []struct {
		status  int
		header  string // "Name: value"
		body    string
		verdict Verdict
		code    ringback.ErrorDetailCode
		wait    time.Duration
		kind    string
	}{
		{408, "", "", Retry, provErr, 0, ""},
		{409, "", said("conflict_error", "Conflict"), Retry, provErr, 0, "conflict_error"},
		{425, "", "", Retry, provErr, 0, ""},
		{500, "", said("api_error", "Internal server error"), Retry, provErr, 0, "api_error"},
		{502, "", "<html>Bad gateway</html>", Retry, provErr, 0, ""},
		{503, "", "upstream connect error", Retry, provErr, 0, ""},
		{504, "", said("timeout_error", "Timed out"), Retry, provErr, 0, "timeout_error"},
		{520, "", "", Retry, provErr, 0, ""},
		{599, "", "", Retry, provErr, 0, ""},

		{429, "", said("rate_limit_error", "Slow down"), Hold, provErr, 0, "rate_limit_error"},
		{429, "Retry-After: 17", said("rate_limit_error", "Slow down"), Hold, provErr, 17 * time.Second, "rate_limit_error"},
		{429, "Retry-After: 86400", "", Hold, provErr, time.Hour, ""},
		{529, "", said("overloaded_error", "Overloaded"), Hold, provErr, 0, "overloaded_error"},
		{529, "Retry-After: 5", said("overloaded_error", "Overloaded"), Hold, provErr, 5 * time.Second, "overloaded_error"},
		{503, "Retry-After: 30", "", Hold, provErr, 30 * time.Second, ""},
		{500, "", said("overloaded_error", "Overloaded"), Hold, provErr, 0, "overloaded_error"}, // a gateway's status
		{502, "", said("rate_limit_error", "Slow down"), Hold, provErr, 0, "rate_limit_error"},

		{401, "", said("authentication_error", "invalid x-api-key"), HoldKey, badKey, 0, "authentication_error"},
		{402, "", said("billing_error", "Pay"), HoldKey, badKey, 0, "billing_error"},
		{403, "", said("permission_error", "Not allowed"), HoldKey, badKey, 0, "permission_error"},
		{403, "", "<html>Forbidden</html>", Reject, rejected, 0, ""}, // a firewall's
		{400, "", credit, HoldKey, badKey, 0, "invalid_request_error"},
		{400, "", said("invalid_request_error", "You have reached your specified API usage limits. You will regain access on 2026-12-01 at 00:00 UTC."), HoldKey, badKey, 0, "invalid_request_error"},
		{400, "", said("invalid_request_error", "You have reached your specified workspace API usage limits."), HoldKey, badKey, 0, "invalid_request_error"},
		{429, "", cap429, HoldKey, badKey, 0, "rate_limit_error"},
		// A caller's own text, quoted, must not hold the key for everybody.
		{400, "", said("invalid_request_error", "tools.0.name: 'Your credit balance is too low' is too long"), Reject, rejected, 0, "invalid_request_error"},

		{404, "", said("not_found_error", "model: claude-9"), ModelMissing, noModel, 0, "not_found_error"},
		{404, "", `{"error":{"message":"The model x does not exist","type":"invalid_request_error","code":"model_not_found"}}`, ModelMissing, noModel, 0, "model_not_found"},
		{404, "", `{"error":"model 'x' not found"}`, ModelMissing, noModel, 0, ""},
		{404, "", "404 page not found", Reject, rejected, 0, ""}, // a wrong base URL has no models
		{404, "", `{"detail":"Not Found"}`, Reject, rejected, 0, ""},

		{400, "", said("invalid_request_error", "max_tokens: must be positive"), Reject, rejected, 0, "invalid_request_error"},
		{405, "", "", Reject, rejected, 0, ""},
		{413, "", said("request_too_large", "Request too large"), Reject, rejected, 0, "request_too_large"},
		{413, "", "<html>cloud</html>", Reject, rejected, 0, ""},
		{422, "", `{"error":{"message":"no"}}`, Reject, rejected, 0, ""},
		{451, "Retry-After: 9", "", Reject, rejected, 9 * time.Second, ""},
	} {
		t.Run(fmt.Sprint(row.status, " ", row.header, " ", row.body), func(t *testing.T) {
			client := provide(t, func(w http.ResponseWriter, _ *http.Request) {
				if name, value, ok := strings.Cut(row.header, ": "); ok {
					w.Header().Set(name, value)
				}
				w.Header().Set("request-id", "req_header")
				w.WriteHeader(row.status)
				io.WriteString(w, row.body)
			})
			got := failure(t.Context(), t, client, Request{})
			if !strings.HasPrefix(got.Message, fmt.Sprintf("acme answered %d", row.status)) {
				t.Errorf("message: got %q, want one that begins with who answered what", got.Message)
			}
			got.Message = ""
			want := &Error{Verdict: row.verdict, Code: row.code, StatusCode: row.status, Type: row.kind, RetryAfter: row.wait, RequestID: "req_header", Sent: true}
			if diff := gocmp.Diff(want, got); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

// An error may arrive as an event, after the status 200. Before any part of the answer it
// means what it would have meant as a status; after that it costs an attempt.
func TestAnErrorWithinAStream(t *testing.T) {
	for _, row := range []struct {
		kind   string
		status int
		before Verdict
		behind Verdict
	}{
		{"overloaded_error", 529, Hold, Retry},
		{"rate_limit_error", 429, Hold, Retry},
		{"authentication_error", 401, HoldKey, Retry},
		{"billing_error", 402, HoldKey, Retry},
		{"permission_error", 403, HoldKey, Retry},
		{"not_found_error", 404, ModelMissing, Retry},
		{"api_error", 500, Retry, Retry},
		{"timeout_error", 504, Retry, Retry},
		{"a_new_error", 200, Retry, Retry},
		{"invalid_request_error", 400, Reject, Reject},
		{"request_too_large", 413, Reject, Reject},
	} {
		broken := "event: error\ndata: " + said(row.kind, "Sorry.") + "\n\n"
		for where, pieces := range map[string]struct {
			before  string
			want    Verdict
			partial string
		}{
			"at once":               {"", row.before, ""},
			"before the answer":     {begin + ping, row.before, ""},
			"in an empty answer":    {begin + block, row.behind, ""},
			"in the answer":         {begin + block + some, row.behind, "Some text"},
			"at the answer's close": {begin + block + some + strings.SplitAfter(finish, "\n\n")[0], row.behind, "Some text"},
		} {
			t.Run(row.kind+" "+where, func(t *testing.T) {
				got := failure(t.Context(), t, provide(t, stream(pieces.before, broken)), Request{})
				if got.Verdict != pieces.want || got.StatusCode != row.status || got.Type != row.kind || got.PartialText != pieces.partial || got.RequestID != "req_1" {
					t.Errorf("got %s, %d, %q with %q; want %s, %d, %q with %q", got.Verdict, got.StatusCode, got.Type, got.PartialText, pieces.want, row.status, row.kind, pieces.partial)
				}
				if !strings.HasSuffix(got.Message, "("+row.kind+"): Sorry.") {
					t.Errorf("message: got %q, want one that ends with what was said", got.Message)
				}
			})
		}
	}
}

func TestAnErrorOfLooserFormWithinAStream(t *testing.T) {
	for form, want := range map[string]Verdict{
		`data: {"error":{"type":"overloaded_error","message":"Overloaded"}}`:                                                 Hold,
		`data: {"type":"error","error":{"type":"overloaded_error"}}`:                                                         Hold,
		"event: error\n" + `data: {"error":"no"}`:                                                                            Retry,
		"event: error\ndata: broken":                                                                                         Retry,
		`data: {"type":"error","error":{"type":"rate_limit_error","details":{"error_code":"enforced_spend_limit_reached"}}}`: HoldKey,
	} {
		if got := failure(t.Context(), t, provide(t, stream(form+"\n\n")), Request{}); got.Verdict != want {
			t.Errorf("%s: got %s, want %s", form, got.Verdict, want)
		}
	}
	if got := failure(t.Context(), t, provide(t, whole(200, said("overloaded_error", "Overloaded"))), Request{}); got.Verdict != Hold {
		t.Errorf("as JSON with status 200: got %s, want %s", got.Verdict, Hold)
	}
}

// The provider's time is right and this machine's is an hour slow; the request's clock
// corrects it.
func TestTimesOfTheProviderAreTakenByTheClockOfTheRequest(t *testing.T) {
	now := func() time.Time { return time.Now().Add(time.Hour) }
	got := failure(t.Context(), t, provide(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Anthropic-Ratelimit-Tokens-Reset", now().Add(40*time.Second).UTC().Format(time.RFC3339))
		w.WriteHeader(http.StatusTooManyRequests)
	}), Request{Now: now})
	if got.RetryAfter < 30*time.Second || got.RetryAfter > 40*time.Second {
		t.Errorf("got %s, want 40 s", got.RetryAfter)
	}
}

func TestARateLimitWithoutRetryAfterGoesByItsHeaders(t *testing.T) {
	in := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(time.RFC3339) }
	for name, row := range map[string]struct {
		header   http.Header
		from, to time.Duration
	}{
		"the limit that is used up counts, not the next to be reset": {
			http.Header{
				"Anthropic-Ratelimit-Requests-Remaining":     {"3"},
				"Anthropic-Ratelimit-Requests-Reset":         {in(5 * time.Second)},
				"Anthropic-Ratelimit-Input-Tokens-Remaining": {"0"},
				"Anthropic-Ratelimit-Input-Tokens-Reset":     {in(40 * time.Second)},
			}, 30 * time.Second, 40 * time.Second,
		},
		"without a used one the first reset counts": {
			http.Header{
				"Anthropic-Ratelimit-Requests-Reset":      {in(20 * time.Second)},
				"Anthropic-Ratelimit-Output-Tokens-Reset": {in(50 * time.Second)},
			}, 10 * time.Second, 20 * time.Second,
		},
		"a reset far away is cut": {
			http.Header{"Anthropic-Ratelimit-Tokens-Reset": {in(24 * time.Hour)}}, time.Hour, time.Hour,
		},
		"a reset in the past is none": {
			http.Header{"Anthropic-Ratelimit-Tokens-Reset": {in(-time.Hour)}}, 0, 0,
		},
		"Retry-After goes before": {
			http.Header{"Retry-After": {"2"}, "Anthropic-Ratelimit-Tokens-Reset": {in(20 * time.Second)}}, 2 * time.Second, 2 * time.Second,
		},
		"a header that is no time is none": {
			http.Header{"Anthropic-Ratelimit-Tokens-Reset": {"soon"}}, 0, 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := failure(t.Context(), t, provide(t, func(w http.ResponseWriter, _ *http.Request) {
				maps.Copy(w.Header(), row.header)
				w.WriteHeader(http.StatusTooManyRequests)
			}), Request{})
			if got.Verdict != Hold || got.RetryAfter < row.from || got.RetryAfter > row.to {
				t.Errorf("got %s for %s, want %s for %s to %s", got.Verdict, got.RetryAfter, Hold, row.from, row.to)
			}
		})
	}
}

// The request and the key go to the configured address and nowhere else.
func TestARedirectIsNotFollowed(t *testing.T) {
	elsewhere := provide(t, func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") })
	for _, status := range []int{301, 302, 303, 307, 308} {
		client := provide(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.endpoint.String(), status)
		})
		got := failure(t.Context(), t, client, Request{})
		if got.Verdict != Retry || got.Code != ringback.CodeProviderError || got.StatusCode != status || !strings.Contains(got.Message, "base_url") {
			t.Errorf("%d: got %s, %s, %d, %q", status, got.Verdict, got.Code, got.StatusCode, got.Message)
		}
	}
}

func TestANetworkErrorIsRetried(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	for name, row := range map[string]struct {
		client *Client
		sent   bool
		reason string
	}{
		"nobody listens":               {clientOf(t, Config{BaseURL: "http://" + closed.Addr().String()}), false, "the connection was refused"},
		"the connection is closed":     {raw(t, func(net.Conn) {}), true, "broke before it answered: "},
		"it does not speak HTTP":       {raw(t, func(c net.Conn) { io.WriteString(c, "SSH-2.0-OpenSSH_9.6\r\n\r\n") }), true, "broke before it answered"},
		"it does not speak TLS":        {raw(t, func(c net.Conn) { io.WriteString(c, "HTTP/1.0 200 OK\r\n\r\n") }), false, "it does not speak TLS"},
		"its headers are without end":  {raw(t, func(c net.Conn) { io.WriteString(c, "HTTP/1.1 200 OK\r\n"); flood(c, "X-Y: z\r\n") }), true, "broke before it answered"},
		"its status line never begins": {raw(t, func(c net.Conn) { flood(c, "x") }), true, "broke before it answered"},
	} {
		t.Run(name, func(t *testing.T) {
			if strings.Contains(name, "TLS") {
				row.client.endpoint.Scheme = "https"
			}
			sent := 0
			got := failure(t.Context(), t, row.client, Request{Sent: func() { sent++ }})
			if got.Verdict != Retry || got.Code != ringback.CodeProviderError || got.StatusCode != 0 || got.Sent != row.sent || !strings.Contains(got.Message, row.reason) {
				t.Errorf("got %s, %s, %d, sent %v, %q; want %s, %s, 0, sent %v, %q", got.Verdict, got.Code, got.StatusCode, got.Sent, got.Message, Retry, ringback.CodeProviderError, row.sent, row.reason)
			}
			if strings.Contains(got.Message, "127.0.0.1") {
				t.Errorf("the message names an address: %q", got.Message)
			}
			if (sent == 1) != row.sent {
				t.Errorf("Sent was called %d times, want it once if a byte may have left: %v", sent, row.sent)
			}
		})
	}
}

// flood writes a text until the connection is closed.
func flood(c net.Conn, text string) {
	text = strings.Repeat(text, 1000)
	for {
		if _, err := io.WriteString(c, text); err != nil {
			return
		}
	}
}

// Endless input is cut off at our limits, and what had arrived is kept.
func TestWhatHasNoEndIsCutOff(t *testing.T) {
	endless := func(text string) http.HandlerFunc {
		text = strings.Repeat(text, 1000)
		return func(w http.ResponseWriter, _ *http.Request) {
			for {
				if _, err := io.WriteString(w, text); err != nil {
					return
				}
			}
		}
	}
	for name, row := range map[string]struct {
		handler http.HandlerFunc
		code    ringback.ErrorDetailCode
		verdict Verdict
		begun   bool
	}{
		"a stream":           {then(stream(begin, block), endless(some)), ringback.CodeTooLarge, Retry, true},
		"pings":              {then(stream(begin, block, some), endless(ping)), ringback.CodeTooLarge, Retry, true},
		"a line":             {then(stream(begin, block, some), endless("data: x")), ringback.CodeTooLarge, Retry, true},
		"an event":           {then(stream(begin, block, some), endless("data: x\n")), ringback.CodeTooLarge, Retry, true},
		"comments":           {then(stream(begin, block, some), endless(": hi\n")), ringback.CodeTooLarge, Retry, true},
		"NUL bytes":          {endless("\x00"), ringback.CodeTooLarge, Retry, false},
		"an answer of JSON":  {then(whole(200, `{"content":"`), endless("x")), ringback.CodeTooLarge, Retry, false},
		"an error of JSON":   {then(whole(500, `{"error":"`), endless("x")), ringback.CodeProviderError, Retry, false},
		"an error of spaces": {then(whole(400, ""), endless(" ")), ringback.CodeProviderRejected, Reject, false},
	} {
		t.Run(name, func(t *testing.T) {
			client := provide(t, row.handler)
			client.maxAnswer = 300_000
			held := 0
			got := failure(t.Context(), t, client, Request{Grow: func(_ context.Context, n int) error { held += n; return nil }})
			if got.Verdict != row.verdict || got.Code != row.code {
				t.Fatalf("got %s, %s, want %s, %s (%v)", got.Verdict, got.Code, row.verdict, row.code, got)
			}
			if row.begun != strings.HasPrefix(got.PartialText, "Some text") {
				t.Errorf("got the partial text %.20q, want one: %v", got.PartialText, row.begun)
			}
			if held > 5*int(client.maxAnswer) {
				t.Errorf("took %d bytes of memory, want at most 5 times the limit", held)
			}
		})
	}
}

// An error that drips is classified by its status within seconds.
func TestAnErrorWhoseBodyNeverEndsIsClassifiedAllTheSame(t *testing.T) {
	client := provide(t, then(whole(529, "{"), func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).Flush()
		silence(w, r)
	}))
	client.idle = 10 * time.Millisecond
	if got := failure(t.Context(), t, client, Request{}); got.Verdict != Hold || got.StatusCode != 529 {
		t.Errorf("got %s, %d, want %s, 529", got.Verdict, got.StatusCode, Hold)
	}
}

func TestAPanicOfOursIsAnAttempt(t *testing.T) {
	client := provide(t, stream(begin, block, some, finish))
	got := failure(t.Context(), t, client, Request{FirstToken: func(time.Time) { panic("a bug") }})
	if got.Verdict != Retry || got.Code != ringback.CodeInternal || !got.Sent || !strings.Contains(got.Error(), "a bug") {
		t.Errorf("got %s, %s, sent %v, %q", got.Verdict, got.Code, got.Sent, got.Error())
	}
	if strings.Contains(got.Message, "a bug") {
		t.Errorf("the message shows our inside: %q", got.Message)
	}
}

// A provider's text goes into logs, pages and webhooks: it must be one line, without the
// key.
func TestAnErrorsTextIsClean(t *testing.T) {
	message := "line one\r\n\tline two \x1b[31mred\x00 " + testKey + " " + strings.Repeat("ß", 2000)
	body := fmt.Sprintf(`{"error":{"type":"%s %s","message":%q},"request_id":"%s"}`, testKey, strings.Repeat("t", 500), message, strings.Repeat("r", 500))
	for name, client := range map[string]*Client{
		"status": provide(t, whole(400, body)),
		"event":  provide(t, stream("event: error\ndata: "+body+"\n\n")),
		"bytes":  provide(t, whole(400, strings.ReplaceAll(body, "line one", "line \xff\xfe"))),
	} {
		got := failure(t.Context(), t, client, Request{})
		for _, text := range []string{got.Message, got.Type, got.RequestID, got.Error()} {
			if strings.Contains(text, testKey) {
				t.Errorf("%s: the key is in %q", name, text)
			}
			if strings.ToValidUTF8(text, "") != text || strings.ContainsAny(text, "\r\n\t\x1b\x00") || len(text) > maxMessage {
				t.Errorf("%s: not one clean line of at most %d bytes: %q", name, maxMessage, text)
			}
		}
	}
}

// A server that sends our own headers back as garbage does not get them into the log.
func TestACauseIsClean(t *testing.T) {
	client := raw(t, func(c net.Conn) { io.WriteString(c, testKey+"\r\n\r\n") })
	got := failure(t.Context(), t, client, Request{})
	if strings.Contains(got.Error(), testKey) || !strings.Contains(got.Error(), "[key]") {
		t.Errorf("got %q, want it without the key", got.Error())
	}
}

func TestAnErrorGivesItsCause(t *testing.T) {
	cause := errors.New("the reason")
	err := error(&Error{Message: "the call was stopped", Cause: cause})
	if !errors.Is(err, cause) || err.Error() != "the call was stopped: the reason" {
		t.Errorf("got %q, want message and cause", err)
	}
}
