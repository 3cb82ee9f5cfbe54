package reading

import (
	"context"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/clock"
	"github.com/ringback/ringback/internal/memory"
	"github.com/ringback/ringback/internal/store"
)

// Store is the part of the store that a reader needs.
type Store interface {
	store.JobReader
	store.DeliveryReader
	store.DeadReader
	store.Erasure
	store.Blobs
	Nodes(ctx context.Context) ([]store.Node, error)
}

// Live knows who is watching a job.
type Live interface {
	// Watch returns a channel that is closed when something of a job changes. leave must be
	// called.
	Watch(job uuid.UUID) (moved <-chan struct{}, leave func())
	// Present counts the caller among those who watch a job, until leave is called. That
	// returns how many are left.
	Present(job uuid.UUID) (leave func() (left int))
	// Announce does the same, and lets the node that runs the job know.
	Announce(project string, job uuid.UUID) (leave func() (left int))
	// Abandoned is called when the last one has left a job that ends with that.
	Abandoned(project string, job uuid.UUID)
}

// Config configures a reader. All fields are required.
type Config struct {
	Store  Store
	Clock  *clock.Clock
	Logger *slog.Logger
	// Memory is for what goes out to clients.
	Memory *memory.Pool
	// PublicURL begins status URLs; "" makes them paths.
	PublicURL string
	// Rows is how long the row of a job is kept after its end.
	Rows time.Duration
	// Guarded runs a step, and returns a panic of it as an error.
	Guarded func(step string, do func() error, attrs ...any) error
	// WaitReason returns in one word why a queued job is waiting; "" if only for its turn.
	WaitReason func(j *store.Job, now time.Time) string
	// HeldBy returns the call that was refused or failed, if a job waits for that reason.
	HeldBy func(j *store.Job, reason string) *ringback.HeldBy
	// HostHold returns the hold of a receiver's host, if this node knows of one.
	HostHold func(store.Host) *ringback.HostHold
	// StreamURL returns where a job can be watched.
	StreamURL func(job string) string
	// Refused returns the user's error for an error of a write to the store, and counts it.
	Refused func(error) error
	Live    Live
	// Stopped is closed when the time of the drain is over.
	Stopped <-chan struct{}
	// NodeID returns this node's id, and Roles the names of a node's roles.
	NodeID func() string
	Roles  func(store.Node) []string
}

// Reader reads what the API shows.
type Reader struct {
	cfg   Config
	store Store
	clock *clock.Clock
	parts parts
}

// New returns a reader.
func New(cfg Config) *Reader { return &Reader{cfg: cfg, store: cfg.Store, clock: cfg.Clock} }
