package api

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// preferredWait returns how long the client would rather wait for the end of the job than
// get a 202, at most maxWait; 0 if it said nothing. As RFC 7240 requires, unknown
// preferences are ignored, and the first of several counts.
func preferredWait(h http.Header) time.Duration {
	for preference := range preferences(strings.Join(h.Values(headerPrefer), ",")) {
		name, value, _ := strings.Cut(preference, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "wait") {
			continue
		}
		seconds, err := strconv.ParseUint(strings.Trim(strings.TrimSpace(value), `"`), 10, 31)
		if err != nil {
			return 0
		}
		return min(time.Duration(seconds)*time.Second, maxWait)
	}
	return 0
}

// preferences yields those of a header, without their parameters.
func preferences(header string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for header != "" {
			var one string
			one, header = untilComma(header)
			if preference, _, _ := strings.Cut(one, ";"); !yield(preference) {
				return
			}
		}
	}
}

// untilComma cuts a header at its first comma outside quotes.
func untilComma(s string) (before, after string) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == ',' && !quoted:
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}
