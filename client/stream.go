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
	// defaultGiveUp is for how long a stream is tried without a word of the server.
	defaultGiveUp = 5 * time.Minute
	// silence is after how long without a byte a connection is taken for dead: the
	// server sends one every 15 s.
	silence = 45 * time.Second
)

// A StreamOption says more about a stream than whose it is.
type StreamOption func(*follower)

// After begins behind an event that is known already. The zero EventID is the
// beginning.
func After(id ringback.EventID) StreamOption {
	return func(f *follower) { f.after = id }
}

// GiveUpAfter bounds the time for which a stream is tried without a word of the
// server; 0 tries for as long as the context lasts. Default: 5 minutes.
func GiveUpAfter(d time.Duration) StreamOption {
	return func(f *follower) { f.giveUp = d }
}

// Interrupted is told each time that a connection is lost or cannot be made, and why,
// before it is tried again.
func Interrupted(tell func(error)) StreamOption {
	return func(f *follower) { f.tell = tell }
}

// Stream yields what happens to a job, event by event, up to the one that ends it, in
// which Job is set. It comes with its own past: a job that has ended yields the same
// events. Only of a job with Request.Stream are there deltas.
//
// Each event is yielded once and in order, however often the connection breaks: Stream
// connects again by itself and goes on behind the last one. It ends with an error, as
// the last pair, when ctx ends, when the server has no such job or no longer its
// content, refuses the key or the request, or has said nothing for as long as
// [GiveUpAfter] says.
//
// What came of an attempt that broke off is void from job.retrying on: see
// [Transcript]. To leave the loop closes the connection, which, with
// [ringback.DisconnectCancel], may be the end of the job.
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

// follower is one stream under way, over as many connections as it takes.
type follower struct {
	client *Client
	id     string
	giveUp time.Duration
	tell   func(error)

	after    ringback.EventID // the event that was yielded last
	heard    time.Time        // when the server last said something that made sense
	spoke    bool             // it has, at least once
	retry    time.Duration    // how long it wants a reader to wait who was cut off; 0: it has not said
	failures int              // connections in a row that brought nothing
}

// ending is why a connection ended.
type ending int

const (
	lost     ending = iota // another one may bring more
	over                   // there is no more, or no more is wanted
	hopeless               // another one would end in the same way
)

var (
	errSilent = fmt.Errorf("nothing has come for %v", silence)
	errClosed = errors.New("the connection ended before the job did")
	errNoSuch = errors.New("that is not an event of a job")
)

// run returns nil when no more is to be yielded.
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

// pause is how long to wait for the next connection: as the server wishes, longer
// after each that brought nothing, and not all readers at once.
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

// patience is how long to wait for an answer.
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
	if why, err := f.judge(resp); err != nil {
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

// sense notes that a server says what makes sense. A connection that lasted may be
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
		"Accept-Encoding": {"identity"}, // who compresses waits until it is worth it
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

// judge says what an answer that is no stream means.
func (f *follower) judge(resp *http.Response) (ending, error) {
	kind, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	switch status := resp.StatusCode; {
	case status == http.StatusOK && strings.EqualFold(strings.TrimSpace(kind), "text/event-stream"):
		return lost, nil
	case status == http.StatusOK:
		why := lost // a page of something in between
		if !f.spoke {
			why = hopeless // of something else altogether
		}
		return why, fmt.Errorf("%s answered %q, which is not a stream of events", resp.Request.URL.Redacted(), kind)
	case status >= 500, status == http.StatusTooManyRequests, status == http.StatusRequestTimeout:
		return lost, refusal(resp)
	}
	return hopeless, refusal(resp)
}

// decode makes an event of its framing.
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

// listened is the body of a stream that may not be silent for too long while it is read.
type listened struct {
	r        io.Reader
	watchdog *time.Timer
	heard    time.Time // when the last byte came
}

func (l *listened) Read(p []byte) (int, error) {
	l.watchdog.Reset(silence)
	defer l.watchdog.Stop() // whoever takes the events may take time
	n, err := l.r.Read(p)
	if n > 0 {
		l.heard = time.Now()
	}
	return n, err
}
