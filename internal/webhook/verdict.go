package webhook

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/backoff"
)

// Verdict is what a try means for its delivery.
type Verdict int

// The verdicts. The zero value is none of them.
const (
	// Delivered ends the delivery successfully.
	Delivered Verdict = iota + 1
	// Retry asks for another try, if the schedule has one.
	Retry
	// Dead ends the delivery: another try would fail the same way.
	Dead
	// TooLarge asks for a smaller form of the message at once, see [Reduce]; if there is
	// none, it ends the delivery.
	TooLarge
	// Interrupted means that we broke the try off: it says nothing about the receiver,
	// which may have received the message, and costs no try.
	Interrupted
	// Unsent means that this machine had no descriptor, memory or port left for the
	// try: nothing was sent, and it costs no try.
	Unsent
)

func (v Verdict) String() string {
	switch v {
	case Delivered:
		return "delivered"
	case Retry:
		return "retry"
	case Dead:
		return "dead"
	case TooLarge:
		return "too large"
	case Interrupted:
		return "interrupted"
	case Unsent:
		return "unsent"
	}
	return "Verdict(" + strconv.Itoa(int(v)) + ")"
}

// maxBlocked is how often a name that resolved to a closed address is tried again: it may
// recover (a hijacked lookup, a split horizon), but there is no point in trying for days.
const maxBlocked = 3

// classify decides what a status code means.
func classify(code int) Result {
	r := Result{Verdict: Retry, Class: ringback.TryStatus, StatusCode: code, Error: fmt.Sprintf("the callback host answered %d", code)}
	switch {
	case code >= 200 && code < 300:
		return Result{Verdict: Delivered, StatusCode: code}
	case code >= 300 && code < 400:
		r.Class = ringback.TryRedirect
		r.Error += ", a redirect, which is not followed; callback_url must be the final address"
	case code == http.StatusGone:
		r.Verdict = Dead
		r.Error += ": it wants no more of this"
	case code == http.StatusRequestEntityTooLarge:
		r.Verdict = TooLarge
		r.Error += ": the body is too large for it; webhook_body result or thin makes it smaller"
	}
	return r
}

// retryAfter returns the wait that a failing answer asks for, 0 for none. The schedule
// bounds it.
func retryAfter(resp *http.Response, now time.Time) time.Duration {
	if resp.StatusCode < 300 {
		return 0
	}
	wait, _ := backoff.RetryAfter(resp.Header, now)
	return wait
}
