package provider

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/earlyanswer"
	"github.com/ringback/ringback/internal/protocol"
	"github.com/ringback/ringback/internal/shortage"
	"github.com/ringback/ringback/internal/strictjson"
)

// Generate calls the provider once and waits for the whole answer. The error is always an
// *Error. The context's deadline is the attempt's limit (Code timeout); any other end of
// the context is Stopped, with context.Cause as the cause. A whole answer is returned even
// if the context has ended meanwhile.
func (c *Client) Generate(ctx context.Context, request Request) (*Answer, error) {
	answer, failure := c.generate(ctx, request)
	if failure != nil {
		return nil, failure
	}
	return answer, nil
}

func (c *Client) generate(ctx context.Context, request Request) (answer *Answer, failure *Error) {
	call := c.newCall(ctx, request)
	defer call.cancel(nil)
	defer func() {
		// A stream that makes us panic must not take other jobs down.
		if r := recover(); r != nil {
			answer, failure = nil, &Error{
				Verdict: Retry, Code: ringback.CodeInternal, StatusCode: call.status, RequestID: call.requestID, Sent: call.sent.Load(),
				Message: "an internal error came up while the answer was read",
				Cause:   fmt.Errorf("panic: %v\n%s", r, debug.Stack()),
			}
		}
	}()
	return call.run()
}

// call is one call in progress.
type call struct {
	client  *Client
	request Request
	ctx     context.Context         // the caller's
	inner   context.Context         // ends with ctx or by cancel
	cancel  context.CancelCauseFunc // our own reasons: errIdle

	assembly   protocol.Assembly
	sent       atomic.Bool
	status     int
	header     http.Header // of the response
	requestID  string
	plain      bool // the protocol's extra was left out
	firstToken time.Time
	granted    int // bytes that Grow has granted for the answer
	events     int
	emitted    bool // all of the answer
}

func (c *Client) newCall(ctx context.Context, request Request) *call {
	inner, cancel := context.WithCancelCause(ctx)
	request.Delta, request.Frame = c.redactDeltas(request.Delta), c.redactFrames(request.Frame)
	return &call{client: c, request: request, ctx: ctx, inner: inner, cancel: cancel, assembly: c.dialect.Assemble(request.Body)}
}

func (c *call) run() (*Answer, *Error) {
	response, failure := c.send()
	if failure != nil {
		return nil, failure
	}
	defer response.Body.Close()
	return c.receive(response)
}

// receive reads the response to its end.
func (c *call) receive(response *http.Response) (*Answer, *Error) {
	c.status, c.header = response.StatusCode, response.Header
	c.requestID = c.client.clean(requestID(response.Header), maxName)
	body := newWire(response, c.client.maxAnswer, c.cancel)
	defer body.stop()
	if c.status/100 != 2 {
		return nil, c.refused(response.Header, body)
	}
	c.request.Body = nil // the answer may stream for minutes; net/http keeps the copy that was sent
	if failure := c.read(body); failure != nil {
		return nil, failure
	}
	c.emit(protocol.Emitter{Ended: true})
	message := c.assembly.Message()
	if strictjson.Depth(message) > maxNesting {
		return nil, c.fail(Retry, ringback.CodeStreamBroken, fmt.Sprintf("the answer of %s is nested more than %d deep", c.client.name, maxNesting), errTooDeep)
	}
	summary := c.assembly.Summary()
	return &Answer{
		Message:      c.client.redactJSON(message),
		Text:         c.client.redact(summary.Text),
		Model:        c.client.clean(summary.Model, maxModel),
		Usage:        c.client.usage(summary.Usage),
		RequestID:    c.requestID,
		FirstTokenAt: c.firstToken,
	}, nil
}

// read reads the answer. Its first byte decides what it is: servers send JSON labelled as a
// stream, a stream labelled as JSON, and either labelled as anything else.
func (c *call) read(body *wire) *Error {
	first, err := body.begin()
	switch {
	case errors.Is(err, io.EOF):
		return c.broken(errEnded)
	case err != nil:
		return c.broken(err)
	case first == '{', first == '[':
		return c.readWhole(body)
	}
	return c.readStream(body)
}

// send makes the call and waits for the response's headers. It uses the transport directly,
// since http.Client would follow redirects.
func (c *call) send() (*http.Response, *Error) {
	c.plain = c.client.plain.Load()
	body, err := c.client.dialect.Stream(c.request.Body, c.request.Model, c.plain)
	if err != nil {
		return nil, c.fail(Reject, ringback.CodeInternal, "the stored request cannot be sent", err)
	}
	ctx := httptrace.WithClientTrace(c.inner, &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		earlyanswer.Begin(info.Conn)
		if c.sent.CompareAndSwap(false, true) && c.request.Sent != nil {
			c.request.Sent()
		}
	}})
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.client.endpoint.String(), bytes.NewReader(body))
	if err != nil {
		return nil, c.fail(Reject, ringback.CodeInternal, "the stored request cannot be sent", err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "text/event-stream, application/json")
	request.Header.Set("Accept-Encoding", "identity")
	request.Header.Set("User-Agent", c.client.userAgent)
	c.client.dialect.HTTP().Authorize(request.Header, c.client.key(), c.client.version)
	setHeaders(request.Header, c.request.Header)
	response, err := earlyanswer.RoundTrip(c.client.transport, request)
	switch {
	case err == nil:
		return response, nil
	case c.ctx.Err() != nil:
		return nil, c.ended(err)
	case !c.sent.Load() && shortage.Of(err) != "":
		return nil, c.fail(Unsent, ringback.CodeInternal, fmt.Sprintf("the server has no %s left to call %s", shortage.Of(err), c.client.name), err)
	case c.sent.Load():
		return nil, c.fail(Retry, ringback.CodeProviderError, fmt.Sprintf("the connection to %s broke before it answered", c.client.name)+reasonSuffix(err), err)
	}
	return nil, c.fail(Retry, ringback.CodeProviderError, fmt.Sprintf("%s could not be reached: %s", c.client.name, cmp.Or(connectionReason(err), "the connection failed")), err)
}

func requestID(header http.Header) string {
	for _, name := range []string{"request-id", "x-request-id"} {
		if id := header.Get(name); id != "" {
			return id
		}
	}
	return ""
}
