package ringback

import (
	"encoding/json"
	"time"
)

// Request is the body of POST /api/generate. A nil pointer, an empty string and
// JSON null all mean the documented default.
type Request struct {
	// Prompt is one user message. Exactly one of Prompt and Messages is given.
	Prompt string `json:"prompt,omitempty"`
	// Messages is a conversation in the provider's own form, passed on verbatim.
	Messages json.RawMessage `json:"messages,omitempty"`
	// CallbackURL receives the webhooks. Required unless Events is empty.
	CallbackURL string `json:"callback_url,omitempty"`
	// Model names the model; default: the server's default_model.
	Model string `json:"model,omitempty"`
	// MaxTokens bounds the answer; default 4096.
	MaxTokens *int `json:"max_tokens,omitempty"`
	// System is the system prompt: a string, or the provider's own form.
	System json.RawMessage `json:"system,omitempty"`
	// Params are further fields of the provider's request, passed on verbatim.
	Params map[string]json.RawMessage `json:"params,omitempty"`
	// Provider names the provider; default: by the model.
	Provider string `json:"provider,omitempty"`
	// ProviderHeaders go to the provider with each call: anthropic-beta, anthropic-version,
	// openai-beta, openai-organization, openai-project, and those that the server's
	// configuration adds.
	ProviderHeaders map[string]string `json:"provider_headers,omitempty"`
	// Events are the webhooks wanted; nil means the four that end a job.
	Events *[]EventType `json:"events,omitempty"`
	// WebhookBody is how much a webhook carries; default WebhookFull.
	WebhookBody WebhookBody `json:"webhook_body,omitempty"`
	// Metadata is an object of up to 16 KiB, returned wherever the job is.
	Metadata json.RawMessage `json:"metadata,omitempty"`
	// CallbackHeaders are up to 10 static headers for the receiver. They are
	// never shown again.
	CallbackHeaders map[string]string `json:"callback_headers,omitempty"`
	// TimeoutSeconds bounds one attempt; 1 to 3600, default 600.
	TimeoutSeconds *int `json:"timeout_seconds,omitempty"`
	// MaxAttempts bounds the attempts that fail, for each model; 1 to 20, default 3.
	MaxAttempts *int `json:"max_attempts,omitempty"`
	// MaxWaitSeconds bounds the wait while a provider refuses the job, counted from the
	// first refusal; 1 to 604800, default 3600.
	MaxWaitSeconds *int `json:"max_wait_seconds,omitempty"`
	// ResultTTLSeconds is how long the answer is kept after the job's end; 60 to
	// 2592000, default 86400.
	ResultTTLSeconds *int `json:"result_ttl_seconds,omitempty"`
	// ExpiresAt ends a job that is still waiting by then; default 7 days from RunAt.
	ExpiresAt *Time `json:"expires_at,omitempty"`
	// RetryUncertain says what happens after a crash left an attempt without an outcome;
	// default RetryAlways.
	RetryUncertain RetryUncertain `json:"retry_uncertain,omitempty"`
	// Priority puts a job before those of a lower one for the same provider and model,
	// strictly; 0 to 9, default 0.
	Priority *int `json:"priority,omitempty"`
	// RunAt is the earliest time at which the job runs; default now.
	RunAt *Time `json:"run_at,omitempty"`
	// FallbackModels are tried in order, each when the one before has no answer: its
	// attempts or its wait are used up, or there is no such model. At most 8, all of one
	// protocol.
	FallbackModels []string `json:"fallback_models,omitempty"`
	// Stream streams the answer while it is generated, and stores its pieces.
	Stream bool `json:"stream,omitempty"`
	// StreamTo is where the job's events are pushed while it runs: an http or https URL
	// gets one POST that is held open, with text/event-stream as its body; a ws or wss URL
	// gets messages. It implies Stream.
	StreamTo string `json:"stream_to,omitempty"`
	// OnDisconnect says what happens to the job when everybody who waited for it or watched
	// it has left; default DisconnectContinue.
	OnDisconnect OnDisconnect `json:"on_disconnect,omitempty"`
}

// OnDisconnect is the caller's choice about a job that nobody watches anymore.
type OnDisconnect string

// The choices. A job that nobody has ever watched is not cancelled.
const (
	DisconnectContinue OnDisconnect = "continue"
	DisconnectCancel   OnDisconnect = "cancel"
)

// WebhookBody is how much of the job a webhook carries.
type WebhookBody string

