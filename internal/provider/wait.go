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
// section 10.2.3), which goes by the provider's own clock where it tells it;
// before it Retry-After-Ms, which says the same more exactly. ok is false if the
// headers are absent or say nothing. The result is at most maxWait and never
// negative.
func retryAfter(header http.Header, now time.Time) (wait time.Duration, ok bool) {
	if ms, err := strconv.ParseFloat(strings.TrimSpace(header.Get("Retry-After-Ms")), 64); err == nil && ms >= 0 {
		return bounded(time.Duration(min(ms, float64(maxWait.Milliseconds())) * float64(time.Millisecond))), true
	}
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

// rateLimit is a limit as the headers of a refusal tell of it.
type rateLimit struct {
	used  bool          // nothing is left of it
	reset time.Duration // until there is
}

// untilReset finds the end of a refusal that has no Retry-After: the latest
// reset of the limits that are used up, else the first reset of all.
func untilReset(limits []rateLimit) time.Duration {
	var used, first time.Duration
	for _, limit := range limits {
		if limit.used {
			used = max(used, limit.reset)
		}
		if first == 0 || limit.reset < first {
			first = limit.reset
		}
	}
	if used > 0 {
		return used
	}
	return max(first, 0)
}
