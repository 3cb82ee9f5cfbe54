// Package node puts the parts of a node together, which take jobs in, run them, and deliver
// what became of them.
//
//	intake.go    ties the node to package intake, which takes requests
//	policy.go    what the node decides by
//	dispatch.go  ties the node to package dispatch, which runs jobs
//	delivery.go  ties the node to package delivery, which renders and sends webhooks
//	cancel.go    cancels a job
//	hold.go      the holds as the API shows them
//	expire.go    ends what waited too long, and checks disk and counters
//	prune.go     deletes what has been kept long enough
//	cluster.go   ties the node to package cluster: membership, sweeps, shared holds
//	live.go      ties the node to package live: logs, streams, what is pushed of them
//	drain.go     starts, and stops: lets running calls end, then frees the rest
//	reading.go   ties the node to package reading: what the API reads and lists
//	roles.go     what this node does
//	nodehandler.go  adds the node's id to what is logged
//	metrics.go   what is measured of the node
//
// A node has the policy: how many, how often, how long. It does not know what becomes of a
// job (package outcome), SQL (package store), what a provider's stream means (package
// protocol), or how a webhook is sent (package webhook).
//
// # What runs
//
// [Node.Run] owns every goroutine: the two dispatchers, those that keep house, those that
// keep the node a member, and one for each attempt and each try. It returns when all have
// ended. Everything that must survive is in the store before it is acted upon: an attempt
// before its first byte, an answer together with its webhook.
//
// # Leases
//
// Package cluster keeps the node a member: it renews the lease under which the node holds
// what it has claimed.
//
// Node and store may disagree: a claim was committed and its answer lost, or a job was
// taken away unnoticed. They are compared every ten seconds.
package node

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/errgroup"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/clock"
	"github.com/ringback/ringback/internal/cluster"
	"github.com/ringback/ringback/internal/delivery"
	"github.com/ringback/ringback/internal/dispatch"
	"github.com/ringback/ringback/internal/intake"
	"github.com/ringback/ringback/internal/limit"
	"github.com/ringback/ringback/internal/live"
	"github.com/ringback/ringback/internal/memory"
	"github.com/ringback/ringback/internal/metrics"
	"github.com/ringback/ringback/internal/provider"
	"github.com/ringback/ringback/internal/reading"
	"github.com/ringback/ringback/internal/refusal"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/supervise"
	"github.com/ringback/ringback/internal/webhook"
)

// Config of a node.
type Config struct {
	// Store keeps the jobs. Required. The node does not close it.
	Store store.Store
	// Retention is the one that Store was opened with.
	Retention store.Retention
	// Providers by name. At least one is required to accept anything.
	Providers map[string]Provider
	// Routes are tried in order, before the built-in ones.
	Routes []intake.Route
	// DefaultModel is used when a request names none; "" means claude-sonnet-5-5.
	DefaultModel string
	// ProviderHeaders are further headers that requests may pass on to their provider,
	// besides provider.HeaderNames; in lower case.
	ProviderHeaders []string
	// Guard decides where webhooks may go. Required.
	Guard *webhook.Guard
	// Sender sends webhooks. Required. The node closes it when it stops.
	Sender *webhook.Sender
	// Schedule of the tries of a delivery; nil means 13 tries in 76 h.
	Schedule *webhook.Schedule
	// Secrets sign webhooks, the newest first. One is required.
	Secrets []ringback.Secret
	// URL is where other nodes reach this one's API, without a slash at its end; "" if
	// they can't: then what runs here can't be watched there.
	URL string
	// PublicURL is the address at which clients reach the API, without a slash at its end;
	// "" makes status URLs paths.
	PublicURL string
	// Concurrency is how many provider calls run at once; 0 means 256.
	Concurrency int
	// MaxQueued is how many jobs may wait; 0 means 1,000,000.
	MaxQueued int
	// Memory bounds what large things take; 0 means the part that 4 GiB would have.
	Memory memory.Parts
	// DataDir is watched for free space; "" watches nothing.
	DataDir string
	// DiskReserve is the free space in bytes below which nothing is accepted; 0
	// means 512 MiB.
	DiskReserve int64
	// DrainTimeout is how long running calls and sends may take at the end; 0 means 20 s.
	DrainTimeout time.Duration
	// RetryDelay is the pause after the first failed attempt; each further one
	// doubles it. 0 means 5 s.
	RetryDelay time.Duration
	// Gate tunes holds and breakers of providers; the zero value has the
	// package's defaults. Slots and PerMinute are ignored.
	Gate limit.Config
	// HostGate tunes those of receivers' hosts in the same way.
	HostGate limit.Config
	// Logger; nil discards.
	Logger *slog.Logger
	// Roles are what the node does; the zero value means everything.
	Roles Roles
	// Machine is the name of its machine in the network, and Version that of the program,
	// for those who list nodes.
	Machine, Version string
	// Metrics is where the node's metrics are registered; nil registers none.
	Metrics prometheus.Registerer
	// Tracer makes spans; nil makes none.
	Tracer trace.Tracer
}

// The sizes that the operator can't choose.
const (
	maxUncertain = 10 // attempts of a job that may end uncertain
	defaultModel = "claude-sonnet-5-5"
)

