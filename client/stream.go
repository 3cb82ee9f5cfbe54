package client

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/sse"
)

const (
	// defaultGiveUp is how long a stream is retried without hearing from the server.
	defaultGiveUp = 5 * time.Minute
	// silence is how long a connection may be silent before it counts as dead: the server
	// sends a byte every 15 s.
	silence = 45 * time.Second
)

// A StreamOption changes how a stream is read.
type StreamOption func(*follower)

// After begins after an event that is already known. The zero EventID is the beginning.
func After(id ringback.EventID) StreamOption {
	return func(f *follower) { f.after = id }
}

// GiveUpAfter bounds how long a stream is retried without hearing from the server; 0
// retries until the context ends. Default: 5 minutes.
func GiveUpAfter(d time.Duration) StreamOption {
	return func(f *follower) { f.giveUp = d }
}

// Interrupted calls the function each time a connection is lost or cannot be made, with the
// reason, before the next attempt.
func Interrupted(tell func(error)) StreamOption {
	return func(f *follower) { f.tell = tell }
}

// Stream yields the events of a job, up to the one that ends it, in which Job is set. It
// includes the past: a job that has ended yields the same events. There are deltas only if
// the job has Request.Stream.
//
// Each event is yielded once and in order, however often the connection breaks: Stream
// reconnects by itself and continues after the last event. It ends with an error, as the
// last pair, when ctx ends, when the server does not have the job or no longer has its
// content, when it refuses the key or the request, or after the silence that [GiveUpAfter]
// sets.
//
// From job.retrying on, the output of the attempt that broke off is void: see [Transcript].
// Leaving the loop closes the connection, which, with [ringback.DisconnectCancel], may end
// the job.
func (c *Client) Stream(ctx context.Context, id string, options ...StreamOption) iter.Seq2[ringback.StreamEvent, error] {
	return func(yield func(ringback.StreamEvent, error) bool) {
		f := follower{client: c, id: id, giveUp: defaultGiveUp, tell: func(error) {}, heard: time.Now()}
		for _, set := range options {
			set(&f)
		}
		if err := f.run(ctx, yield); err != nil {
			yield(ringback.StreamEvent{}, err)
		}
	}
}

// follower is one stream in progress, over as many connections as it takes.
type follower struct {
	client *Client
	id     string
	giveUp time.Duration
	tell   func(error)

	after    ringback.EventID // the event that was yielded last
	heard    time.Time        // when the server last sent something that made sense
	spoke    bool             // it has done so at least once
	retry    time.Duration    // how long it wants a reader to wait before reconnecting; 0: it has not said
	failures int              // connections in a row without an event
}

// ending is why a connection ended.
type ending int

const (
	lost     ending = iota // another connection may get further
	over                   // there is no more, or no more is wanted
	hopeless               // another one would end in the same way
)

var (
	errSilent = fmt.Errorf("nothing has come for %v", silence)
	errClosed = errors.New("the connection ended before the job did")
	errNoSuch = errors.New("that is not an event of a job")
)

// run returns nil when there is no more to yield.
func (f *follower) run(ctx context.Context, yield func(ringback.StreamEvent, error) bool) error {
	for {
		why, err := f.connect(ctx, yield)
		if why == over {
			return nil
		}
		wait := f.pause(err)
		switch {
		case ctx.Err() != nil:
			return gaveUp(ctx, "stream of job "+f.id, err)
		case why == hopeless:
			return err
		case f.giveUp > 0 && time.Since(f.heard)+wait > f.giveUp:
			return fmt.Errorf("stream of job %s: given up after %v; the last try: %w", f.id, time.Since(f.heard).Round(time.Second), err)
		}
		f.tell(err)
		if !sleep(ctx, wait) {
			return gaveUp(ctx, "stream of job "+f.id, err)
		}
	}
}

// pause returns how long to wait before the next connection: as the server wishes, longer
// after each one without an event, and jittered.
func (f *follower) pause(err error) time.Duration {
	least := min(cmp.Or(f.retry, firstPause), maxRetryAfter)
	pause := max(least, min(least<<min(f.failures, 10), maxPause))
	f.failures++
	return max(retryAfter(err), pause+rand.N(pause+1))
}

