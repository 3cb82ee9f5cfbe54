package live

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/backoff"
	"github.com/ringback/ringback/internal/joblog"
	"github.com/ringback/ringback/internal/metrics"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/telemetry"
	"github.com/ringback/ringback/internal/webhook"
)

const (
	// pushTries is how often in a row a stream is opened that breaks at once; pushSteady
	// is how long it must have been open for the count to start again.
	pushTries  = 5
	pushSteady = 30 * time.Second
	// pushPause is the pause before the second try; each further pause is twice as long.
	// pushPatience bounds the pause that a receiver may ask for.
	pushPause    = 250 * time.Millisecond
	pushPatience = 30 * time.Second
)

// run pushes until all events are sent, or the receiver takes no more.
func (s *pushed) run() {
	cfg := &s.pusher.cfg
	log, leave := cfg.Watching.Open(s.job.Project, s.job.ID)
	defer leave()
	s.held = cfg.Memory.Grant()
	defer s.held.Release()
	s.log = log
	if s.job.Fence > 1 { // the events of earlier attempts are void
		s.sent = ringback.EventID{Attempt: s.job.Fence}
	}
	pause := pushPause
	for tries := 1; ; tries++ {
		res := s.push()
		if res.Took > pushSteady {
			tries, pause = 1, pushPause
		}
		if s.concluded(res, tries) {
			return
		}
		if res.Verdict == webhook.Unsent { // which is no fault of the receiver
			cfg.Supervisor.NoteShortage(res.Cause)
			tries--
		}
		wait := max(pause, res.RetryAfter)
		if wait > pushPatience || !backoff.Sleep(s.ctx, backoff.Jitter(wait, backoff.Half)) {
			s.giveUp(res)
			return
		}
		pause = min(2*pause, pushPatience)
	}
}

// push opens the stream once, and holds it open.
func (s *pushed) push() webhook.Result {
	cfg, o := &s.pusher.cfg, &s.job.Options
	if cfg.OnHold(s.host) {
		return webhook.Result{Verdict: webhook.Retry, Cause: errOnHold}
	}
	return cfg.Sender.Push(s.ctx, webhook.Stream{
		At: cfg.Clock.Now(), ID: webhook.PushID(s.job.ID, "stream", ringback.EventID{Attempt: s.attempt.Load()}).String(), URL: o.StreamTo,
		Last: s.resumed(), Header: s.header(), Secrets: cfg.Secrets,
		Next: s.reader(), Sent: func(id ringback.EventID) { s.sent = id },
	})
}

// header returns the headers that the caller adds. Those for the callback URL go to its
// host only.
func (s *pushed) header() http.Header {
	o := &s.job.Options
	header := webhook.HeadersOf(o.HeadersFor(o.StreamHost))
	if header.Get(telemetry.HeaderTraceParent) == "" {
		telemetry.SetTrace(header, o.TraceParent, o.TraceState)
	}
	return header
}

// resumed returns the last event that was sent; the zero EventID if none was.
func (s *pushed) resumed() ringback.EventID {
	if s.sent.Number == 0 {
		return ringback.EventID{}
	}
	return s.sent
}

// reader returns a function that reads the events after those that were sent.
func (s *pushed) reader() func(context.Context) ([]ringback.StreamEvent, error) {
	at := s.sent
	return func(ctx context.Context) ([]ringback.StreamEvent, error) {
		if at == (ringback.EventID{}) {
			first := queuedEvent(s.job)
			at = first.EventID
			return []ringback.StreamEvent{first}, nil
		}
		events, err := s.log.Next(ctx, at, false)
		if err == nil {
			events = s.ours(events)
		}
		if len(events) == 0 && err == nil {
			err = io.EOF
		}
		if errors.Is(err, io.EOF) {
			s.over = true
		}
		if err != nil {
			return nil, err
		}
		last := &events[len(events)-1]
		if at = last.EventID; last.Job == nil {
			return events, nil
		}
		s.last = at
		if s.log.Long() {
			last.Job, err = s.longEnd(ctx, *last.Job)
		}
		return events, err
	}
}

// pushCost is how many bytes of memory each byte of a long end's text takes until it is
// sent.
const pushCost = 6

// longEnd puts the long text into the job of the event that ends it.
func (s *pushed) longEnd(ctx context.Context, j ringback.Job) (*ringback.Job, error) {
	text, err := s.pusher.cfg.OpenEnd(ctx, s.job.Project, s.job.ID)
	if err != nil {
		return nil, err
	}
	defer text.Close()
	s.held.Shrink(0) // of another try
	if err := s.held.Grow(ctx, pushCost*text.TextSize()); err != nil {
		return nil, err
	}
	return &j, text.PutText(&j)
}

// ours cuts off the events that another node pushes: an attempt that it makes, and all
// that follows.
func (s *pushed) ours(events []ringback.StreamEvent) []ringback.StreamEvent {
	for i, e := range events {
		// In this order: an attempt of this node is in flight before it is in the log, and
		// is known here before it is no longer in flight.
		if e.Type == ringback.EventStarted && !s.pusher.cfg.InFlight(store.Ref{ID: s.job.ID, Fence: e.Attempt}) && s.attempt.Load() < e.Attempt {
			return events[:i]
		}
	}
	return events
}

// concluded reports whether nothing more is to be pushed, and counts how that ended.
func (s *pushed) concluded(res webhook.Result, tries int) bool {
	switch {
	case res.Verdict == webhook.Delivered:
		s.pusher.count(metrics.PushSent)
		s.record("stream pushed", slog.Bool("to_the_end", s.over), slog.Int64("ms", res.Took.Milliseconds()))
	case errors.Is(res.Cause, webhook.ErrStalled):
		s.pusher.count(metrics.PushCut)
		s.record("stream cut off: its receiver takes nothing", slog.String("host", s.host.Host))
	case s.sentAll(), s.ctx.Err() != nil, res.Verdict != webhook.Retry && res.Verdict != webhook.Unsent, tries > pushTries,
		tries == pushTries && res.Verdict != webhook.Unsent:
		s.giveUp(res)
	default:
		return false
	}
	return true
}

// sentAll reports whether the end of the job was sent, whatever the receiver did with it.
func (s *pushed) sentAll() bool { return s.last != (ringback.EventID{}) && s.sent == s.last }

// giveUp gives up a stream that can't be pushed. The webhook of the job's end is still
// sent.
func (s *pushed) giveUp(res webhook.Result) {
	if errors.Is(context.Cause(s.ctx), errPushOver) && res.Verdict == webhook.Interrupted {
		s.pusher.count(metrics.PushSent) // everything that there was to send
		return
	}
	outcome := metrics.PushFailed
	if errors.Is(res.Cause, errOnHold) {
		outcome = metrics.PushDropped
	}
	s.pusher.count(outcome)
	s.record("stream given up", slog.String("host", s.host.Host), slog.Int("status_code", res.StatusCode),
		slog.String("error", string(res.Class)), slog.Any("err", res.Cause))
}

func (s *pushed) record(msg string, attrs ...slog.Attr) {
	joblog.Record(s.pusher.cfg.Logger, msg, s.job, attrs...)
}
