package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/sse"
)

// beatEvery is how long a stream may be without an event before it sends a heartbeat.
const beatEvery = 15 * time.Second

// Stream is a stream of events to be pushed.
type Stream struct {
	// At is when it is opened, by the clock that the webhook-timestamp shows.
	At time.Time
	// ID is the webhook-id, without a dot.
	ID string
	// URL is the stream_to; it is checked again.
	URL string
	// Last is the id of the last event that was sent before, after which the stream
	// continues; the zero EventID if none was.
	Last ringback.EventID
	// Header are further headers, as returned by [Headers]; nil for none.
	Header http.Header
	// Secrets sign the headers, the newest first.
	Secrets []ringback.Secret
	// Next waits for the events after the last ones that it returned. io.EOF ends the
	// stream normally; any other error except that of its context breaks it off.
	Next func(context.Context) ([]ringback.StreamEvent, error)
	// Sent is called with the id of each event that has been sent, or the last of several.
	// It is not called after Push has returned.
	Sent func(ringback.EventID)
}

// Possible values of [Result.Cause] after a Push.
var (
	// ErrStalled: the receiver does not read.
	ErrStalled = errors.New("the receiver takes nothing of the stream")
	// ErrHadEnough: the receiver ended the stream, and nothing is wrong.
	ErrHadEnough = errors.New("the receiver ended the stream")
)

// Push opens a stream and sends its events, until Next returns io.EOF and the receiver has
// everything. For http and https that is one POST with a growing body; for ws and wss each
// event is a message. A receiver that reads nothing for the sender's timeout is cut off.
//
// Delivered means that the stream reached its end, or that the receiver ended it; Retry
// that it may be opened again, and Dead that opening it again is useless.
func (s *Sender) Push(ctx context.Context, m Stream) Result {
	began := time.Now()
	if m.At.IsZero() {
		m.At = began
	}
	r := s.push(ctx, m)
	r.Started, r.Took = m.At, time.Since(began)
	return r
}

func (s *Sender) push(ctx context.Context, m Stream) Result {
	if !s.begin() {
		return Result{Verdict: Interrupted, Error: "the server is stopping", Cause: ErrClosed}
	}
	defer s.running.Done()
	target, err := s.guard.CheckStreamURL(m.URL)
	if err != nil {
		return Result{Verdict: Dead, Class: ringback.TryBlocked, Error: err.Error(), Cause: err}
	}
	u, err := url.Parse(target.URL)
	if err != nil {
		return Result{Verdict: Dead, Class: ringback.TryBlocked, Error: "stream_to is no URL", Cause: err}
	}
	within, end := context.WithCancelCause(ctx)
	defer end(nil)
	p := &pushing{Stream: m, sender: s, try: &try{url: target.URL, header: s.streamHeader(m)}, ctx: within, end: end}
	messages := carrier(u.Scheme) != u.Scheme
	var r Result
	if messages {
		r = p.messages()
	} else {
		r = p.post()
	}
	r.Remote = p.try.remote
	return r
}

// streamHeader signs an empty body: the signature shows that the stream is ours, and when
// it was opened.
func (s *Sender) streamHeader(m Stream) http.Header {
	h := ringback.Sign(m.Secrets[0], m.ID, m.At, nil, m.Secrets[1:]...)
	h["User-Agent"] = []string{s.userAgent}
	maps.Copy(h, m.Header)
	if m.Last != (ringback.EventID{}) {
		h.Set("Last-Event-ID", m.Last.String())
	} else {
		h.Del("Last-Event-ID")
	}
	return h
}

// pushing is one stream over one connection.
type pushing struct {
	Stream

	sender *Sender
	try    *try
	ctx    context.Context //nolint:containedctx // of this one call of Push
	end    context.CancelCauseFunc
}

// await waits for events; it returns none when a heartbeat is due.
func (p *pushing) await(ctx context.Context) ([]ringback.StreamEvent, error) {
	short, cancel := context.WithTimeout(ctx, p.sender.beat)
	defer cancel()
	events, err := p.Next(short)
	if err != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return nil, nil
	}
	return events, err
}

var stalled = Result{Verdict: Retry, Class: ringback.TryTimeout, Cause: ErrStalled, Error: "the receiver did not take the stream"}

// broken classifies a stream that broke off.
func (p *pushing) broken(err error) Result {
	cause := context.Cause(p.ctx)
	switch {
	case errors.Is(cause, ErrStalled):
		return stalled
	case errors.Is(cause, ErrHadEnough):
		return Result{Verdict: Delivered, Cause: ErrHadEnough}
	case cause != nil:
		return Result{Verdict: Interrupted, Error: "the stream was broken off", Cause: cause}
	default:
		return p.sender.failed(p.ctx, p.try, err, 0)
	}
}

// refused classifies an answer other than the one that a stream needs.
func (p *pushing) refused(resp *http.Response) Result {
	r := classify(resp.StatusCode)
	r.RetryAfter = retryAfter(resp, time.Now())
	if code := resp.StatusCode; code < 500 && code != http.StatusRequestTimeout && code != http.StatusTooEarly && code != http.StatusTooManyRequests {
		r.Verdict = Dead // trying again won't help
	}
	return r
}

// encode returns an event as all streams carry it.
func encode(e *ringback.StreamEvent) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(e); err != nil {
		return nil, fmt.Errorf("encode event %s of job %s: %w", e.EventID, e.JobID, err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// frames returns events as SSE carries them.
func frames(events []ringback.StreamEvent) (all []byte, err error) {
	for i := range events {
		data, err := encode(&events[i])
		if err != nil {
			return nil, err
		}
		all = sse.Append(all, events[i].String(), string(events[i].Type), data)
	}
	return all, nil
}

// drained reads and discards what a receiver sends; it returns false if that is too much.
func drained(r io.Reader) bool {
	n, err := io.Copy(io.Discard, io.LimitReader(r, maxReadBytes))
	return err == nil && n < maxReadBytes
}