// The bodies of a webhook.
const (
	WebhookFull   WebhookBody = "full"   // the whole job
	WebhookResult WebhookBody = "result" // without the provider's message
	WebhookThin   WebhookBody = "thin"   // without result and message; fetch them at status_url
)

// RetryUncertain is the caller's choice after an attempt of unknown outcome, for which the
// provider may have been paid.
type RetryUncertain string

// The choices.
const (
	RetryAlways RetryUncertain = "always" // call the provider again, at no cost in attempts
	RetryNever  RetryUncertain = "never"  // end the job as failed, code "uncertain"
)

// Accepted is the answer to an accepted Request.
type Accepted struct {
	JobID     string `json:"job_id"`
	Status    Status `json:"status"`
	StatusURL string `json:"status_url"`
	// StreamURL is where the job can be watched by anyone who has this URL: it carries a
	// token that is valid for an hour.
	StreamURL string `json:"stream_url"`
}

// Job is one LLM request to be answered, as GET /api/jobs/{id} returns it and as a webhook
// carries it.
type Job struct {
	ID     string `json:"job_id"`
	Status Status `json:"status"`
	// StatusReason says why a job is waiting, where there is something to say.
	StatusReason string `json:"status_reason,omitempty"`
	// HeldBy is the call, refused or failed by the provider, that makes the job wait.
	HeldBy *HeldBy `json:"held_by,omitempty"`
	// Result is all text blocks of the answer joined; nil until the job is
	// completed, "" if the answer has no text.
	Result *string `json:"result,omitempty"`
	// Response is the provider's whole message.
	Response json.RawMessage `json:"response,omitempty"`
	// Error is one sentence, set when the job failed, expired or was cancelled.
	Error       string       `json:"error,omitempty"`
	ErrorDetail *ErrorDetail `json:"error_detail,omitempty"`
	// PartialResult is the text received before the last attempt broke off.
	PartialResult string `json:"partial_result,omitempty"`
	// Model is the one that the answer names; until then, the model that is called.
	Model          string `json:"model"`
	RequestedModel string `json:"requested_model"`
	Provider       string `json:"provider"`
	// Usage is the provider's object, always with input_tokens and output_tokens.
	Usage json.RawMessage `json:"usage,omitempty"`
	// CostUSD is null: prices are not known yet.
	CostUSD *float64 `json:"cost_usd"`
	// DurationMS is the length of the last attempt.
	DurationMS *int64 `json:"duration_ms,omitempty"`
	// QueueMS is the time from acceptance to the first attempt.
	QueueMS *int64 `json:"queue_ms,omitempty"`
	// Attempts counts the provider calls that may have produced something: all in the
	// ledger except those refused or released.
	Attempts    int  `json:"attempts"`
	MaxAttempts int  `json:"max_attempts"`
	CreatedAt   Time `json:"created_at"`
	// StartedAt is the start of the first attempt.
	StartedAt Time `json:"started_at,omitzero"`
	EndedAt   Time `json:"ended_at,omitzero"`
	// RunAt is when a waiting job may run next, unless that is now.
	RunAt Time `json:"run_at,omitzero"`
	// ExpiresAt is when a job that is still waiting expires.
	ExpiresAt Time `json:"expires_at"`
	Priority  int  `json:"priority,omitempty"`
	// FallbackModels are the models to be tried next.
	FallbackModels []string `json:"fallback_models,omitempty"`
	// ReplayOf is the dead job that this one repeats, ReplayedBy the newest job
	// that repeats this one.
	ReplayOf   string `json:"replay_of,omitempty"`
	ReplayedBy string `json:"replayed_by,omitempty"`
	// ResultExpiresAt is when request and answer are deleted, at the earliest.
	ResultExpiresAt Time            `json:"result_expires_at,omitzero"`
	Metadata        json.RawMessage `json:"metadata"`
	StatusURL       string          `json:"status_url"`
	// StreamURL is where the job can be watched; see Accepted. Not in webhooks.
	StreamURL string   `json:"stream_url,omitempty"`
	Webhook   *Webhook `json:"webhook,omitempty"`
	// Request is the provider's request as stored, with ?include=request only.
	Request json.RawMessage `json:"request,omitempty"`
	// ProviderHeaders are those of the request, with ?include=request only.
	ProviderHeaders map[string]string `json:"provider_headers,omitempty"`
}

