package dispatch

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/clock"
	"github.com/ringback/ringback/internal/limit"
	"github.com/ringback/ringback/internal/memory"
	"github.com/ringback/ringback/internal/metrics"
	"github.com/ringback/ringback/internal/outcome"
	"github.com/ringback/ringback/internal/protocol"
	"github.com/ringback/ringback/internal/provider"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/supervise"
)

// Provider is a provider that is configured.
type Provider struct {
	Client *provider.Client
	// Concurrency bounds the calls at once, 0: only Config.Concurrency does.
	Concurrency int
	// RequestsPerMinute bounds the calls that start; 0 means no bound.
	RequestsPerMinute int
}

// Config configures a dispatcher. All fields are required except Tracer, Models and those of
// Gate.
type Config struct {
	Store      Store
	Clock      *clock.Clock
	Supervisor *supervise.Supervisor
	Disk       *supervise.Disk
	Logger     *slog.Logger
	Metrics    *metrics.Dispatch
	// Submitted counts new jobs, by project and label of the model.
	Submitted *prometheus.CounterVec
	Tracer    trace.Tracer // nil makes no spans
	Policy    outcome.Policy
	Memory    *memory.Pools

	// Providers by name.
	Providers map[string]Provider
	// Models are those that the configuration names. Each has a lane and a label of its own.
	Models map[string]bool
	// Concurrency is how many calls run at once.
	Concurrency int
	// Gate tunes the holds of keys and models. Slots and PerMinute are ignored.
	Gate limit.Config

	// Session returns the node's present session.
	Session func() Session
	// Calls is the parent of everything that is repeated until it succeeds. It ends with
	// ErrDrain when the time of the drain is over.
	Calls context.Context
	// Go runs a goroutine that the drain waits for.
	Go func(func() error)
	// Ready reports whether new jobs may be claimed on insert, Draining whether nothing new
	// may be begun.
	Ready, Draining func() bool
	// NoLease reports whether an error means that the node has no lease.
	NoLease func(error) bool
	// Interrupted reports whether the cause of a call's end is that the node has lost its
	// lease or the job.
	Interrupted func(cause error) bool

	Webhooks Webhooks
	// Watch begins to show an attempt to those who watch its job.
	Watch func(j *store.Job, s Session) Progress
	// Moved is called with each job that may have ended, or that another node may begin.
	Moved func(job uuid.UUID)
	// Caused is called when a webhook may wait to be sent.
	Caused func()
	// Held is called when a hold may have begun or ended.
	Held func()
}

// Session is what a claim remembers of the node's session in which it was made.
type Session interface {
	ID() string
	// Leased reports whether what was claimed may still be begun.
	Leased() bool
	// Context governs the calls of what was claimed.
	Context() context.Context
}

// Webhooks makes and sends the webhooks that the ends of jobs cause.
type Webhooks interface {
	// Conclude adds to an outcome the webhook that an end without an answer causes.
	Conclude(row store.Job, o store.Outcome) store.Outcome
	// Answered adds to an outcome the webhook that an answer causes. If there is a slot to
	// send it, the webhook is claimed on insert; otherwise Answered returns nil.
	Answered(row store.Job, o *store.Outcome, a *provider.Answer) Claim
}

// Claim is a webhook that is claimed on insert. One of its methods must be called.
type Claim interface {
	// Send sends the webhook. It is stored.
	Send()
	// GiveUp gives back what the claim took. The webhook is not stored as claimed.
	GiveUp()
}

// Progress shows an attempt to those who watch its job.
type Progress interface {
	// Delta returns the function that takes the pieces of the answer; nil if nobody wants
	// them.
	Delta() func(ringback.Delta)
	// Frame returns the function that takes what the provider's own stream has around the
	// pieces of the answer; nil if nobody wants it.
	Frame() func(protocol.Piece)
	// Quiet ends the webhooks that report on the attempt, and waits for the one on its way.
	Quiet()
	// Events returns the job's log so far, as it is stored.
	Events() store.Blob
	// Settled says what has become of the job.
	Settled(after *store.Job, at time.Time)
	// End ends the watching of the attempt. It may be called after Settled or without it.
	End()
}

// Store has the moves of jobs that a dispatcher makes.
type Store interface {
	Moves
	Reads
}

// Moves of jobs, as [store.Jobs] and [store.Maintenance] describe them.
type Moves interface {
	Claim(ctx context.Context, c store.ClaimJobs) ([]store.Job, error)
	Settle(ctx context.Context, ref store.Ref, decide store.Decide) (store.Job, error)
	Release(ctx context.Context, node string, refs []store.Ref, decide store.Decide) ([]store.Job, error)
	Cancel(ctx context.Context, project string, id uuid.UUID, decide store.Decide) (store.Job, error)
	Hasten(ctx context.Context, now time.Time, limit int, decide store.Decide) ([]store.Job, error)
	Expire(ctx context.Context, now time.Time, limit int, decide store.Decide) ([]store.Job, error)
}

// Reads of what waits and of requests, as [store.Backlog] and [store.ContentReader]
// describe them.
type Reads interface {
	DueJobs(ctx context.Context, now time.Time) (store.DueJobs, error)
	Content(ctx context.Context, id uuid.UUID, parts store.Parts) (store.Content, error)
	store.Blobs
}

// Dispatcher runs jobs. Make one with [New].
type Dispatcher struct {
	cfg       Config
	names     *modelNames
	scheduler *scheduler
	inflight  *Inflight
	executor  executor
	recorder  recorder

	// claiming is when the claim in progress was requested; nil if there is none.
	claiming atomic.Pointer[time.Time]
	wake     chan struct{} // has capacity 1: something may be claimed
}

// New returns a dispatcher.
func New(cfg Config) *Dispatcher {
	d := &Dispatcher{cfg: cfg, names: newModelNames(cfg.Models), inflight: newInflight(), wake: make(chan struct{}, 1)}
	d.scheduler = newScheduler(schedulerConfig{
		concurrency: cfg.Concurrency, gate: cfg.Gate, providers: cfg.Providers, names: d.names,
	})
	d.executor = caller{d}
	d.recorder = recorder{log: cfg.Logger, metrics: cfg.Metrics, submitted: cfg.Submitted, names: d.names, scheduler: d.scheduler}
	return d
}

// Run claims waiting jobs until ctx is done, whenever something has happened that may allow
// it: a job came, a slot was freed, a time is over.
func (d *Dispatcher) Run(ctx context.Context) error {
	return d.cfg.Supervisor.Dispatch(ctx, "claim jobs", d.wake, d.claimWaiting)
}

// Wake wakes the loop that claims jobs. It never blocks.
func (d *Dispatcher) Wake() { supervise.Wake(d.wake) }

// Inflight returns the attempts in flight.
func (d *Dispatcher) Inflight() *Inflight { return d.inflight }

// ClaimingSince returns when the claim in progress was requested; the zero time if there is
// none. Until it has returned, nobody here knows what it has claimed.
func (d *Dispatcher) ClaimingSince() time.Time {
	if at := d.claiming.Load(); at != nil {
		return *at
	}
	return time.Time{}
}

// TakeParts sets the limits of the providers to this node's part of them. It reports
// whether any part has grown.
func (d *Dispatcher) TakeParts(p Parts) (more bool) { return d.scheduler.takeParts(p) }

// Tidy forgets what has not been used for a long time.
func (d *Dispatcher) Tidy() { d.scheduler.tidy() }

// RecordHoldsOver logs of holds that ended without a call.
func (d *Dispatcher) RecordHoldsOver() { d.recorder.holdsOver() }
