package webhook

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"

	"github.com/coder/websocket"

	"github.com/ringback/ringback"
)

// messages pushes a stream over a WebSocket.
func (p *pushing) messages() Result {
	c, failed := p.dial()
	if c == nil {
		return failed
	}
	var reader sync.WaitGroup
	defer reader.Wait()
	defer c.CloseNow() //nolint:errcheck // it is over
	reader.Go(func() { p.end(p.listen(c)) })
	for {
		events, err := p.await(p.ctx)
		switch {
		case p.ctx.Err() != nil:
			return p.cut(err)
		case errors.Is(err, io.EOF):
			c.Close(websocket.StatusNormalClosure, "")
			return Result{Verdict: Delivered, StatusCode: http.StatusSwitchingProtocols}
		case err != nil:
			return Result{Verdict: Interrupted, Error: "the stream was broken off", Cause: err}
		}
		if err := p.say(c, events); err != nil {
			return p.cut(err)
		}
	}
}

// dial opens the WebSocket; without one the Result says why.
func (p *pushing) dial() (*websocket.Conn, Result) {
	ctx, cancel := context.WithTimeout(p.ctx, p.sender.timeout)
	defer cancel()
	c, resp, err := websocket.Dial(p.try.watch(ctx), p.try.url, &websocket.DialOptions{ //nolint:bodyclose // it closes it
		HTTPHeader: p.try.header,
		HTTPClient: &http.Client{
			Transport:     p.sender.fresh,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	})
	switch {
	case err == nil:
		return c, Result{}
	case resp != nil && resp.StatusCode != http.StatusSwitchingProtocols:
		return nil, p.refused(resp)
	case p.ctx.Err() != nil:
		return nil, p.broken(err)
	default:
		return nil, p.sender.failed(ctx, p.try, err, 0)
	}
}

// say sends events, each as a message; without any it asks whether the receiver is
// there.
func (p *pushing) say(c *websocket.Conn, events []ringback.StreamEvent) error {
	if len(events) == 0 {
		return p.patiently(c.Ping)
	}
	for i := range events {
		data, err := encode(&events[i])
		if err != nil {
			return err
		}
		if err := p.patiently(func(ctx context.Context) error { return c.Write(ctx, websocket.MessageText, data) }); err != nil {
			return err
		}
		p.Sent(events[i].EventID)
	}
	return nil
}

// patiently does something that ends when the receiver takes it, unless that takes
// too long.
func (p *pushing) patiently(do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(p.ctx, p.sender.timeout)
	defer cancel()
	err := do(ctx)
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return ErrStalled // the connection is closed by now, which the reader may see first
	}
	return err
}

// listen reads what the receiver says, for the sake of its pongs and its close, and
// tells how that ended.
func (p *pushing) listen(c *websocket.Conn) error {
	for {
		_, r, err := c.Reader(p.ctx)
		if err == nil {
			_, err = io.Copy(io.Discard, r)
		}
		switch {
		case websocket.CloseStatus(err) == websocket.StatusNormalClosure:
			return ErrHadEnough
		case err != nil:
			return lostError{err}
		}
	}
}

// lostError ends a stream whose connection is lost. It is none of the errors that it
// tells of: an io.EOF of the connection is not the end of the stream.
type lostError struct{ error }

// cut judges a stream whose connection is lost.
func (p *pushing) cut(err error) Result {
	if errors.Is(err, ErrStalled) {
		return stalled
	}
	if lost, ok := errors.AsType[lostError](context.Cause(p.ctx)); ok {
		return Result{Verdict: Retry, Class: ClassReset, Cause: lost, Error: "the receiver closed the connection"}
	}
	return p.broken(err)
}
