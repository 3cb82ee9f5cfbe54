package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/refusal"
	"github.com/ringback/ringback/internal/strictjson"
)

// statusOf is the one table that maps the code of an error to its HTTP status.
var statusOf = map[ringback.Code]int{
	ringback.InvalidRequest:       http.StatusBadRequest,
	ringback.Unauthorized:         http.StatusUnauthorized,
	ringback.Forbidden:            http.StatusForbidden,
	ringback.NotFound:             http.StatusNotFound,
	ringback.MethodNotAllowed:     http.StatusMethodNotAllowed,
	ringback.Conflict:             http.StatusConflict,
	ringback.Gone:                 http.StatusGone,
	ringback.TooLarge:             http.StatusRequestEntityTooLarge,
	ringback.UnsupportedMediaType: http.StatusUnsupportedMediaType,
	ringback.Misdirected:          http.StatusMisdirectedRequest,
	ringback.IdempotencyMismatch:  http.StatusUnprocessableEntity,
	ringback.RateLimited:          http.StatusTooManyRequests,
	ringback.HeadersTooLarge:      http.StatusRequestHeaderFieldsTooLarge,
	ringback.Unavailable:          http.StatusServiceUnavailable,
	ringback.Loop:                 http.StatusLoopDetected,
	ringback.Internal:             http.StatusInternalServerError,
}

// refuse turns an error into the reply that the client may see. An error that was not
// written for users is logged here, once, and returned as an internal error.
func (s *Server) refuse(r *http.Request, requestID string, err error) reply {
	e := ringback.Error{Code: ringback.Internal, Message: "internal error; the server's log has its cause under this request_id"}
	switch known, form := outsideError(err); {
	case known != nil:
		e = *known // a copy: the original may be shared
	case form != nil:
		e = *invalidBody(form)
	case r.Context().Err() != nil && errors.Is(err, context.Cause(r.Context())):
		// The client has left; nobody reads this.
	case errors.Is(err, context.DeadlineExceeded):
		e = ringback.Error{Code: ringback.Unavailable, Message: "the server is too busy to look this up in time; try again in a moment"}
		s.log.Warn("request took too long", slog.String("request_id", requestID), slog.String("method", r.Method),
			slog.String("path", r.URL.Path), slog.Any("err", err))
	default:
		s.log.Error("request failed", slog.String("request_id", requestID), slog.String("method", r.Method),
			slog.String("path", r.URL.Path), slog.Any("err", err))
	}
	e.RequestID = requestID
	if isProviderPath(r.URL.Path) {
		return inProvidersForm(r, &e, errorReply(&e))
	}
	return errorReply(&e)
}

// outsideError finds the error that was written for users, in either type.
func outsideError(err error) (*ringback.Error, *strictjson.Error) {
	if e, ok := errors.AsType[*ringback.Error](err); ok && e.Code != ringback.Internal {
		return e, nil
	}
	if e := refusal.Unavailable(err); e != nil {
		return e, nil
	}
	form, _ := errors.AsType[*strictjson.Error](err)
	return nil, form
}

// userError returns the error that was written for users, in its usual shape; nil if there is
// none.
func userError(err error) *ringback.Error {
	known, _ := outsideError(err)
	return known
}

func errorReply(e *ringback.Error) reply {
	status, ok := statusOf[e.Code]
	if !ok {
		status = http.StatusInternalServerError
	}
	header := http.Header{}
	switch e.Code {
	case ringback.Unavailable, ringback.RateLimited:
		header.Set("Retry-After", strconv.Itoa(max(1, e.RetryAfterSeconds)))
	case ringback.Unauthorized:
		header.Set("WWW-Authenticate", "Bearer")
	}
	return reply{status: status, header: header, body: e}
}

// invalidBody returns the error for an invalid body.
func invalidBody(e *strictjson.Error) *ringback.Error {
	return ringback.Invalid(e.Path, e.Error())
}
