package live

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/clock"
	"github.com/ringback/ringback/internal/memory"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/supervise"
)

// Store is the part of the store that the room needs.
type Store interface {
	Job(ctx context.Context, project string, id uuid.UUID, parts store.Parts) (store.Job, store.Content, error)
	Content(ctx context.Context, id uuid.UUID, parts store.Parts) (store.Content, error)
	Blob(ctx context.Context, owner uuid.UUID, part store.Parts) (store.Blob, error)
	Ended(ctx context.Context, ids []uuid.UUID) ([]uuid.UUID, error)
	Begun(ctx context.Context, ids []uuid.UUID) ([]uuid.UUID, error)
}

// Session is a node's session in the cluster, and what the node knows of the other nodes.
type Session interface {
	ID() string
	// HasPeers reports whether there may be other nodes, and Alive returns how many nodes
	// are alive, including this one.
	HasPeers() bool
	Alive() int
	// Every returns how often a node checks what other nodes do; alone is for a node
	// without peers.
	Every(alone time.Duration) time.Duration
	// URLOf returns the URL of a node that is alive, "" if it has none; PeerURLs returns
	// those of all other nodes.
	URLOf(node string) string
	PeerURLs() []string
}

// A LongText is the text of a job that has ended, where it is too long to be copied. It
// takes memory until it is closed.
type LongText interface {
	// TextSize returns the size of the text in bytes.
	TextSize() int64
	// PutText puts the text into a job.
	PutText(j *ringback.Job) error
	Close()
}

// Config configures the watching of jobs. All fields are required.
type Config struct {
	Hub        *Hub
	Tokens     *Tokens
	Store      Store
	Clock      *clock.Clock
	Supervisor *supervise.Supervisor
	Logger     *slog.Logger
	// Session returns the node's present session.
	Session func() Session
	// Reads is the memory for what goes out to clients.
	Reads *memory.Pool
	// RowsKept is how long the row of a job is kept after the job's content.
	RowsKept time.Duration
	// Calls ends when the node stops what runs. Group owns the goroutines that a draining
	// node waits for.
	Calls context.Context
	Group *errgroup.Group
	// Ended returns a job that has ended as its last event shows it; long reports whether
	// its text is too long and left out.
	Ended func(ctx context.Context, project string, job uuid.UUID) (j ringback.Job, long bool, err error)
	// Cancel cancels a job.
	Cancel func(ctx context.Context, project string, job uuid.UUID) error
}

// Watching lets clients and other nodes watch jobs.
type Watching struct {
	cfg      Config
	hub      *Hub
	log      *slog.Logger
	peers    *http.Transport // to other nodes
	wakeEnds chan struct{}   // has capacity 1: jobs have ended on another node

	// stop is held for reading while a goroutine is started for a job that nobody watches.
	stop     sync.RWMutex
	stopping bool

	abandonments abandonments
}

// New returns a Watching of the jobs of a hub.
func New(cfg Config) *Watching {
	return &Watching{cfg: cfg, hub: cfg.Hub, log: cfg.Logger, peers: newPeers(), wakeEnds: make(chan struct{}, 1)}
}

// Stop stops cancelling jobs that nobody watches: from now on readers leave because the
// node stops. It does not wait.
func (w *Watching) Stop() {
	w.stop.Lock()
	defer w.stop.Unlock()
	w.stopping = true
}

func (w *Watching) isStopping() bool {
	w.stop.RLock()
	defer w.stop.RUnlock()
	return w.stopping
}

// Close ends all tails and waits for them, and closes the connections to other nodes.
func (w *Watching) Close() {
	w.hub.Close()
	w.peers.CloseIdleConnections()
}

// Open opens the log of a job for a reader, as [Hub.Open] does.
func (w *Watching) Open(project string, job uuid.UUID) (l *Log, leave func() (left int)) {
	return w.hub.Open(job, func(ctx context.Context, l *Log) Await { return w.tail(ctx, l, project, job) })
}

// Announce counts the caller among the readers of a job until leave is called, as
// [Hub.Present] does, and lets the node that runs the job know.
func (w *Watching) Announce(project string, job uuid.UUID) (leave func() (left int)) {
	_, leave = w.Open(project, job)
	return leave
}
