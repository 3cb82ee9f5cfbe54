package webhook

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"

	"github.com/gobwas/ws"

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
	defer c.conn.Close()
	heard := make(chan struct{})
	reader.Go(func() {
		defer close(heard)
		p.end(p.listen(c))
	})
	for {
		events, err := p.await(p.ctx)
		switch {
		case p.ctx.Err() != nil:
			return p.cut(err)
		case errors.Is(err, io.EOF):
			p.leave(c, heard)
			return Result{Verdict: Delivered, StatusCode: http.StatusSwitchingProtocols}
		case err != nil:
			return Result{Verdict: Interrupted, Error: "the stream was broken off", Cause: err}
		}
		if err := p.say(c, events); err != nil {
			return p.cut(err)
		}
	}
}

// leave sends a close frame and waits for the receiver's.
func (p *pushing) leave(c *socket, heard <-chan struct{}) {
	ctx, cancel := context.WithTimeout(p.ctx, p.sender.timeout)
	defer cancel()
	if c.goodbye(ctx) != nil {
		return
	}
	select {
	case <-heard:
	case <-ctx.Done():
	}
}

// dial opens the WebSocket; if it fails, the Result says why.
func (p *pushing) dial() (*socket, Result) {
	ctx, cancel := context.WithTimeout(p.ctx, p.sender.timeout)
	defer cancel()
	c, resp, err := upgrade(p.try.watch(ctx), p.sender.fresh, p.try.url, p.try.header)
	switch {
	case c != nil:
		return c, Result{}
	case resp != nil:
		defer resp.Body.Close()
		return nil, p.refused(resp)
	case p.ctx.Err() != nil:
		return nil, p.broken(err)
	default:
		return nil, p.sender.failed(ctx, p.try, err, 0)
	}
}

// say sends events, each as a message; without any it pings the receiver.
func (p *pushing) say(c *socket, events []ringback.StreamEvent) error {
	if len(events) == 0 {
		return p.patiently(c.ping)
	}
	for i := range events {
		data, err := encode(&events[i])
		if err != nil {
			return err
		}
		if err := p.patiently(func(ctx context.Context) error { return c.text(ctx, data) }); err != nil {
			return err
		}
		p.Sent(events[i].EventID)
	}
	return nil
}

// patiently runs do, which ends when the receiver reads, and fails if that takes too long.
func (p *pushing) patiently(do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(p.ctx, p.sender.timeout)
	defer cancel()
	err := do(ctx)
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return ErrStalled // the connection is closed by now, which the reader may notice first
	}
	return err
}

// listen reads what the receiver sends, to handle its pongs and its close, and returns how
// that ended.
func (p *pushing) listen(c *socket) error {
	err := c.read()
	if closed, ok := errors.AsType[closedError](err); ok && closed.code == ws.StatusNormalClosure {
		return ErrHadEnough
	}
	return lostError{err}
}

// lostError ends a stream whose connection is lost. It does not unwrap: an io.EOF of the
// connection is not the end of the stream.
type lostError struct{ error }

// cut classifies a stream whose connection is lost.
func (p *pushing) cut(err error) Result {
	if errors.Is(err, ErrStalled) {
		return stalled
	}
	if lost, ok := errors.AsType[lostError](context.Cause(p.ctx)); ok {
		return Result{Verdict: Retry, Class: ringback.TryReset, Cause: lost, Error: "the receiver closed the connection"}
	}
	return p.broken(err)
}
