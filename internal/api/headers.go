package api

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/trace"

	"github.com/ringback/ringback"
)

// The headers that a handler reads or writes, besides those of HTTP itself.
const (
	headerRequestID     = "X-Request-Id"
	headerCallbackURL   = "X-Callback-URL"
	headerIdempotency   = "Idempotency-Key"
	headerReplayed      = "Idempotency-Replayed"
	headerPrefer        = "Prefer"
	headerApplied       = "Preference-Applied"
	headerTraceParent   = "Traceparent"
	headerTraceState    = "Tracestate"
	maxTraceState       = 512 // bytes; the standard requires no more
	maxIdempotencyRunes = 255
)

var (
	saneRequestID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:/+=@-]{0,127}$`)
	// W3C Trace Context, section 3.2: version, trace-id, parent-id, flags. A later version
	// may append more.
	traceParent = regexp.MustCompile(`^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-[!-~]{1,200})?$`)
)

// requestID returns the caller's, if it is fit for a log, or a new one.
func requestID(h http.Header) string {
	if id := h.Get(headerRequestID); saneRequestID.MatchString(id) {
		return id
	}
	id, err := uuid.NewV7()
	if err != nil {
		panic(err) // no random bytes: crypto/rand has ended the process before
	}
	return id.String()
}

// validTraceParent returns the caller's traceparent, "" if it is invalid: the standard says
// to ignore an invalid one.
func validTraceParent(h http.Header) string {
	given := h.Values(headerTraceParent)
	if len(given) != 1 {
		return ""
	}
	m := traceParent.FindStringSubmatch(given[0])
	switch {
	case m == nil, m[1] == "ff", m[1] == "00" && m[4] != "":
		return ""
	case strings.Trim(m[2], "0") == "", strings.Trim(m[3], "0") == "":
		return ""
	}
	return given[0]
}

// validTraceState returns the caller's tracestate, "" if it is invalid.
func validTraceState(h http.Header) string {
	given := strings.Join(h.Values(headerTraceState), ",")
	state, err := trace.ParseTraceState(given)
	if err != nil || len(given) > maxTraceState {
		return ""
	}
	return state.String()
}

// idempotencyKey returns "" if the caller sent none.
func idempotencyKey(h http.Header) (string, error) {
	given := h.Values(headerIdempotency)
	if len(given) == 0 {
		return "", nil
	}
	key := given[0]
	unprintable := func(r rune) bool { return !unicode.IsPrint(r) }
	if len(given) > 1 || key == "" || !utf8.ValidString(key) ||
		utf8.RuneCountInString(key) > maxIdempotencyRunes || strings.ContainsFunc(key, unprintable) {
		return "", ringback.Invalid(headerIdempotency,
			fmt.Sprintf("%s must be one value of 1 to %d printable characters", headerIdempotency, maxIdempotencyRunes))
	}
	return key, nil
}

// callbackURL returns that of the body or, instead, of the header.
func callbackURL(h http.Header, inBody string) (string, error) {
	for _, url := range h.Values(headerCallbackURL) {
		switch {
		case url == "" || url == inBody:
		case inBody == "":
			inBody = url
		default:
			return "", ringback.Invalid("callback_url",
				"callback_url and the header "+headerCallbackURL+" name different URLs; give one of them")
		}
	}
	return inBody, nil
}

// providerHeaders returns those of the body and also those of the request itself that may
// be passed on.
func providerHeaders(h http.Header, inBody map[string]string, allowed []string) (map[string]string, error) {
	for _, name := range allowed {
		value := strings.Join(h.Values(name), ", ")
		if value == "" {
			continue
		}
		field, given := named(inBody, name)
		switch {
		case !given:
			if inBody == nil {
				inBody = map[string]string{}
			}
			inBody[name] = value
		case inBody[field] != value:
			return nil, ringback.Invalid("provider_headers."+field,
				"provider_headers."+field+" and the header "+name+" of this request differ; give one of them")
		}
	}
	return inBody, nil
}

// named finds a header in an object of headers, whose names are case-insensitive.
func named(headers map[string]string, name string) (field string, found bool) {
	for field := range headers {
		if strings.EqualFold(field, name) {
			return field, true
		}
	}
	return "", false
}
