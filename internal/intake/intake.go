package intake

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/trace"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/clock"
	"github.com/ringback/ringback/internal/memory"
	"github.com/ringback/ringback/internal/refusal"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/supervise"
	"github.com/ringback/ringback/internal/webhook"
)

// Store is what intake needs of the store.
type Store interface {
	Submit(ctx context.Context, j store.NewJob) (store.Job, bool, error)
	Replay(ctx context.Context, j store.NewJob) (store.Job, error)
	ByIdempotencyKey(ctx context.Context, project, key string) (store.Job, error)
	Queued(ctx context.Context) (int, error)
	Job(ctx context.Context, project string, id uuid.UUID, parts store.Parts) (store.Job, store.Content, error)
	store.Blobs
}

// Put stores a new job. It reports whether another one is there instead.
type Put = func(ctx context.Context, j store.NewJob) (stored store.Job, replayed bool, err error)

// Config configures intake. All fields are required, except where it says otherwise.
type Config struct {
	Store   Store
	Clock   *clock.Clock
	Refuser *refusal.Refuser
	Disk    *supervise.Disk
	// Bodies is the memory for bodies of requests.
	Bodies *memory.Pool
	Guard  *webhook.Guard
	Routes *Routes
	// DefaultModel is used when a request names none.
	DefaultModel string
	// ProviderHeaders are the headers that requests may pass on to their provider, in
	// lower case.
	ProviderHeaders []string
	// MaxQueued is how many jobs may wait.
	MaxQueued int
	// RowsKept is how long the row of a job is kept after its content.
	RowsKept time.Duration
	// Closed reports whether the node takes no requests at all.
	Closed bool
	// Admission is held while a job is made: a node that drains waits for it.
	Admission sync.Locker
	// Draining reports whether the node stops.
	Draining func() bool
	// Insert stores a job with the provider's request by put, and begins it at once if it
	// may.
	Insert func(ctx context.Context, j store.Job, request []byte, put Put) (stored store.Job, replayed bool, err error)
	// Tracer makes spans; nil makes none.
	Tracer trace.Tracer
}

// Intake takes requests.
type Intake struct {
	cfg     Config
	replays chan struct{} // a place for each replay in progress
}

// New returns an intake that admits requests.
func New(cfg Config) *Intake {
	return &Intake{cfg: cfg, replays: make(chan struct{}, replaysAtOnce)}
}

// Native is the API's own dialect.
const Native = ""

// Submission is a request that asks for a job.
type Submission struct {
	Caller Caller
	// Dialect is the protocol that Body is in, or Native.
	Dialect string
	// Body is the provider's request, which is kept verbatim. In the Native dialect there
	// is none: the prompt is in Options.Request.
	Body    []byte
	Options Options
}

// Options are what a caller wants besides what the provider is to see.
type Options struct {
	// Request has the fields of the native request. Those that the provider is to see
	// count in the Native dialect only.
	Request         ringback.Request
	IdempotencyKey  string // "" means none
	IdempotencyHash []byte // of everything that must be the same in a repetition
	TraceParent     string
	TraceState      string
}

// Submit checks a request and stores it as a job: the job is on stable storage
// when Submit returns. replayed reports whether the idempotency key named a job that
// was there already. An error is the user's, or internal.
func (in *Intake) Submit(ctx context.Context, s Submission) (job store.Job, replayed bool, err error) {
	ctx, traced := in.trace(ctx, &s.Options)
	defer func() { traced(&job, err); in.cfg.Refuser.Count(err) }()
	in.cfg.Admission.Lock()
	defer in.cfg.Admission.Unlock()
	if first, found, err := in.repeated(ctx, &s); found || err != nil {
		return first, found, in.cfg.Refuser.Write(err)
	}
	if err := in.admit(ctx); err != nil {
		return job, false, in.cfg.Refuser.Write(err)
	}
	made, err := in.newJob(&s, in.cfg.Clock.Stamped())
	s = Submission{} // its request may be large, and is not needed anymore
	if err != nil {
		return job, false, err
	}
	job, replayed, err = in.cfg.Insert(ctx, made.job, made.request, in.cfg.Store.Submit)
	return job, replayed, in.cfg.Refuser.Write(err)
}

// repeated finds the job of an idempotency key that is taken. It comes before all other
// checks: a repetition gets the answer that the first request got, even when its expires_at
// is past by now or the queue is full. (The store distinguishes two that come at once.)
func (in *Intake) repeated(ctx context.Context, s *Submission) (store.Job, bool, error) {
	if s.Options.IdempotencyKey == "" {
		return store.Job{}, false, nil
	}
	first, err := in.cfg.Store.ByIdempotencyKey(ctx, s.Caller.Project, s.Options.IdempotencyKey)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return store.Job{}, false, nil
	case err != nil:
		return store.Job{}, false, err
	case !bytes.Equal(first.IdempotencyHash, s.Options.IdempotencyHash):
		return store.Job{}, false, store.ErrMismatch
	}
	return first, true, nil
}

// admit refuses requests that could not be kept, before anything is accepted.
func (in *Intake) admit(ctx context.Context) error {
	refuse := in.cfg.Refuser.Refuse
	switch {
	case in.cfg.Closed:
		return refuse(refusal.Role, "this node takes no requests; it is a worker", 5)
	case in.cfg.Draining():
		return refuse(refusal.Stopping, "the server is stopping; try again in a moment", 5)
	case in.cfg.Disk.Full():
		return refuse(refusal.Disk, "the server's disk is nearly full; try again later", 30)
	}
	queued, err := in.cfg.Store.Queued(ctx)
	if err != nil {
		return err
	}
	if queued >= in.cfg.MaxQueued {
		return refuse(refusal.Queue, fmt.Sprintf("%d jobs are waiting, which is all that the server takes; try again later", queued), 10)
	}
	return nil
}
