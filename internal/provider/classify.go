package provider

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/protocol/apierror"
)

// Verdict is what a failed call means for its job, its model and its key.
type Verdict string

// The verdicts.
const (
	// Retry: this attempt failed and counts; another one may succeed.
	Retry Verdict = "retry"
	// Hold: the provider refuses this model for now, and no part of an answer has arrived.
	// The attempt does not count.
	Hold Verdict = "hold"
	// HoldKey: the provider refuses our account. The attempt does not count.
	HoldKey Verdict = "hold_key"
	// ModelMissing: the provider has no such model.
	ModelMissing Verdict = "model_missing"
	// Reject: the provider will never answer this request.
	Reject Verdict = "reject"
	// Stopped: the caller ended the call, by its context or in Request.Grow.
	// Error.Cause is its reason, and Error.Code is empty.
	Stopped Verdict = "stopped"
	// Unsent: this machine had no descriptor, memory or port left for the call. No byte
	// was sent, and the failure is about neither the provider nor the request.
	Unsent Verdict = "unsent"
)

// Error describes how a call failed. Its texts are valid UTF-8 of bounded length.
type Error struct {
	Verdict Verdict
	Code    ringback.ErrorDetailCode
	// StatusCode is the provider's HTTP status or, for an error within a stream, the one
	// that its type means. 0 if there was none.
	StatusCode int
	// Type is the provider's own name for the error, if it gave one.
	Type string
	// Message is one line for the job's owner, without key or address.
	Message string
	// RetryAfter is how long the provider asks us to wait, at most an hour; 0 if it named
	// no time.
	RetryAfter time.Duration
	// PartialText and PartialUsage are the part of the answer that had arrived.
	PartialText  string
	PartialUsage json.RawMessage
	// RequestID is the provider's id for the call, if it gave one.
	RequestID string
	// Sent: a byte of the request may have left.
	Sent bool
	// Cause is only for the log: it may contain addresses.
	Cause error
}

// Error returns message and cause.
func (e *Error) Error() string {
	if e.Cause == nil {
		return e.Message
	}
	return e.Message + ": " + e.Cause.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// classify returns what an error response means for the job, and the code of the job's
// error. status is that of the response, retryAfter means that it named a time to wait,
// begun that part of an answer had arrived.
func classify(status int, c apierror.Error, retryAfter, begun bool) (Verdict, ringback.ErrorDetailCode) {
	verdict, code := classifyRefusal(status, c, retryAfter)
	if begun && verdict != Reject {
		// Part of the answer has been paid for: retrying at no cost in attempts could pay
		// for it again and again.
		return Retry, ringback.CodeProviderError
	}
	return verdict, code
}

func classifyRefusal(status int, c apierror.Error, retryAfter bool) (Verdict, ringback.ErrorDetailCode) {
	switch {
	case c.Subject == apierror.AboutAccount:
		return HoldKey, ringback.CodeProviderRefusedKey
	case c.Subject == apierror.AboutRequest:
		return Reject, ringback.CodeProviderRejected
	case c.Subject == apierror.AboutModel, status == http.StatusNotFound && c.NamesModel:
		return ModelMissing, ringback.CodeModelNotFound
	case status == http.StatusServiceUnavailable && retryAfter:
		return Hold, ringback.CodeProviderError
	}
	switch status {
	case http.StatusUnauthorized, http.StatusPaymentRequired, http.StatusForbidden:
		return HoldKey, ringback.CodeProviderRefusedKey
	case http.StatusTooManyRequests, apierror.StatusOverloaded:
		return Hold, ringback.CodeProviderError
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooEarly:
		return Retry, ringback.CodeProviderError
	}
	if status >= 400 && status < 500 {
		return Reject, ringback.CodeProviderRejected
	}
	return Retry, ringback.CodeProviderError // 5xx, a redirect, or no status
}

// effectiveStatus returns the status that counts. Gateways pass refusals on under a 5xx of
// their own; the error's name distinguishes those from a failure.
func effectiveStatus(status int, c apierror.Error) int {
	if hidden := c.Status == http.StatusTooManyRequests || c.Status == apierror.StatusOverloaded; status >= 500 && hidden {
		return c.Status
	}
	return status
}

const (
	maxMessage = 1000 // bytes of a provider's message
	maxName    = 200  // bytes of a provider's error type or request id
	maxModel   = 256  // bytes of the model that an answer names
	maxLooked  = 64 << 10
)

// clean makes one printable line of an external text, of at most limit bytes, without the
// key: a provider may quote it.
func (c *Client) clean(text string, limit int) string {
	text = c.redact(strings.TrimSpace(text))
	text = text[:min(len(text), maxLooked)] // the following steps make copies
	text = strings.ToValidUTF8(text, "\uFFFD")
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
	text = strings.Join(strings.Fields(text), " ")
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit-len("…")], "") + "…"
}
