package backoff

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Longest bounds every result.
const Longest = 1000 * time.Hour

// RetryAfter returns how long a response asks to wait: by Retry-After-Ms (or Azure's name
// for it), which is more exact, or else Retry-After. Besides the seconds and the HTTP date
// of RFC 9110 (section 10.2.3) it accepts decimals, durations (30s, 1m30s, 500ms), RFC 3339
// dates and Unix times. A date is relative to the response's own Date header if it has one,
// since the server's clock may differ from ours.
//
// ok is false if the headers are absent or make no sense. The wait is never negative, and
// at most Longest.
func RetryAfter(header http.Header, now time.Time) (wait time.Duration, ok bool) {
	for _, name := range []string{"Retry-After-Ms", "X-Ms-Retry-After-Ms"} {
		if ms, ok := number(header.Get(name)); ok {
			return times(ms, time.Millisecond), true
		}
	}
	if date, err := http.ParseTime(header.Get("Date")); err == nil {
		now = date
	}
	value := header.Get("Retry-After")
	if wait, ok = Parse(value, now); !ok { // proxies append their own
		value, _, _ = strings.Cut(value, ",")
		wait, ok = Parse(value, now)
	}
	return wait, ok
}

// Parse parses one time to wait: a number of seconds, a duration, or the date or Unix time
// at which the wait is over.
func Parse(value string, now time.Time) (wait time.Duration, ok bool) {
	value = strings.Trim(value, ` "\t`)
	if seconds, ok := number(value); ok {
		return sinceNumber(seconds, now), true
	}
	if wait, rest, ok := Duration(value); ok && rest == "" {
		return wait, true
	}
	at, err := http.ParseTime(value)
	for _, layout := range []string{time.RFC3339, time.RFC1123Z} {
		if err != nil {
			at, err = time.Parse(layout, value)
		}
	}
	if err != nil {
		return 0, false
	}
	return bounded(at.Sub(now)), true
}

// Numbers of this size are not seconds to wait (that would be thirty years) but Unix times,
// in seconds or in milliseconds.
const unixSeconds, unixMillis = 1e9, 1e12

func sinceNumber(n float64, now time.Time) time.Duration {
	switch {
	case n >= unixMillis:
		return times(n-float64(now.UnixMilli()), time.Millisecond)
	case n >= unixSeconds:
		return times(n-float64(now.UnixMilli())/1e3, time.Second)
	}
	return times(n, time.Second)
}

var units = map[string]time.Duration{
	"ns": time.Nanosecond, "us": time.Microsecond, "µs": time.Microsecond, "μs": time.Microsecond,
	"ms": time.Millisecond, "millisecond": time.Millisecond, "msec": time.Millisecond,
	"s": time.Second, "sec": time.Second, "second": time.Second,
	"m": time.Minute, "min": time.Minute, "minute": time.Minute,
	"h": time.Hour, "hr": time.Hour, "hour": time.Hour,
	"d": 24 * time.Hour, "day": 24 * time.Hour,
}

// Duration parses the duration at the beginning of text, such as 20ms, 1m30.5s or "2
// minutes", and returns what follows it.
func Duration(text string) (length time.Duration, rest string, ok bool) {
	rest = text
	for next := rest; ; next = strings.TrimLeft(rest, " ") {
		digits := prefix(next, func(r rune) bool { return r >= '0' && r <= '9' || r == '.' })
		after := strings.TrimLeft(next[len(digits):], " ")
		unit := prefix(after, unicode.IsLetter)
		n, isNumber := number(digits)
		size, isUnit := unitOf(unit)
		if !isNumber || !isUnit {
			return length, rest, ok
		}
		length = bounded(length + times(n, size))
		rest, ok = after[len(unit):], true
	}
}

func unitOf(word string) (size time.Duration, ok bool) {
	word = strings.ToLower(word)
	if size, ok = units[word]; !ok && len(word) > len("ms") {
		size, ok = units[strings.TrimSuffix(word, "s")] // the plural
	}
	return size, ok
}

// prefix returns the longest prefix of text whose characters all belong.
func prefix(text string, belongs func(rune) bool) string {
	return text[:len(text)-len(strings.TrimLeftFunc(text, belongs))]
}

// number parses a number in digits: neither negative nor NaN, but possibly too large, which
// is +Inf.
func number(text string) (n float64, ok bool) {
	text = strings.TrimSpace(text)
	if text == "" || strings.Trim(text, "0123456789.eE+") != "" || text[0] == '+' {
		return 0, false
	}
	n, err := strconv.ParseFloat(text, 64)
	return n, err == nil || errors.Is(err, strconv.ErrRange)
}

func times(n float64, unit time.Duration) time.Duration {
	return bounded(time.Duration(min(max(n, 0), float64(Longest/unit)) * float64(unit)))
}

func bounded(wait time.Duration) time.Duration { return min(max(wait, 0), Longest) }
