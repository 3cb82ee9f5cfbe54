package live

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/clock"
	"github.com/ringback/ringback/internal/joblog"
	"github.com/ringback/ringback/internal/memory"
	"github.com/ringback/ringback/internal/metrics"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/supervise"
	"github.com/ringback/ringback/internal/webhook"
)

const (
	// maxPushed is how many streams are pushed at once, pushedPerHost how many of them to
	// one host.
	maxPushed     = 1024
	pushedPerHost = 64
	// lingerFor is how long a pushed stream stays open after an attempt: for the next
	// attempt, or for a receiver that is behind. lingerStopping is that of a node that
	// stops.
	lingerFor      = time.Minute
	lingerStopping = 2 * time.Second
)

var (
	errPushOver = errors.New("there was no further attempt here in time")
	errOnHold   = errors.New("the receiver's host is on hold")
)

// PusherConfig configures a pusher. All fields are required.
type PusherConfig struct {
	Watching   *Watching
	Sender     *webhook.Sender
	Secrets    []ringback.Secret // sign the streams, the newest first
	Clock      *clock.Clock
	Supervisor *supervise.Supervisor
	Logger     *slog.Logger
	Metrics    metrics.Pushes
	// Memory is the memory for webhooks.
	Memory *memory.Pool
	// Calls ends when the node stops what runs. Group owns the goroutines that a draining
	// node waits for.
	Calls context.Context
	Group *errgroup.Group
	// OnHold reports whether a receiver's host is on hold.
	OnHold func(store.Host) bool
	// InFlight reports whether an attempt runs on this node.
	InFlight func(attempt store.Ref) bool
	// OpenEnd opens the long text of a job that has ended, and waits for memory for it.
	OpenEnd func(ctx context.Context, project string, job uuid.UUID) (LongText, error)
}

// Pusher pushes the streams of jobs to their stream_to. They take none of the slots of
// deliveries, since each may stay open for an hour.
type Pusher struct {
	cfg PusherConfig

	mu       sync.Mutex
	jobs     map[uuid.UUID]*pushed
	hosts    map[store.Host]int
	taken    int // of maxPushed
	stopping bool
}

// pushed is a stream that is pushed from the first attempt that this node makes of its job
// until the job's end, unless the next attempt is made elsewhere: then that node pushes it.
type pushed struct {
	pusher  *Pusher
	job     *store.Job
	host    store.Host
	ctx     context.Context // of its goroutine
	end     context.CancelCauseFunc
	attempt atomic.Int64 // the last one of this node

	linger *time.Timer // ends the stream; nil while an attempt runs. Pusher.mu guards it

	// What follows belongs to its goroutine, and to that of the connection.
	log  *Log
	held *memory.Grant // for a long end
	sent ringback.EventID
	last ringback.EventID // the event that ends the job; zero until it was read
	over bool             // everything was read that there was to send
}

// NewPusher returns a pusher.
func NewPusher(cfg PusherConfig) *Pusher {
	return &Pusher{cfg: cfg, jobs: map[uuid.UUID]*pushed{}, hosts: map[store.Host]int{}}
}

// Push begins to push the stream of an attempt's job, or goes on with it. leave must be
// called when the attempt is over.
func (p *Pusher) Push(j *store.Job) (leave func()) {
	if j.Options.StreamTo == "" {
		return func() {}
	}
	s := p.take(j)
	if s == nil {
		p.count(metrics.PushDropped)
		joblog.Record(p.cfg.Logger, "stream not pushed: there is no place", j, slog.String("host", j.Options.StreamHost))
		return func() {}
	}
	return func() { p.rest(s) }
}

func (p *Pusher) count(outcome string) { p.cfg.Metrics.Count(metrics.PushStream, outcome) }

// take returns the stream of a job, which it starts if there is none; nil if there is no
// room for it.
func (p *Pusher) take(j *store.Job) *pushed {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.jobs[j.ID]; s != nil {
		if s.linger != nil {
			s.linger.Stop()
			s.linger = nil
		}
		s.attempt.Store(j.Fence)
		return s
	}
	host := store.Host{Project: j.Project, Host: j.Options.StreamHost}
	if p.taken == maxPushed || p.hosts[host] == pushedPerHost {
		return nil
	}
	p.taken++
	p.hosts[host]++
	s := &pushed{pusher: p, job: j, host: host}
	s.attempt.Store(j.Fence)
	s.ctx, s.end = context.WithCancelCause(p.cfg.Calls)
	p.jobs[j.ID] = s
	p.cfg.Group.Go(func() error {
		defer p.giveBack(s)
		_ = p.cfg.Supervisor.Guarded("push a stream", func() error { s.run(); return nil }, "job_id", j.ID)
		return nil
	})
	return s
}

// rest keeps a stream for a while after its attempt.
func (p *Pusher) rest(s *pushed) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.jobs[s.job.ID] != s {
		return
	}
	after := lingerFor
	if p.stopping {
		after = lingerStopping
	}
	s.linger = time.AfterFunc(after, func() { p.forget(s) })
}

// forget ends a stream, unless another attempt has taken it meanwhile.
func (p *Pusher) forget(s *pushed) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.linger != nil && p.jobs[s.job.ID] == s {
		delete(p.jobs, s.job.ID)
		s.end(errPushOver)
	}
}

// giveBack makes room for another stream.
func (p *Pusher) giveBack(s *pushed) {
	s.end(nil)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.jobs[s.job.ID] == s {
		delete(p.jobs, s.job.ID)
	}
	if s.linger != nil {
		s.linger.Stop()
	}
	p.taken--
	if p.hosts[s.host]--; p.hosts[s.host] == 0 {
		delete(p.hosts, s.host)
	}
}

// Stop shortens the time of streams that wait for another attempt: there will be none.
func (p *Pusher) Stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopping = true
	for _, s := range p.jobs {
		if s.linger != nil {
			s.linger.Reset(lingerStopping)
		}
	}
}

// Count returns how many streams are being pushed.
func (p *Pusher) Count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.taken
}

// Lingering returns how many streams wait for another attempt.
func (p *Pusher) Lingering() (count int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.jobs {
		if s.linger != nil {
			count++
		}
	}
	return count
}
