package provider

import (
	"net/http"
	"time"

	"github.com/ringback/ringback/internal/backoff"
)

// maxWait is the longest time that we stay away because a provider asks for it.
const maxWait = time.Hour

// retryAfter reads the headers that name a time to wait. ok is false if they do not.
// The result is at most maxWait and never negative.
func retryAfter(header http.Header, now time.Time) (wait time.Duration, ok bool) {
	wait, ok = backoff.RetryAfter(header, now)
	return bounded(wait), ok
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
