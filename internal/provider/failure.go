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
	"github.com/ringback/ringback/internal/protocol"
	"github.com/ringback/ringback/internal/protocol/apierror"
	"github.com/ringback/ringback/internal/sse"
	"github.com/ringback/ringback/internal/strictjson"
)

// fail makes an error from what is known so far.
func (c *call) fail(verdict Verdict, code ringback.ErrorDetailCode, message string, cause error) *Error {
	if key := c.client.key(); cause != nil && key != "" && strings.Contains(cause.Error(), key) {
		cause = errors.New(c.client.clean(cause.Error(), maxMessage)) // the log must not contain the key either
	}
	e := &Error{
		Verdict: verdict, Code: code, StatusCode: c.status, Message: c.client.clean(message, maxMessage),
		RequestID: c.requestID, Sent: c.sent.Load(), Cause: cause,
	}
	summary := c.assembly.Summary()
	if c.assembly.Progress().Begun {
		c.emit(protocol.Emitter{Ended: true, Broken: true})
		e.PartialText = c.client.redact(summary.Text)
	}
	if usage := summary.Usage; usage != nil && strictjson.Depth(usage) <= maxNesting {
		e.PartialUsage = c.client.usage(usage)
	}
	return e
}

// ended returns the error of a call that the caller's context ended.
func (c *call) ended(err error) *Error {
	if errors.Is(c.ctx.Err(), context.DeadlineExceeded) {
		return c.fail(Retry, ringback.CodeTimeout, fmt.Sprintf("%s did not finish its answer within the time limit", c.client.name), err)
	}
	return c.fail(Stopped, "", "the call was stopped", context.Cause(c.ctx))
}

// broken returns the error of an answer that could not be read to its end.
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
	return c.fail(Retry, ringback.CodeStreamBroken, fmt.Sprintf("the answer of %s broke off", c.client.name)+reasonSuffix(err), err)
}

// malformed returns the error of an answer with something in it that does not belong there:
// the provider's error, or anything that is not its protocol.
func (c *call) malformed(err error) *Error {
	var apiErr apierror.Error
	if !errors.As(err, &apiErr) {
		return c.fail(Retry, ringback.CodeStreamBroken, fmt.Sprintf("the answer of %s does not follow its protocol: %s", c.client.name, err), err)
	}
	wait, named := apiErr.RetryAfter(apiErr.Status, c.header, c.now())
	verdict, code := classify(apiErr.Status, apiErr, named, c.assembly.Progress().Begun)
	if apiErr.Status != 0 {
		c.status = apiErr.Status
	}
	failure := c.apiFailure(verdict, code, apiErr)
	failure.RetryAfter = wait
	return failure
}

// refused returns the error of a response whose status is not 2xx.
func (c *call) refused(header http.Header, body *wire) *Error {
	text := body.errorBody(c.client.idle)
	apiErr, understood := apierror.Read(c.status, text)
	if !understood {
		apiErr = apierror.ReadPlain(c.status, text)
	}
	if apiErr.Subject == "" && c.status == http.StatusForbidden && c.names(apiErr.Message) {
		apiErr.Subject = apierror.AboutModel
	}
	status := effectiveStatus(c.status, apiErr)
	wait, named := apiErr.RetryAfter(status, header, c.now())
	verdict, code := classify(status, apiErr, named, false)
	if verdict == Reject && c.refusedExtra(text) {
		c.client.plain.Store(true) // for all calls from now on
		verdict, code = Retry, ringback.CodeProviderError
	}
	failure := c.apiFailure(verdict, code, apiErr)
	failure.RetryAfter = wait
	return failure
}

// names reports whether a message names the requested model.
func (c *call) names(message string) bool {
	const telling = 4 // bytes; a shorter name may be part of any word
	model := cmp.Or(c.request.Model, strictjson.Get(c.request.Body, "model").Str)
	return len(model) >= telling && strings.Contains(message, model)
}

// now returns the time that the provider's times are relative to.
func (c *call) now() time.Time {
	if c.request.Now != nil {
		return c.request.Now()
	}
	return time.Now()
}

// refusedExtra reports whether the provider refused the field that we added ourselves: its
// message names the field, and the caller's request does not have it.
func (c *call) refusedExtra(text []byte) bool {
	extra := []byte(c.client.dialect.HTTP().Extra)
	return len(extra) > 0 && !c.plain && bytes.Contains(text, extra) && !bytes.Contains(c.request.Body, extra)
}

// apiFailure turns an error of the provider's API into a failure, in the provider's own
// words.
func (c *call) apiFailure(verdict Verdict, code ringback.ErrorDetailCode, apiErr apierror.Error) *Error {
	if c.requestID == "" {
		c.requestID = c.client.clean(apiErr.RequestID, maxName)
	}
	kind := c.client.clean(apiErr.Type, maxName)
	message := fmt.Sprintf("%s answered with an error", c.client.name)
	if c.status/100 != 2 {
		message = fmt.Sprintf("%s answered %d", c.client.name, c.status)
	}
	if kind != "" {
		message += " (" + kind + ")"
	}
	if apiErr.Message != "" {
		message += ": " + apiErr.Message
	}
	if r, known := RetirementOf(c.request.Model); known && verdict == ModelMissing {
		message += "; " + r.sentence(c.request.Model, c.now())
	}
	failure := c.fail(verdict, code, message, nil)
	failure.Type = kind
	return failure
}
