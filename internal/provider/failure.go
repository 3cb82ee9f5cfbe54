package provider

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/sse"
)

// fail makes an error of what is known so far.
func (c *call) fail(verdict Verdict, code ringback.ErrorDetailCode, message string, cause error) *Error {
	if key := c.client.key(); cause != nil && key != "" && strings.Contains(cause.Error(), key) {
		cause = errors.New(c.client.clean(cause.Error(), maxMessage)) // the log must not have it either
	}
	e := &Error{
		Verdict: verdict, Code: code, StatusCode: c.status, Message: c.client.clean(message, maxMessage),
		RequestID: c.requestID, Sent: c.sent.Load(), Cause: cause,
	}
	if c.answer.begun() {
		c.tell(true)
		e.PartialText = c.client.redact(c.answer.text())
	}
	if usage := c.answer.usage(); usage != nil && nesting(usage) <= maxNesting {
		e.PartialUsage = c.client.usage(usage)
	}
	return e
}

// ended is a call that the caller's context ended.
func (c *call) ended(err error) *Error {
	if errors.Is(c.ctx.Err(), context.DeadlineExceeded) {
		return c.fail(Retry, ringback.CodeTimeout, fmt.Sprintf("%s did not finish its answer within the time limit", c.client.name), err)
	}
	return c.fail(Stopped, "", "the call was stopped", context.Cause(c.ctx))
}

// broken is an answer that could not be read to its end.
func (c *call) broken(err error) *Error {
	var refusal growError
	switch {
	case c.ctx.Err() != nil:
		return c.ended(err)
	case errors.As(err, &refusal):
		return c.fail(Stopped, "", "the call was stopped", refusal.error)
	case errors.Is(context.Cause(c.inner), errIdle):
		return c.fail(Retry, ringback.CodeIdle, fmt.Sprintf("%s fell silent for %s in the middle of its answer", c.client.name, c.client.idle), errIdle)
	case errors.Is(err, errTooLarge), errors.Is(err, sse.ErrTooLarge):
		return c.fail(Retry, ringback.CodeTooLarge, fmt.Sprintf("the answer of %s is over the limit of %d bytes", c.client.name, c.client.maxAnswer), err)
	}
	return c.fail(Retry, ringback.CodeStreamBroken, fmt.Sprintf("the answer of %s broke off", c.client.name)+because(err), err)
}

// spoiled is an answer in which something came that does not belong there: the
// provider's complaint, or garbage.
func (c *call) spoiled(err error) *Error {
	var said complaint
	if !errors.As(err, &said) {
		return c.fail(Retry, ringback.CodeStreamBroken, fmt.Sprintf("the answer of %s does not follow its protocol: %s", c.client.name, err), err)
	}
	wait, named := said.wait(said.status, c.header, c.now())
	verdict, code := judge(said.status, said, named, c.answer.begun())
	if said.status != 0 {
		c.status = said.status
	}
	failure := c.complained(verdict, code, said)
	failure.RetryAfter = wait
	return failure
}

// refused is a response with another status than 2xx.
func (c *call) refused(header http.Header, body *wire) *Error {
	text := body.refusal(c.client.idle)
	said, understood := readComplaint(c.status, text)
	if !understood {
		said = plainComplaint(c.status, text)
	}
	if said.subject == "" && c.status == http.StatusForbidden && c.names(said.message) {
		said.subject = ofModel
	}
	status := effective(c.status, said)
	wait, named := said.wait(status, header, c.now())
	verdict, code := judge(status, said, named, false)
	if verdict == Reject && c.refusedExtra(text) {
		c.client.plain.Store(true) // for all calls from now on
		verdict, code = Retry, ringback.CodeProviderError
	}
	failure := c.complained(verdict, code, said)
	failure.RetryAfter = wait
	return failure
}

// names reports whether a message speaks of the model that was asked.
func (c *call) names(message string) bool {
	const telling = 4 // bytes; a shorter name may be part of any word
	model := cmp.Or(c.request.Model, member(c.request.Body, "model").Str)
	return len(model) >= telling && strings.Contains(message, model)
}

// now is the time by which times are taken that the provider names.
func (c *call) now() time.Time {
	if c.request.Now != nil {
		return c.request.Now()
	}
	return time.Now()
}

// refusedExtra says whether it was what we have added ourselves that was refused:
// the provider speaks of it, and the caller's request does not.
func (c *call) refusedExtra(text []byte) bool {
	extra := []byte(c.client.protocol.extra)
	return len(extra) > 0 && !c.plain && bytes.Contains(text, extra) && !bytes.Contains(c.request.Body, extra)
}

// plainComplaint is a refusal that is not in the words of a protocol: a page, a line
// of text, or nothing.
func plainComplaint(status int, body []byte) complaint {
	reason := plainReason(body)
	c := complaint{message: cmp.Or(reason, strings.ToLower(http.StatusText(status))), header: http.Header{}}
	c.judge(status, nil)
	switch {
	case status/100 == 3:
		c.message = "a redirect, which is not followed; the provider's base_url should name the right address"
	case status == http.StatusNotFound:
		c.namesModel = false // a wrong address has no model
		c.message = "not found, and the response is not in its protocol; is the provider's base_url right?"
		if reason != "" {
			c.message += " It says: " + reason
		}
	case status == http.StatusForbidden && c.subject == "" && reason != "":
		c.subject = ofRequest // a firewall's page: a provider that refuses a key says so in its protocol
	}
	return c
}

// complained tells in the provider's words what it said.
func (c *call) complained(verdict Verdict, code ringback.ErrorDetailCode, said complaint) *Error {
	if c.requestID == "" {
		c.requestID = c.client.clean(said.requestID, maxName)
	}
	kind := c.client.clean(said.kind, maxName)
	message := fmt.Sprintf("%s answered with an error", c.client.name)
	if c.status/100 != 2 {
		message = fmt.Sprintf("%s answered %d", c.client.name, c.status)
	}
	if kind != "" {
		message += " (" + kind + ")"
	}
	if said.message != "" {
		message += ": " + said.message
	}
	if r, known := RetirementOf(c.request.Model); known && verdict == ModelMissing {
		message += "; " + r.sentence(c.request.Model, c.now())
	}
	failure := c.fail(verdict, code, message, nil)
	failure.Type = kind
	return failure
}
