package api

import (
	"net/http"
	"slices"
	"strings"

	"github.com/ringback/ringback"
)

// notServed is the error for a client that was pointed here as if this were its provider.
const notServed = "this server does not take requests in the providers' own formats yet: send the prompt or messages to POST /api/generate, " +
	"with a callback_url for the answer; GET /docs describes it"

// providerPaths are the beginnings of providers' paths, with or without /v1 in the base URL
// of the SDK.
var providerPaths = []string{"v1", "chat", "completions", "messages", "responses", "embeddings"}

// isProviderPath reports whether a path is one that a provider's SDK requests, not ours.
func isProviderPath(path string) bool {
	first, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(path, "/api"), "/"), "/")
	return slices.Contains(providerPaths, first)
}

// The error in Anthropic's protocol.
type anthropicError struct {
	Type      string              `json:"type"`
	Error     anthropicErrorCause `json:"error"`
	RequestID string              `json:"request_id"`
}

type anthropicErrorCause struct {
	Type    string `json:"type"`
	Message string `json:"message"`
}

// The error in OpenAI's protocol.
type openaiError struct {
	Error openaiErrorCause `json:"error"`
}

type openaiErrorCause struct {
	Message string        `json:"message"`
	Type    string        `json:"type"`
	Param   *string       `json:"param"`
	Code    ringback.Code `json:"code"`
}

// inProvidersForm converts an error to the form that the calling SDK shows, and tells it
// not to retry.
func inProvidersForm(r *http.Request, e *ringback.Error, rep reply) reply {
	rep.header.Set("X-Should-Retry", "false")
	if r.Header.Get("Anthropic-Version") != "" || strings.Contains(r.URL.Path, "/messages") {
		rep.header.Set("Request-Id", e.RequestID)
		rep.body = anthropicError{"error", anthropicErrorCause{anthropicErrorType(rep.status), e.Message}, e.RequestID}
		return rep
	}
	kind := "invalid_request_error"
	if rep.status >= http.StatusInternalServerError {
		kind = "server_error"
	}
	rep.body = openaiError{openaiErrorCause{Message: e.Message, Type: kind, Code: e.Code}}
	return rep
}

func anthropicErrorType(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return "authentication_error"
	case http.StatusForbidden:
		return "permission_error"
	case http.StatusNotFound:
		return "not_found_error"
	}
	if status >= http.StatusInternalServerError {
		return "api_error"
	}
	return "invalid_request_error"
}