// Node runs jobs. Make one with [New], then [Node.Run] it.
type Node struct {
	*reading.Reader // what the API reads and lists

	cfg         Config
	clock       *clock.Clock
	log         *slog.Logger // each line names the node
	nodeHandler *nodeHandler
	supervisor  *supervise.Supervisor
	refuser     *refusal.Refuser
	routes      *intake.Routes
	intake      *intake.Intake
	disk        *supervise.Disk
	store       store.Store
	hub         live.Hub
	tokens      *live.Tokens // open the streams of jobs
	watching    *live.Watching
	pusher      *live.Pusher

	members    *cluster.Membership
	sweeper    *cluster.Sweeper
	reconciler *cluster.Reconciler
	holds      *cluster.Holds

	memory memory.Pools

	jobs       *dispatch.Dispatcher
	outbox     *delivery.Outbox
	deliveries *delivery.Dispatcher
	*delivery.Redeliverer

	metrics *metrics.Node

	// admission is held for reading by each submit, and taken by the drain: what was
	// admitted has its goroutine before the drain waits for all of them.
	admission sync.RWMutex
	recovered atomic.Bool // the start is over: jobs may be claimed on insert
	draining  atomic.Bool

	// group owns the goroutine of each attempt and each try.
	group *errgroup.Group

	// calls is the parent of provider calls and sends. It ends with dispatch.ErrDrain when
	// the drain's time is over.
	calls    context.Context
	endCalls context.CancelCauseFunc
}

// New makes a node. Its id is new at each start.
func New(cfg Config) (*Node, error) {
	switch {
	case cfg.Store == nil:
		return nil, errors.New("node: Store is required")
	case cfg.Guard == nil || cfg.Sender == nil:
		return nil, errors.New("node: Guard and Sender are required")
	case len(cfg.Secrets) == 0:
		return nil, errors.New("node: Secrets are required")
	}
	cfg.Concurrency = cmp.Or(cfg.Concurrency, 256)
	cfg.Retention = cfg.Retention.WithDefaults()
	cfg.DefaultModel = cmp.Or(cfg.DefaultModel, defaultModel)
	cfg.MaxQueued = cmp.Or(cfg.MaxQueued, 1_000_000)
	cfg.DiskReserve = cmp.Or(cfg.DiskReserve, 512<<20)
	cfg.DrainTimeout = cmp.Or(cfg.DrainTimeout, 20*time.Second)
	cfg.RetryDelay = cmp.Or(cfg.RetryDelay, 5*time.Second)
	cfg.ProviderHeaders = slices.Concat(provider.HeaderNames, cfg.ProviderHeaders)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Schedule == nil {
		cfg.Schedule = webhook.NewSchedule(webhook.ScheduleConfig{})
	}
	n := &Node{
		cfg:    cfg,
		clock:  new(clock.Clock),
		store:  cfg.Store,
		memory: memory.NewPools(cfg.Memory, cfg.Concurrency),
		group:  new(errgroup.Group),
	}
	n.tokens = live.NewTokens(live.TokensConfig{SigningKey: cfg.Store.SigningKey, Clock: n.clock, PublicURL: cfg.PublicURL})
	n.calls, n.endCalls = context.WithCancelCause(context.Background())
	n.nodeHandler = newNodeHandler(cfg.Logger.Handler(), "")
	n.log = slog.New(n.nodeHandler)
	n.metrics = metrics.NewNode(cfg.Metrics)
	n.initSupervisor()
	n.initDelivery()
	n.initDispatch()
	n.initIntake()
	if err := n.initCluster(); err != nil {
		return nil, err
	}
	n.initLive()
	n.initReading()
	if cfg.Metrics != nil {
		if err := cfg.Metrics.Register(metrics.ReadGauges(n.readGauges)); err != nil {
			return nil, err
		}
	}
	n.disk.Check()
	return n, nil
}

// initSupervisor makes what keeps the node's loops going.
func (n *Node) initSupervisor() {
	n.disk = supervise.NewDisk(supervise.DiskConfig{
		Dir: n.cfg.DataDir, Reserve: n.cfg.DiskReserve, Logger: n.log, Freed: func() { n.jobs.Wake() },
	})
	n.supervisor = supervise.New(supervise.Config{
		Logger: n.log, Clock: n.clock, Disk: n.disk, Panics: n.metrics.Panics, Shortages: n.metrics.Shortages,
		RetryDelay: n.cfg.RetryDelay, Quarantine: func(j store.Job) store.Outcome { return n.jobs.Quarantine(j) },
		NoLease: func(err error) bool { return n.members.NoLease(err) },
	})
	n.refuser = refusal.New(n.log, n.metrics.Intake.Rejected, n.disk)
}

// Run joins the nodes of the store, takes back what a process that died left behind,
// then runs jobs until ctx is done, then drains. It returns when everything has
// stopped. Run it once.
func (n *Node) Run(ctx context.Context) error {
	if err := n.members.Join(ctx); err != nil {
		return errors.Join(unlessOver(ctx, err), n.drain())
	}
	n.store.Watch(n.onSignal)
	member, end := context.WithCancel(context.WithoutCancel(ctx)) // it stays a member while it drains
	defer end()
	var staying errgroup.Group
	for _, loop := range []func(context.Context) error{n.members.Renew, n.reconciler.Run, n.watching.WatchEnds, n.watching.WatchBegins} {
		staying.Go(func() error { return loop(member) })
	}
	err := n.recover(ctx)
	if err == nil {
		n.recovered.Store(true)
		err = n.run(ctx)
	}
	err = errors.Join(unlessOver(ctx, err), n.drain())
	end()
	return errors.Join(err, staying.Wait(), n.members.Leave())
}

// unlessOver returns err, unless it may be only the end of ctx.
func unlessOver(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return nil
}

// run runs jobs until ctx is done.
func (n *Node) run(ctx context.Context) error {
	loops, ctx := errgroup.WithContext(ctx)
	all := []func(context.Context) error{n.sweeper.Run, n.expire, n.holds.Run, n.prune}
	if n.cfg.Roles.Has(Worker) {
		all = append(all, n.jobs.Run, n.deliveries.Run)
	}
	for _, loop := range all {
		loops.Go(func() error { return loop(ctx) })
	}
	return loops.Wait()
}
