package provider

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxWait is the longest time that we stay away because a provider asks for it.
const maxWait = time.Hour

// retryAfter reads Retry-After: seconds, whole or not, or an HTTP date (RFC 9110
// section 10.2.3), which goes by the provider's own clock where it tells it. ok
// is false if the header is absent or says nothing. The result is at most
// maxWait and never negative.
func retryAfter(header http.Header, now time.Time) (wait time.Duration, ok bool) {
	value := strings.TrimSpace(header.Get("Retry-After"))
	if value == "" {
		return 0, false
	}
	if seconds, err := strconv.ParseFloat(value, 64); err == nil {
		if !(seconds >= 0) { // a NaN neither
			return 0, false
		}
		return bounded(time.Duration(min(seconds, maxWait.Seconds()) * float64(time.Second))), true
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0, false
	}
	if date, err := http.ParseTime(header.Get("Date")); err == nil {
		now = date
	}
	return bounded(at.Sub(now)), true
}

func bounded(wait time.Duration) time.Duration { return min(max(wait, 0), maxWait) }
