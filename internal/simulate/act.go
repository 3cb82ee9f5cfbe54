package simulate

import (
	"cmp"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// act is one call being answered.
type act struct {
	provider *Provider
	out      *cutWriter
	r        *http.Request
	call     Call
	text     strings.Builder // the call's Text
}

// play answers a request that was understood.
func (a *act) play(h habit, m messagesRequest) End {
	try, refused := a.provider.refuses(h, m)
	said := newAnswer(h, m)
	a.call.Try, a.call.Model, a.call.Prompt, a.call.Stream, a.call.Of = try, m.Model, m.prompt, m.Stream, said.words
	a.provider.observe(a.call)

	if !wait(a.r, h.first) {
		return ClientLeft
	}
	a.out.left = h.cut
	switch {
	case h.trouble == neverAnswer:
		return a.hang()
	case refused:
		return a.refuseBy(*h.refusal)
	case m.Stream:
		return a.stream(h, said)
	default:
		return a.whole(h, said)
	}
}

// stream sends the answer as events, up to the habit's trouble.
func (a *act) stream(h habit, said answer) End {
	a.out.to.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	a.out.to.Header().Set("Cache-Control", "no-cache")
	a.status(http.StatusOK)
	after := h.after
	if after < 0 {
		after = said.words / 2
	}
	for e := range said.events() {
		pace := h.pace
		if e.text == "" {
			pace = 0
		}
		if !wait(a.r, pace) {
			return ClientLeft
		}
		if !a.send(e, h.pace > 0) {
			return a.failedWrite()
		}
		if h.trouble != noTrouble && h.trouble != neverEnd && a.call.Words >= after {
			return a.cause(h.trouble)
		}
	}
	return Answered
}

// cause brings the trouble upon a stream.
func (a *act) cause(t trouble) End {
	switch t {
	case breakOff:
		a.out.breakOff()
	case errorEvent:
		a.send(event{name: "error", data: errorBody(529, "Overloaded", "")}, true)
	case turnGarbage:
		a.write("\x00\xff<html><body>502 Bad Gateway</body></html>\r\n\r\ndata: {\"type\":\"content_block_delta\",\"index\":0,\n\n")
	case fallSilent:
		a.out.flush()
		return a.hang()
	}
	return Broken
}

// whole sends the answer as one object after the time that a stream would take.
func (a *act) whole(h habit, said answer) End {
	if !wait(a.r, h.pace*time.Duration(said.words)) {
		return ClientLeft
	}
	body := string(encode(said.message()))
	switch h.trouble {
	case fallSilent, neverEnd:
		return a.hang()
	case errorEvent:
		return a.refuse(529, "Overloaded")
	case turnGarbage:
		body = "\x00\xff<html><body>502 Bad Gateway</body></html>"
	case breakOff, stopShort:
		body = body[:len(body)/2]
	}
	a.out.to.Header().Set("Content-Type", "application/json")
	a.status(http.StatusOK)
	if !a.write(body) {
		return a.failedWrite()
	}
	if h.trouble == breakOff {
		a.out.breakOff()
	}
	if h.trouble != noTrouble {
		return Broken
	}
	for _, b := range said.blocks {
		if t, ok := b.whole.(textBlock); ok {
			a.said(t.Text)
		}
	}
	return Answered
}

// send writes one event and lets the observer know of its text.
func (a *act) send(e event, flush bool) bool {
	if !a.write("event: " + e.name + "\ndata: " + string(encode(e.data)) + "\n\n") {
		return false
	}
	if flush && !a.out.flush() {
		return false
	}
	if e.text != "" {
		a.said(e.text)
		a.provider.observe(a.call)
	}
	return true
}

func (a *act) said(text string) {
	a.text.WriteString(text)
	a.call.Text = a.text.String()
	a.call.Words += len(strings.Fields(text))
}

// refuseBy answers with the error status of the habit.
func (a *act) refuseBy(r refusal) End {
	h := a.out.to.Header()
	if r.retryAfter != "" {
		h.Set("Retry-After", r.retryAfter)
	}
	if r.status < 400 {
		h.Set("Location", cmp.Or(r.location, "/v1/messages/redirected"))
	}
	return a.refuse(r.status, fmt.Sprintf("simulated status %d", r.status))
}

func (a *act) refuse(status int, message string) End {
	a.out.to.Header().Set("Content-Type", "application/json")
	a.status(status)
	if !a.write(string(encode(errorBody(status, message, a.out.to.Header().Get("request-id"))))) {
		return a.failedWrite()
	}
	return Refused
}

func (a *act) status(status int) {
	a.call.Status = status
	a.out.to.WriteHeader(status)
}

func (a *act) write(s string) bool {
	_, err := a.out.Write([]byte(s))
	return err == nil
}

// failedWrite tells who broke the connection.
func (a *act) failedWrite() End {
	if a.out.broken {
		return Broken
	}
	return ClientLeft
}

// hang sends nothing until the client leaves.
func (a *act) hang() End {
	<-a.r.Context().Done()
	return ClientLeft
}

// errorBody is an error as the provider shows it.
func errorBody(status int, message, requestID string) any {
	type detail struct {
		Type    string `json:"type"`
		Message string `json:"message"`
	}
	return struct {
		Type      string `json:"type"`
		Error     detail `json:"error"`
		RequestID string `json:"request_id,omitempty"`
	}{"error", detail{errorType(status), message}, requestID}
}

var errorTypes = map[int]string{
	401: "authentication_error", 402: "billing_error", 403: "permission_error", 404: "not_found_error",
	409: "conflict_error", 413: "request_too_large", 429: "rate_limit_error", 504: "timeout_error", 529: "overloaded_error",
}

func errorType(status int) string {
	if t, ok := errorTypes[status]; ok {
		return t
	}
	if status >= 500 {
		return "api_error"
	}
	return "invalid_request_error"
}
