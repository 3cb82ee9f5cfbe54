package node

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/backoff"
	"github.com/ringback/ringback/internal/live"
	"github.com/ringback/ringback/internal/memory"
	"github.com/ringback/ringback/internal/metrics"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/webhook"
)

const (
	// maxStreams is how many streams are pushed at once, streamsPerHost how many of
	// them to one host.
	maxStreams     = 1024
	streamsPerHost = 64
	// streamTries is how often in a row a stream is opened that breaks at once;
	// streamSteady is how long it must have stood to begin anew.
	streamTries  = 5
	streamSteady = 30 * time.Second
	// streamPause is the pause before the second try; each further one is twice as
	// long. streamPatience bounds what a receiver may ask for.
	streamPause    = 250 * time.Millisecond
	streamPatience = 30 * time.Second
	// streamAfter is for how long a stream stays open behind an attempt: for the
	// next one, or for a receiver that is behind. drainAfter is that of a node that
	// stops.
	streamAfter = time.Minute
	drainAfter  = 2 * time.Second
)

var (
	errPushOver = errors.New("there was no further attempt here in time")
	errOnHold   = errors.New("the receiver's host is on hold")
)

// streams are those that are pushed. A stream has a place of its own, since it may
// stand for an hour: it takes none of the slots of deliveries.
type streams struct {
	mu       sync.Mutex
	jobs     map[uuid.UUID]*stream
	hosts    map[store.Host]int
	places   int
	stopping bool
}

// stream is pushed from the first attempt that this node makes of its job until the
// job's end, unless the next attempt is made elsewhere: that node pushes it then.
type stream struct {
	node    *Node
	job     *store.Job
	host    store.Host
	ctx     context.Context //nolint:containedctx // of its goroutine
	end     context.CancelCauseFunc
	attempt atomic.Int64 // the last one of this node

	linger *time.Timer // ends it; nil while an attempt runs. streams.mu guards it

	// What follows is its goroutine's, and that of the connection.
	log  *live.Log
	held *memory.Grant // for a long end
	sent ringback.EventID
	last ringback.EventID // the one that ends the job; zero: it has not been read
	over bool             // all is sent that there was to send
}

// pushStream begins to push the stream of an attempt, or goes on with it. Leave tells
// that the attempt is over.
func (n *Node) pushStream(j *store.Job) (leave func()) {
	if j.Options.StreamTo == "" {
		return func() {}
	}
	s := n.streams.take(n, j)
	if s == nil {
		n.metrics.Pushes.Count(metrics.PushStream, metrics.PushDropped)
		n.record("stream not pushed: there is no place", j, slog.String("host", j.Options.StreamHost))
		return func() {}
	}
	return func() { n.streams.rest(s) }
}

// take gives the stream of a job; nil if it has none and there is no place.
func (a *streams) take(n *Node, j *store.Job) *stream {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.jobs[j.ID]; s != nil {
		if s.linger != nil {
			s.linger.Stop()
			s.linger = nil
		}
		s.attempt.Store(j.Fence)
		return s
	}
	host := store.Host{Project: j.Project, Host: j.Options.StreamHost}
	if a.places == maxStreams || a.hosts[host] == streamsPerHost {
		return nil
	}
	if a.jobs == nil {
		a.jobs, a.hosts = map[uuid.UUID]*stream{}, map[store.Host]int{}
	}
	a.places++
	a.hosts[host]++
	s := &stream{node: n, job: j, host: host}
	s.attempt.Store(j.Fence)
	s.ctx, s.end = context.WithCancelCause(n.calls)
	a.jobs[j.ID] = s
	n.group.Go(func() error {
		defer a.give(s)
		_ = n.supervisor.Guarded("push a stream", func() error { s.run(); return nil }, "job_id", j.ID)
		return nil
	})
	return s
}

// rest keeps a stream for a while whose attempt is over.
func (a *streams) rest(s *stream) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.jobs[s.job.ID] != s {
		return
	}
	after := streamAfter
	if a.stopping {
		after = drainAfter
	}
	s.linger = time.AfterFunc(after, func() { a.forget(s) })
}

// forget ends a stream, unless another attempt has taken it meanwhile.
func (a *streams) forget(s *stream) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s.linger != nil && a.jobs[s.job.ID] == s {
		delete(a.jobs, s.job.ID)
		s.end(errPushOver)
	}
}

// give gives the place of a stream back.
func (a *streams) give(s *stream) {
	s.end(nil)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.jobs[s.job.ID] == s {
		delete(a.jobs, s.job.ID)
	}
	if s.linger != nil {
		s.linger.Stop()
	}
	a.places--
	if a.hosts[s.host]--; a.hosts[s.host] == 0 {
		delete(a.hosts, s.host)
	}
}

// stop shortens the time of those that wait for another attempt: there will be none.
func (a *streams) stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stopping = true
	for _, s := range a.jobs {
		if s.linger != nil {
			s.linger.Reset(drainAfter)
		}
	}
}

// count is how many are pushed.
func (a *streams) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.places
}

