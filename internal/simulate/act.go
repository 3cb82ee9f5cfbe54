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
	dialect  dialect
	out      *cutWriter
	r        *http.Request
	call     Call
	text     strings.Builder // the call's Text
}

// play answers a request that was understood.
func (a *act) play(h habit, m request) End {
	try, well := a.provider.goesWell(h, m)
	if well {
		h = h.well()
	}
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
	case h.refusal != nil:
		return a.refuseBy(*h.refusal)
	case m.Stream:
		return a.stream(h, m, said)
	default:
		return a.whole(h, said)
	}
}

// overloaded is the message of an overloaded provider.
const overloaded = "Overloaded"

// stream sends the answer as events, up to the habit's trouble.
func (a *act) stream(h habit, m request, said answer) End {
	a.out.to.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	a.out.to.Header().Set("Cache-Control", "no-cache")
	a.status(http.StatusOK)
	after := h.after
	if after < 0 {
		after = said.words / 2
	}
	for e := range a.dialect.events(said, m) {
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

// cause applies the trouble to a stream.
func (a *act) cause(t trouble) End {
	switch t {
	case breakOff:
		a.out.breakOff()
	case errorEvent:
		a.send(event{name: a.dialect.errorEvent, data: encode(a.dialect.failure(a.dialect.overloaded, overloaded, ""))}, true)
	case turnGarbage:
		a.write("\x00\xff<html><body>502 Bad Gateway</body></html>\r\n\r\n" + a.dialect.broken + "\n\n")
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
	body := string(encode(a.dialect.whole(said)))
	switch h.trouble {
	case fallSilent, neverEnd:
		return a.hang()
	case errorEvent:
		return a.refuse(a.dialect.overloaded, overloaded)
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
	a.said(said.all(textKind))
	return Answered
}

// send writes one event and reports its text to the observer.
func (a *act) send(e event, flush bool) bool {
	name := ""
	if e.name != "" {
		name = "event: " + e.name + "\n"
	}
	if !a.write(name + "data: " + string(e.data) + "\n\n") {
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

// refuseBy answers with the habit's error status.
func (a *act) refuseBy(r refusal) End {
	h := a.out.to.Header()
	if r.retryAfter != "" {
		h.Set("Retry-After", r.retryAfter)
	}
	if r.status < 400 {
		h.Set("Location", cmp.Or(r.location, a.dialect.path+"/redirected"))
	}
	return a.refuse(r.status, fmt.Sprintf("simulated status %d", r.status))
}

func (a *act) refuse(status int, message string) End {
	a.out.to.Header().Set("Content-Type", "application/json")
	a.status(status)
	if !a.write(string(encode(a.dialect.failure(status, message, a.out.to.Header().Get(a.dialect.requestID))))) {
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

// failedWrite returns which side broke the connection.
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
