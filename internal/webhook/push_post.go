package webhook

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/sse"
)

// post pushes a stream as the body of one POST.
func (p *pushing) post() Result {
	reading, stop := context.WithCancel(p.ctx)
	body := &openBody{pushing: p, patience: p.sender.timeout, reading: reading, stop: stop}
	body.watch = time.AfterFunc(body.patience, func() { p.end(ErrStalled) })
	defer func() { body.watch.Stop(); body.Close() }()
	req, err := http.NewRequestWithContext(p.try.watch(p.ctx), http.MethodPost, p.try.url, body)
	if err != nil {
		return p.broken(err)
	}
	req.Header = p.try.header
	req.Header["Content-Type"] = []string{"text/event-stream"}
	resp, err := p.sender.fresh.RoundTrip(req)
	if err != nil {
		return body.broken(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return p.refused(resp)
	}
	// The receiver may answer before the end, and send more while it reads.
	ok := drained(resp.Body)
	switch {
	case body.ended.Load():
		return classify(resp.StatusCode)
	case ok:
		return Result{Verdict: Delivered, StatusCode: resp.StatusCode, Cause: ErrHadEnough}
	default:
		return body.broken(io.ErrUnexpectedEOF)
	}
}

// openBody is the body of a request that is held open. The transport reads it, and calls
// Read again only when it has written what it got: so the stream is as fast as the receiver
// reads, and what Read returned before has been sent.
type openBody struct {
	*pushing

	patience time.Duration
	watch    *time.Timer     // runs while the receiver has something to read
	reading  context.Context //nolint:containedctx // of the one request
	stop     context.CancelFunc

	ended atomic.Bool // io.EOF was given

	mu     sync.Mutex       // also held while it waits for events
	rest   []byte           // of frames that have not been read yet
	last   ringback.EventID // of the last event in them
	closed bool
	fault  error // of Next
}

// Read is called by the transport.
func (b *openBody) Read(into []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return 0, http.ErrBodyReadAfterClose
	}
	b.watch.Stop()
	if len(b.rest) == 0 {
		b.left()
		if err := b.fill(); err != nil {
			if errors.Is(err, io.EOF) {
				b.ended.Store(true)
			} else {
				b.fault = err
			}
			b.watch.Reset(b.patience) // for the answer
			return 0, err
		}
	}
	n := copy(into, b.rest)
	b.rest = b.rest[n:]
	b.watch.Reset(b.patience)
	return n, nil
}

// left reports that the last events have been sent. The caller holds the lock.
func (b *openBody) left() {
	if b.last != (ringback.EventID{}) {
		b.Sent(b.last)
		b.last = ringback.EventID{}
	}
}

// fill waits for more. The caller holds the lock.
func (b *openBody) fill() error {
	events, err := b.await(b.reading)
	if err != nil {
		return err
	}
	if len(events) == 0 {
		b.rest = []byte(sse.Comment)
		return nil
	}
	b.rest, err = frames(events)
	b.last = events[len(events)-1].EventID
	return err
}

// Close is called by the transport: after it nothing is read. It may be called during a
// Read.
func (b *openBody) Close() error {
	b.stop()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	return nil
}

// broken classifies a request that broke off.
func (b *openBody) broken(err error) Result {
	b.Close()
	if fault := b.fault; fault != nil && b.ctx.Err() == nil && !errors.Is(fault, context.Canceled) {
		return Result{Verdict: Interrupted, Error: "the stream was broken off", Cause: fault}
	}
	return b.pushing.broken(err)
}
