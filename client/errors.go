package client

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"github.com/ringback/ringback"
)

// codeOf inverts the server's table of codes, for responses that come from something
// between us and the server and therefore have no code.
var codeOf = map[int]ringback.Code{
	http.StatusBadRequest:                  ringback.InvalidRequest,
	http.StatusUnauthorized:                ringback.Unauthorized,
	http.StatusForbidden:                   ringback.Forbidden,
	http.StatusNotFound:                    ringback.NotFound,
	http.StatusMethodNotAllowed:            ringback.MethodNotAllowed,
	http.StatusConflict:                    ringback.Conflict,
	http.StatusGone:                        ringback.Gone,
	http.StatusRequestEntityTooLarge:       ringback.TooLarge,
	http.StatusUnsupportedMediaType:        ringback.UnsupportedMediaType,
	http.StatusMisdirectedRequest:          ringback.Misdirected,
	http.StatusTooManyRequests:             ringback.RateLimited,
	http.StatusRequestHeaderFieldsTooLarge: ringback.HeadersTooLarge,
	http.StatusBadGateway:                  ringback.Unavailable,
	http.StatusServiceUnavailable:          ringback.Unavailable,
	http.StatusGatewayTimeout:              ringback.Unavailable,
}

// maxError bounds how much of an error's body is read, in bytes.
const maxError = 64 << 10

// refusal returns the error in a response.
func refusal(resp *http.Response) *ringback.Error {
	var e ringback.Error
	text, err := readAtMost(resp.Body, maxError)
	if err != nil || json.Unmarshal(text, &e) != nil || e.Code == "" {
		e = ringback.Error{
			Code:    codeOf[resp.StatusCode],
			Message: fmt.Sprintf("%s answered %s, which is not an answer of Ringback", resp.Request.URL.Redacted(), resp.Status),
		}
		if e.Code == "" {
			e.Code = ringback.Internal
		}
	}
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds > 0 {
		e.RetryAfterSeconds = seconds
	}
	return &e
}
