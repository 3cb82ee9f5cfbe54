package api

import (
	"net/http"
	"strings"
	"testing"

	"github.com/ringback/ringback"
)

func TestASaneRequestIDIsKept(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"abc", "0193c1a7-7000", "a.b:c/d=e@f+g", strings.Repeat("x", 128)} {
		if got := requestID(http.Header{headerRequestID: {id}}); got != id {
			t.Errorf("%q became %q", id, got)
		}
	}
	for _, id := range []string{"", "a b", "-a", "a\nb", "é", `"`, strings.Repeat("x", 129)} {
		got := requestID(http.Header{headerRequestID: {id}})
		if got == id || len(got) != 36 {
			t.Errorf("%q became %q, want a new id", id, got)
		}
	}
}

func TestOnlyAValidTraceParentIsPassedOn(t *testing.T) {
	t.Parallel()
	const trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	for _, valid := range []string{"00-" + trace + "-" + parent + "-01", "cc-" + trace + "-" + parent + "-00-later"} {
		if got := validTraceParent(http.Header{headerTraceParent: {valid}}); got != valid {
			t.Errorf("%s became %q", valid, got)
		}
	}
	for _, invalid := range []string{
		"", "00", "00-" + trace + "-" + parent + "-01-later", "ff-" + trace + "-" + parent + "-01",
		"00-" + strings.ToUpper(trace) + "-" + parent + "-01", "00-" + strings.Repeat("0", 32) + "-" + parent + "-01",
		"00-" + trace + "-" + strings.Repeat("0", 16) + "-01", "00-" + trace + "-" + parent + "-1", "cc-" + trace + "-" + parent + "-00.x",
		"00-" + trace + "-" + parent + "-01\n",
	} {
		if got := validTraceParent(http.Header{headerTraceParent: {invalid}}); got != "" {
			t.Errorf("%q was passed on", invalid)
		}
	}
	twice := "00-" + trace + "-" + parent + "-01"
	if got := validTraceParent(http.Header{headerTraceParent: {twice, twice}}); got != "" {
		t.Errorf("of two, %q was passed on", got)
	}
}

func TestAnIdempotencyKeyHasUpTo255PrintableCharacters(t *testing.T) {
	t.Parallel()
	if key, err := idempotencyKey(http.Header{}); key != "" || err != nil {
		t.Errorf("without the header: got %q, %v", key, err)
	}
	for _, key := range []string{"a", "order 17", `"quoted"`, strings.Repeat("é", 255)} {
		if got, err := idempotencyKey(http.Header{headerIdempotency: {key}}); got != key || err != nil {
			t.Errorf("%q: got %q, %v", key, got, err)
		}
	}
	for _, given := range [][]string{{""}, {"a", "a"}, {"a\tb"}, {"\xff"}, {"\u200b"}, {strings.Repeat("é", 256)}} {
		_, err := idempotencyKey(http.Header{headerIdempotency: given})
		checkFormError(t, strings.Join(given, ","), err, "Idempotency-Key", "Idempotency-Key must be one value of 1 to 255 printable characters")
	}
}

func TestTheCallbackURLMayComeInAHeader(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		header []string
		body   string
		want   string
	}{
		{nil, "https://a/", "https://a/"},
		{[]string{"https://a/"}, "", "https://a/"},
		{[]string{"https://a/"}, "https://a/", "https://a/"},
		{[]string{""}, "https://a/", "https://a/"},
		{nil, "", ""},
	} {
		got, err := callbackURL(http.Header{http.CanonicalHeaderKey(headerCallbackURL): c.header}, c.body)
		if err != nil || got != c.want {
			t.Errorf("header %q, body %q: got %q, %v, want %q", c.header, c.body, got, err, c.want)
		}
	}
	const message = "callback_url and the header X-Callback-URL name different URLs; give one of them"
	_, err := callbackURL(http.Header{"X-Callback-Url": {"https://b/"}}, "https://a/")
	checkFormError(t, "two", err, "callback_url", message)
	_, err = callbackURL(http.Header{"X-Callback-Url": {"https://a/", "https://b/"}}, "")
	checkFormError(t, "two headers", err, "callback_url", message)
}

func TestAnIdempotencyHashGoesByMeaning(t *testing.T) {
	t.Parallel()
	hash := func(callback, body string) string {
		h := http.Header{}
		if callback != "" {
			h.Set(headerCallbackURL, callback)
		}
		return string(sameRequest(&call{method: "POST", path: "/api/generate", header: h, body: []byte(body)}))
	}
	base := hash("", `{"prompt":"Hi","model":"m"}`)
	if got := hash("", "{\n\"model\":\"m\", \"prompt\":\"\\u0048i\", \"events\":null}"); got != base {
		t.Error("another spelling of a body has another hash")
	}
	if got := hash("", `{"prompt":"Hi","model":"n"}`); got == base {
		t.Error("another body has the same hash")
	}
	if got := hash("https://a/", `{"prompt":"Hi","model":"m"}`); got == base {
		t.Error("another X-Callback-URL has the same hash")
	}
	if len(base) != 32 {
		t.Errorf("the hash has %d bytes, want SHA-256", len(base))
	}
}

func TestEveryCodeHasItsStatus(t *testing.T) {
	t.Parallel()
	want := map[ringback.Code]int{
		"invalid_request": 400, "unauthorized": 401, "forbidden": 403, "not_found": 404, "method_not_allowed": 405,
		"conflict": 409, "gone": 410, "too_large": 413, "unsupported_media_type": 415, "misdirected": 421,
		"idempotency_mismatch": 422, "rate_limited": 429, "headers_too_large": 431, "unavailable": 503, "loop": 508, "internal": 500,
	}
	for code, status := range want {
		if got := errorReply(&ringback.Error{Code: code}).status; got != status {
			t.Errorf("%s: got %d, want %d", code, got, status)
		}
	}
	if len(statusOf) != len(want) {
		t.Errorf("the table has %d codes, want %d", len(statusOf), len(want))
	}
	if got := errorReply(&ringback.Error{Code: "new"}).status; got != 500 {
		t.Errorf("a code that the table lacks: got %d, want 500", got)
	}
}

func TestOnlyAValidTraceStateIsPassedOn(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		given []string
		want  string
	}{
		{nil, ""},
		{[]string{"congo=t61rcWkgMzE"}, "congo=t61rcWkgMzE"},
		{[]string{"rojo=00f067aa0ba902b7", "congo=t61rcWkgMzE"}, "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"},
		{[]string{"no state"}, ""},
		{[]string{"a=1,a=2"}, ""},
		{[]string{"a=" + strings.Repeat("x", 250) + ",b=" + strings.Repeat("x", 250) + ",c=" + strings.Repeat("x", 250)}, ""},
	} {
		if got := validTraceState(http.Header{headerTraceState: test.given}); got != test.want {
			t.Errorf("%q: got %q, want %q", test.given, got, test.want)
		}
	}
}
