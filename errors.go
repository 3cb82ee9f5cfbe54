package ringback

// Code is the kind of an API error; each has one HTTP status.
type Code string

// The codes of the API.
const (
	InvalidRequest       Code = "invalid_request"
	Unauthorized         Code = "unauthorized"
	Forbidden            Code = "forbidden"
	NotFound             Code = "not_found"
	MethodNotAllowed     Code = "method_not_allowed"
	Conflict             Code = "conflict"
	Gone                 Code = "gone"
	TooLarge             Code = "too_large"
	UnsupportedMediaType Code = "unsupported_media_type"
	HeadersTooLarge      Code = "headers_too_large"
	Misdirected          Code = "misdirected"
	IdempotencyMismatch  Code = "idempotency_mismatch"
	RateLimited          Code = "rate_limited"
	Unavailable          Code = "unavailable"
	Loop                 Code = "loop"
	Internal             Code = "internal"
)

// Error is an error of the API, written for its user: one plain sentence that says what
// would be right.
type Error struct {
	Message string `json:"error"`
	Code    Code   `json:"code"`
	// Field names the field of the request that is at fault, if one is.
	Field     string `json:"field,omitempty"`
	RequestID string `json:"request_id,omitempty"`
	// RetryAfterSeconds goes into the Retry-After header; 0 means none.
	RetryAfterSeconds int `json:"-"`
}

// Error returns the sentence.
func (e *Error) Error() string { return e.Message }

// Invalid returns an InvalidRequest error about the field.
func Invalid(field, message string) *Error {
	return &Error{Code: InvalidRequest, Field: field, Message: message}
}
