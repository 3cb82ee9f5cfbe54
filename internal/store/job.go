package store

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
)

// Job is the row of a job. Times have milliseconds; a zero time is unset.
type Job struct {
	ID       uuid.UUID
	Project  string
	Provider string
	// Protocol is the dialect of the stored request and answer.
	Protocol string
	// Model is the model that is called now; RequestedModel is what the caller requested;
	// Fallbacks are called next, in order.
	Model          string
	RequestedModel string
	Fallbacks      []string
	Options        Options
	// Priority orders jobs in the same lane, higher first; 0 to 9.
	Priority int
	// Metadata is the caller's object; never empty.
	Metadata json.RawMessage

	Status ringback.Status
	Fence  int64
	// Node runs the job; set exactly while it is running.
	Node            string
	CancelRequested bool

	CreatedAt      time.Time
	RunAt          time.Time // not claimed before
	FirstStartedAt time.Time
	StartedAt      time.Time // of the last attempt
	EndedAt        time.Time // set exactly when Status is terminal
	FirstRefusedAt time.Time
	ExpiresAt      time.Time
	// EndBy is when a waiting job is ended by Expire: ExpiresAt or, after a
	// refusal, the end of its max_wait, whichever is earlier.
	EndBy time.Time

	Failures  int // attempts that failed since Model was chosen: they count against MaxAttempts
	Attempts  int // calls that may have produced something
	Uncertain int // attempts that ended uncertain

	AnswerModel string
	Usage       json.RawMessage
	DurationMS  int64 // of the last attempt that ended
	Error       string
	ErrorDetail *ringback.ErrorDetail

	// ContentUntil is when content is deleted, at the earliest: it is kept while a delivery
	// is pending. RowUntil is when the row is deleted.
	ContentUntil time.Time
	RowUntil     time.Time
	ContentGone  bool

	IdempotencyKey  string // "" means none
	IdempotencyHash []byte

	// ReplayOf is the dead job that this one repeats, ReplayedBy the newest job
	// that repeats this one; uuid.Nil means none.
	ReplayOf, ReplayedBy uuid.UUID

	// Partial is the last partial answer of an earlier attempt. It is only set for a
	// Decide, which may want to show it.
	Partial Blob

	// Unreadable names the caller's columns that could not be read, since they are too
	// large or broken, and so are not set; it should be "". Such a job can't be run.
	Unreadable string
}

// Lane returns the job's lane.
func (j *Job) Lane() Lane { return Lane{j.Project, j.Provider, j.Model} }

// Ref returns the job's present claim.
func (j *Job) Ref() Ref { return Ref{j.ID, j.Fence} }

// Suspect reports whether the job has outlived three processes or more, and may be what
// killed them (a poison message): it starts last, and alone.
func (j *Job) Suspect() bool { return j.Uncertain >= SuspectAfter }

// MaxPriority is the highest priority of a job; the lowest is 0.
const MaxPriority = 9

// SuspectAfter is how many uncertain attempts make a job suspect. It is part of the schema:
// the partial indexes of waiting jobs contain it (package column).
const SuspectAfter = 3

// Options are what the caller of a job chose. They never change.
type Options struct {
	CallbackURL     string                  `json:"callback_url,omitempty"`
	Host            string                  `json:"host,omitempty"` // of CallbackURL, as the guard names it
	CallbackHeaders map[string]string       `json:"callback_headers,omitempty"`
	Events          []ringback.EventType    `json:"events"`
	WebhookBody     ringback.WebhookBody    `json:"webhook_body"`
	Timeout         time.Duration           `json:"timeout"`
	MaxAttempts     int                     `json:"max_attempts"`
	MaxWait         time.Duration           `json:"max_wait"`
	ResultTTL       time.Duration           `json:"result_ttl"`
	RetryUncertain  ringback.RetryUncertain `json:"retry_uncertain"`
	// Provider is the one that the caller named; "" means that the routes decide.
	Provider string `json:"provider,omitempty"`
	// ProviderHeaders are sent with each call of a provider.
	ProviderHeaders map[string]string `json:"provider_headers,omitempty"`
	// Fallbacks are all fallbacks that the job had when it was new.
	Fallbacks   []string `json:"fallbacks,omitempty"`
	TraceParent string   `json:"traceparent,omitempty"`
	TraceState  string   `json:"tracestate,omitempty"`
	// Stream keeps the job's events. StreamTo is where they are pushed, StreamHost its host
	// as the guard names it.
	Stream       bool                  `json:"stream,omitempty"`
	StreamTo     string                `json:"stream_to,omitempty"`
	StreamHost   string                `json:"stream_host,omitempty"`
	OnDisconnect ringback.OnDisconnect `json:"on_disconnect,omitempty"`
}

// Wants reports whether the caller wants a webhook for an event.
func (o *Options) Wants(e ringback.EventType) bool {
	return o.CallbackURL != "" && slices.Contains(o.Events, e)
}

// HeadersFor returns the caller's callback_headers, but only for the host that they are
// meant for: they may contain its credentials.
func (o *Options) HeadersFor(host string) map[string]string {
	if host != o.Host {
		return nil
	}
	return o.CallbackHeaders
}