// connect makes one connection and yields what is new on it.
func (f *follower) connect(ctx context.Context, yield func(ringback.StreamEvent, error) bool) (ending, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watchdog := time.AfterFunc(f.patience(), func() { cancel(errSilent) })
	defer watchdog.Stop()
	why, err := f.read(ctx, watchdog, yield)
	if why == lost && errors.Is(context.Cause(ctx), errSilent) {
		err = errSilent
	}
	return why, err
}

// patience returns how long to wait for a response.
func (f *follower) patience() time.Duration {
	if left := f.giveUp - time.Since(f.heard); f.giveUp > 0 {
		return min(silence, max(left, time.Second))
	}
	return silence
}

func (f *follower) read(ctx context.Context, watchdog *time.Timer, yield func(ringback.StreamEvent, error) bool) (ending, error) {
	resp, err := f.open(ctx)
	if err != nil {
		return lost, err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNoContent {
		return over, nil
	}
	if why, err := f.classify(resp); err != nil {
		return why, err
	}
	body := &listened{r: resp.Body, watchdog: watchdog, heard: f.heard}
	for framed, err := range sse.Read(body, sse.Limits{Line: maxAnswer, Event: maxAnswer}) {
		if errors.Is(err, sse.ErrTooLarge) {
			return hopeless, fmt.Errorf("stream of job %s: %w", f.id, err)
		}
		if err != nil {
			f.sense(body.heard)
			return lost, err
		}
		f.retry = cmp.Or(framed.Retry, f.retry)
		event, err := decode(framed)
		if err != nil {
			return lost, err
		}
		f.sense(body.heard)
		ends := event.Job != nil
		if !ends && event.Compare(f.after) <= 0 {
			continue
		}
		f.after, f.failures = event.EventID, 0
		if !yield(event, nil) || ends {
			return over, nil
		}
	}
	f.sense(body.heard)
	return lost, errClosed
}

// sense notes that the server sends what makes sense. A connection that lasted may be
// followed by another at once, even if it had no event.
func (f *follower) sense(at time.Time) {
	if at.Sub(f.heard) > maxPause {
		f.failures = 0
	}
	f.heard, f.spoke = at, true
}

func (f *follower) open(ctx context.Context) (*http.Response, error) {
	header := http.Header{
		"Accept":          {"text/event-stream"},
		"Cache-Control":   {"no-cache"},
		"Accept-Encoding": {"identity"}, // a proxy that compresses would buffer
	}
	if f.after != (ringback.EventID{}) {
		header.Set("Last-Event-ID", f.after.String())
	}
	req, err := f.client.request(ctx, http.MethodGet, jobPath(f.id)+"/stream", header, nil)
	if err != nil {
		return nil, err
	}
	return f.client.http.Do(req)
}

// classify decides what a response that is no stream means.
func (f *follower) classify(resp *http.Response) (ending, error) {
	kind, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	switch status := resp.StatusCode; {
	case status == http.StatusOK && strings.EqualFold(strings.TrimSpace(kind), "text/event-stream"):
		return lost, nil
	case status == http.StatusOK:
		why := lost // a page from something in between
		if !f.spoke {
			why = hopeless // of something else altogether
		}
		return why, fmt.Errorf("%s answered %q, which is not a stream of events", resp.Request.URL.Redacted(), kind)
	case status >= 500, status == http.StatusTooManyRequests, status == http.StatusRequestTimeout:
		return lost, refusal(resp)
	}
	return hopeless, refusal(resp)
}

// decode decodes an event from its frame.
func decode(framed sse.Event) (e ringback.StreamEvent, err error) {
	if err := json.Unmarshal(framed.Data, &e); err != nil {
		return e, fmt.Errorf("%w: %w", errNoSuch, err)
	}
	ends := slices.Contains(ringback.TerminalEvents, e.Type)
	if e.Type == "" || e.EventID == (ringback.EventID{}) || ends != (e.Job != nil) || (e.Type == ringback.EventDelta) != (e.Delta != nil) {
		return e, fmt.Errorf("%w: %.100q", errNoSuch, bytes.TrimSpace(framed.Data))
	}
	return e, nil
}

// listened is the body of a stream; while it is read, too long a silence ends it.
type listened struct {
	r        io.Reader
	watchdog *time.Timer
	heard    time.Time // when the last byte came
}

func (l *listened) Read(p []byte) (int, error) {
	l.watchdog.Reset(silence)
	defer l.watchdog.Stop() // the consumer of the events may take its time
	n, err := l.r.Read(p)
	if n > 0 {
		l.heard = time.Now()
	}
	return n, err
}