// run pushes until everything is said, or nobody listens.
func (s *stream) run() {
	n, j := s.node, s.job
	log, leave := n.hub.Open(j.ID, func(ctx context.Context, l *live.Log) live.Await { return n.tailJob(ctx, l, j.Project, j.ID) })
	defer leave()
	s.held = n.memory.Webhooks.Grant()
	defer s.held.Release()
	s.log = log
	if j.Fence > 1 { // what came under earlier attempts is void
		s.sent = ringback.EventID{Attempt: j.Fence}
	}
	pause := streamPause
	for tries := 1; ; tries++ {
		res := s.push()
		if res.Took > streamSteady {
			tries, pause = 1, streamPause
		}
		if s.concluded(res, tries) {
			return
		}
		if res.Verdict == webhook.Unsent { // which is no fault of the receiver
			n.supervisor.NoteShortage(res.Cause)
			tries--
		}
		wait := max(pause, res.RetryAfter)
		if wait > streamPatience || !backoff.Sleep(s.ctx, backoff.Jitter(wait, backoff.Half)) {
			s.giveUp(res)
			return
		}
		pause = min(2*pause, streamPatience)
	}
}

// push opens the stream once, and holds it open.
func (s *stream) push() webhook.Result {
	n, o := s.node, &s.job.Options
	if n.deliveries.isHeld(s.host) {
		return webhook.Result{Verdict: webhook.Retry, Cause: errOnHold}
	}
	res := n.cfg.Sender.Push(s.ctx, webhook.Stream{
		At: n.clock.Now(), ID: webhook.PushID(s.job.ID, "stream", ringback.EventID{Attempt: s.attempt.Load()}).String(), URL: o.StreamTo,
		Last: s.resumed(), Header: pushHeader(s.job, o.StreamHost), Secrets: n.cfg.Secrets,
		Next: s.reader(), Sent: func(id ringback.EventID) { s.sent = id },
	})
	return res
}

// resumed is the last event that was sent; the zero EventID if none was.
func (s *stream) resumed() ringback.EventID {
	if s.sent.Number == 0 {
		return ringback.EventID{}
	}
	return s.sent
}

// reader reads on behind what was sent.
func (s *stream) reader() func(context.Context) ([]ringback.StreamEvent, error) {
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

// pushing is what a long end takes of memory, for each byte of its text, until it is sent.
const pushing = 6

// longEnd puts a long text into the job of an event.
func (s *stream) longEnd(ctx context.Context, j ringback.Job) (*ringback.Job, error) {
	o, err := s.node.OpenEnd(ctx, s.job.Project, s.job.ID)
	if err != nil {
		return nil, err
	}
	defer o.Close()
	s.held.Shrink(0) // another try
	if err := s.held.Grow(ctx, pushing*o.TextSize()); err != nil {
		return nil, err
	}
	return &j, o.PutText(&j)
}

// ours cuts off what another node pushes: the attempt that it makes, and all behind.
func (s *stream) ours(events []ringback.StreamEvent) []ringback.StreamEvent {
	for i, e := range events {
		// In this order: an attempt of this node is among the running before it is
		// in the log, and is known here before it is none of them any more.
		if e.Type == ringback.EventStarted && !s.node.inflight.has(store.Ref{ID: s.job.ID, Fence: e.Attempt}) && s.attempt.Load() < e.Attempt {
			return events[:i]
		}
	}
	return events
}

func queuedEvent(j *store.Job) ringback.StreamEvent {
	return ringback.StreamEvent{
		Type: ringback.EventQueued, JobID: j.ID.String(), EventID: ringback.EventID{Number: 1}, Timestamp: ringback.Time{Time: j.CreatedAt},
	}
}

// concluded tells whether nothing more is to be pushed, and counts how that ended.
func (s *stream) concluded(res webhook.Result, tries int) bool {
	switch {
	case res.Verdict == webhook.Delivered:
		s.node.metrics.Pushes.Count(metrics.PushStream, metrics.PushSent)
		s.node.record("stream pushed", s.job, slog.Bool("to_the_end", s.over), slog.Int64("ms", res.Took.Milliseconds()))
	case errors.Is(res.Cause, webhook.ErrStalled):
		s.node.metrics.Pushes.Count(metrics.PushStream, metrics.PushCut)
		s.node.record("stream cut off: its receiver takes nothing", s.job, slog.String("host", s.host.Host))
	case s.saidAll(), s.ctx.Err() != nil, res.Verdict != webhook.Retry && res.Verdict != webhook.Unsent, tries > streamTries,
		tries == streamTries && res.Verdict != webhook.Unsent:
		s.giveUp(res)
	default:
		return false
	}
	return true
}

// saidAll tells whether the end of the job was sent, whatever the receiver made of it.
func (s *stream) saidAll() bool { return s.last != (ringback.EventID{}) && s.sent == s.last }

// giveUp leaves a stream that can't be pushed; the webhook of its end comes all the
// same.
func (s *stream) giveUp(res webhook.Result) {
	if errors.Is(context.Cause(s.ctx), errPushOver) && res.Verdict == webhook.Interrupted {
		s.node.metrics.Pushes.Count(metrics.PushStream, metrics.PushSent) // as far as there was anything to send
		return
	}
	outcome := metrics.PushFailed
	if errors.Is(res.Cause, errOnHold) {
		outcome = metrics.PushDropped
	}
	s.node.metrics.Pushes.Count(metrics.PushStream, outcome)
	s.node.record("stream given up", s.job, slog.String("host", s.host.Host), slog.Int("status_code", res.StatusCode),
		slog.String("error", string(res.Class)), slog.Any("err", res.Cause))
}
