package delivery

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/errgroup"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/clock"
	"github.com/ringback/ringback/internal/limit"
	"github.com/ringback/ringback/internal/memory"
	"github.com/ringback/ringback/internal/metrics"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/supervise"
	"github.com/ringback/ringback/internal/webhook"
)

// Store is what a dispatcher needs of the store.
type Store interface {
	DueDeliveries(ctx context.Context, now time.Time) (store.DueDeliveries, error)
	Redeliveries(ctx context.Context, now time.Time, limit int) ([]store.DueRedelivery, error)
	ClaimDeliveries(ctx context.Context, c store.ClaimHosts) ([]store.Delivery, error)
	SettleDelivery(ctx context.Context, ref store.Ref, s store.TryEnd) (store.Delivery, error)
	ExpireDeliveries(ctx context.Context, before, now time.Time, limit int) ([]store.Delivery, error)
	Payloads
}

// Payloads reads what deliveries send.
type Payloads interface {
	Payload(ctx context.Context, id uuid.UUID) (store.Payload, error)
	store.Blobs
}

// Session is what a claim remembers of the session in which it was made.
type Session interface {
	ID() string
	// Leased reports whether what was claimed may still be sent.
	Leased() bool
	// Context governs the sends of what was claimed.
	Context() context.Context
}

// Config configures a dispatcher. All fields but Tracer and HostGate are required.
type Config struct {
	Store      Store
	Outbox     *Outbox
	Clock      *clock.Clock
	Supervisor *supervise.Supervisor
	Logger     *slog.Logger
	Metrics    metrics.Delivery
	Pushes     metrics.Pushes
	Tracer     trace.Tracer // nil: no spans
	// Session returns the node's present session.
	Session func() Session
	// Group owns the goroutine of each try.
	Group *errgroup.Group
	// Calls is the parent of each session's context. It ends when the drain's time is over.
	Calls context.Context
	// Worker is set if the node sends webhooks.
	Worker bool
	// Draining reports whether the node stops.
	Draining func() bool

	Sender   *webhook.Sender
	Secrets  []ringback.Secret
	Schedule *webhook.Schedule
	// HostGate tunes the holds and breakers of hosts. Its Slots and PerMinute are ignored.
	HostGate limit.Config
	// Memory is for the bodies of webhooks that are being sent.
	Memory *memory.Pool
}

// Dispatcher sends the deliveries that wait in the store, and webhooks while jobs run.
type Dispatcher struct {
	cfg       Config
	store     Store
	clock     *clock.Clock
	log       *slog.Logger
	metrics   metrics.Delivery
	scheduler scheduler
	inflight  inflight
	holdLog   limit.HoldLog[store.Host]
	wake      chan struct{} // has capacity 1: something may be claimed

	// requested is when the claim in progress was requested; nil if there is none.
	requested atomic.Pointer[time.Time]

	redeliveries redeliveries
}

// New returns a dispatcher.
func New(cfg Config) *Dispatcher {
	d := &Dispatcher{
		cfg: cfg, store: cfg.Store, clock: cfg.Clock, log: cfg.Logger, metrics: cfg.Metrics,
		wake: make(chan struct{}, 1),
	}
	d.scheduler.init(cfg.HostGate)
	return d
}

// Run claims and sends what waits until ctx is done. The tries that it began go on.
func (d *Dispatcher) Run(ctx context.Context) error {
	return d.cfg.Supervisor.Dispatch(ctx, "claim deliveries", d.wake, d.claim)
}

// Wake looks for deliveries now. It does not block.
func (d *Dispatcher) Wake() { supervise.Wake(d.wake) }

// Has reports whether a claim is known here.
func (d *Dispatcher) Has(claim store.Ref) bool { return d.inflight.has(claim) }

// ClaimingSince returns when the claim in progress was requested; the zero time if there is
// none.
func (d *Dispatcher) ClaimingSince() time.Time {
	if at := d.requested.Load(); at != nil {
		return *at
	}
	return time.Time{}
}

// expireBatch is how many deliveries one transaction expires.
const expireBatch = 100

// Expire makes dead letters of the deliveries that have waited too long.
func (d *Dispatcher) Expire(ctx context.Context, now time.Time) error {
	lifetime := d.cfg.Schedule.End(now).Sub(now)
	for {
		dead, err := d.store.ExpireDeliveries(ctx, now.Add(-lifetime), now, expireBatch)
		if err != nil {
			return err
		}
		for _, row := range dead {
			d.recordExpired(&row)
		}
		if len(dead) < expireBatch {
			return nil
		}
	}
}

// Tidy forgets the hosts that nothing was sent to for a long time.
func (d *Dispatcher) Tidy() { d.scheduler.tidy() }
