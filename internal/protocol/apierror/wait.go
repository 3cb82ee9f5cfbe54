package apierror

import (
	"cmp"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/ringback/ringback/internal/backoff"
)

// maxWait is the longest time that we wait because a provider asks for it.
const maxWait = time.Hour

// retryAfter reads the headers that name a time to wait. ok is false if they do not.
// The result is at most maxWait and never negative.
func retryAfter(header http.Header, now time.Time) (wait time.Duration, ok bool) {
	wait, ok = backoff.RetryAfter(header, now)
	return clamp(wait), ok
}

func clamp(wait time.Duration) time.Duration { return min(max(wait, 0), maxWait) }

// RetryAfter finds how long a refusal asks to wait: in its headers, in its body, in the
// headers that a gateway passes on within the body; finally in the headers with the reset
// times of limits. named is false for the latter: every answer has them.
func (c Error) RetryAfter(status int, header http.Header, now time.Time) (wait time.Duration, named bool) {
	for _, header := range []http.Header{header, c.header} {
		if wait, ok := retryAfter(header, now); ok {
			return wait, true
		}
	}
	if wait := cmp.Or(c.retryDelay, delayInText(c.Message)); wait > 0 {
		return wait, true
	}
	if status == http.StatusTooManyRequests || status == StatusOverloaded {
		return clamp(cmp.Or(untilReset(header, now), untilReset(c.header, now))), false
	}
	return 0, false
}

// bareNumber matches a small number at the end of a sentence.
var bareNumber = regexp.MustCompile(`^(\d{1,4}(?:\.\d+)?)(?:[.!,;)]?$|[.!,;)] )`)

var namesDelay = regexp.MustCompile(`(?i)\b(?:try(?:ing)? again|retry(?:ing|-after)?|retried|wait|resets?|available)(?: again)?(?: (?:in|after|for|within))?(?: about| approximately)?(?:: ?| )(\d)`)

// delayInText finds "try again in 5.3s" and the like in a message.
func delayInText(message string) time.Duration {
	at := namesDelay.FindStringSubmatchIndex(message)
	if at == nil {
		return 0
	}
	text := message[at[2]:]
	wait, _, ok := backoff.Duration(text)
	if number := bareNumber.FindStringSubmatch(text); !ok && number != nil { // of seconds
		wait, _ = backoff.Parse(number[1], time.Time{})
	}
	return clamp(wait)
}

// untilReset finds the end of a refusal that names no time of its own, by headers such as
// X-Ratelimit-Reset-Tokens and Anthropic-Ratelimit-Tokens-Reset: the latest reset of the
// limits that are used up, otherwise the first reset of all. Makers write it as a duration,
// seconds, a date or a Unix time.
func untilReset(header http.Header, now time.Time) time.Duration {
	var used, first time.Duration
	for name, values := range header {
		lower := strings.ToLower(name)
		if !strings.Contains(lower, "ratelimit-") && !strings.Contains(lower, "rate-limit-") || !strings.Contains(lower, "reset") {
			continue
		}
		reset, ok := backoff.Parse(values[0], now)
		if !ok || reset == 0 {
			continue
		}
		if remaining := header.Get(strings.Replace(lower, "reset", "remaining", 1)); strings.TrimSpace(remaining) == "0" {
			used = max(used, reset)
		}
		if first == 0 || reset < first {
			first = reset
		}
	}
	return cmp.Or(used, first)
}