// ErrorDetail is a job's error for programs.
type ErrorDetail struct {
	Code ErrorDetailCode `json:"code"`
	// Type is the provider's own name for the error, if it gave one.
	Type string `json:"type,omitempty"`
	// StatusCode is the provider's HTTP status, 0 if there was none.
	StatusCode int `json:"status_code,omitempty"`
	Attempts   int `json:"attempts"`
}

// ErrorDetailCode is why a job failed.
type ErrorDetailCode string

// The codes of a failed job.
const (
	CodeProviderError      ErrorDetailCode = "provider_error"
	CodeProviderRejected   ErrorDetailCode = "provider_rejected"
	CodeModelNotFound      ErrorDetailCode = "model_not_found"
	CodeTimeout            ErrorDetailCode = "timeout"
	CodeIdle               ErrorDetailCode = "idle"
	CodeStreamBroken       ErrorDetailCode = "stream_broken"
	CodeTooLarge           ErrorDetailCode = "too_large"
	CodeMaxWait            ErrorDetailCode = "max_wait"
	CodeUncertain          ErrorDetailCode = "uncertain"
	CodeProviderRefusedKey ErrorDetailCode = "provider_refused_key"
	CodeInternal           ErrorDetailCode = "internal"
)

// ErrorDetailCodes lists every code.
var ErrorDetailCodes = []ErrorDetailCode{
	CodeProviderError, CodeProviderRejected, CodeModelNotFound, CodeTimeout, CodeIdle, CodeStreamBroken,
	CodeTooLarge, CodeMaxWait, CodeUncertain, CodeProviderRefusedKey, CodeInternal,
}

// Attempt is one call of a provider for a job: a row of its ledger.
type Attempt struct {
	// Number is the fence under which the attempt ran: it grows, and may have gaps.
	Number            int64           `json:"attempt"`
	Node              string          `json:"node"`
	Provider          string          `json:"provider"`
	Model             string          `json:"model"`
	StartedAt         Time            `json:"started_at"`
	FirstTokenAt      Time            `json:"first_token_at,omitzero"`
	EndedAt           Time            `json:"ended_at,omitzero"`
	Outcome           AttemptOutcome  `json:"outcome,omitempty"` // "" while it runs
	StatusCode        int             `json:"status_code,omitempty"`
	Error             string          `json:"error,omitempty"`
	Usage             json.RawMessage `json:"usage,omitempty"`
	ProviderRequestID string          `json:"provider_request_id,omitempty"`
}

// AttemptOutcome is how an attempt ended.
type AttemptOutcome string

// The outcomes of an attempt.
const (
	AttemptAnswered  AttemptOutcome = "answered"
	AttemptFailed    AttemptOutcome = "failed"
	AttemptRefused   AttemptOutcome = "refused"   // before any part of an answer: costs nothing
	AttemptUncertain AttemptOutcome = "uncertain" // its process died or was stopped: the provider may have answered
	AttemptCancelled AttemptOutcome = "cancelled"
	AttemptReleased  AttemptOutcome = "released" // no byte was sent
)

// Page is the shape of every list.
type Page[T any] struct {
	Data []T `json:"data"`
	// NextCursor asks for the next page; null on the last one.
	NextCursor *string `json:"next_cursor"`
}

// Time is a time in JSON: RFC 3339, UTC, milliseconds. The zero Time is null.
type Time struct{ time.Time }

const timeLayout = "2006-01-02T15:04:05.000Z"

// MarshalJSON writes null for the zero Time.
func (t Time) MarshalJSON() ([]byte, error) {
	if t.IsZero() {
		return []byte("null"), nil
	}
	room := len(`""`) + len(timeLayout) + len("000000") // AppendFormat writes nanoseconds, then removes them
	return t.UTC().AppendFormat(make([]byte, 0, room), `"`+timeLayout+`"`), nil
}

// UnmarshalJSON reads any RFC 3339 time, and null as the zero Time.
func (t *Time) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*t = Time{}
		return nil
	}
	return t.Time.UnmarshalJSON(b)
}

// HeldBy is a call that a provider refused or failed to answer, and that other jobs wait
// for.
type HeldBy struct {
	// JobID is the job of that call; "" where the reader may not know it.
	JobID      string `json:"job_id,omitempty"`
	Model      string `json:"model"`
	StatusCode int    `json:"status_code,omitempty"`
	// Error is what the provider said, in one sentence.
	Error string `json:"error"`
}
