package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/time/rate"

	"github.com/ringback/ringback/internal/backoff"
	"github.com/ringback/ringback/internal/store"
)

const (
	channel = "ringback"
	// A process notifies the others at most signalsASecond times in the long run: each
	// notification takes a lock that all notifying commits of the database share.
	signalsASecond = 30
	signalBurst    = 15
	// pollEvery is how often it polls if it can't listen.
	pollEvery = time.Second
	// everything is all that may have happened while it did not listen.
	everything = store.SignalJobs | store.SignalDeliveries | store.SignalEnded | store.SignalCancel | store.SignalHolds | store.SignalNodes
)

// signals sends and receives notifications. Unread ones are lost, which is fine for hints.
type signals struct {
	store *Store
	// alone means that no other process had a lease at the last check: there is nobody to
	// notify. (A process that joins announces itself, and polls until it has been noticed.)
	alone atomic.Bool

	mu     sync.Mutex
	raised store.Signal // not sent yet
	watch  func(store.Signal)
	wake   chan struct{} // capacity 1: something has been raised
}

func newSignals(s *Store) *signals { return &signals{store: s, wake: make(chan struct{}, 1)} }

// Watch implements store.Signals.
func (s *Store) Watch(f func(store.Signal)) {
	s.signals.mu.Lock()
	defer s.signals.mu.Unlock()
	s.signals.watch = f
}

// signals notifies the other processes, once the transaction is committed.
func (t *tx) signals(what store.Signal) {
	t.after(func() { t.store.signals.raise(what) })
}

func (g *signals) raise(what store.Signal) {
	if g.alone.Load() && what&store.SignalNodes == 0 {
		return
	}
	g.mu.Lock()
	g.raised |= what
	g.mu.Unlock()
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

func (g *signals) take() (what store.Signal) {
	g.mu.Lock()
	defer g.mu.Unlock()
	what, g.raised = g.raised, 0
	return what
}

// send notifies the others, at once as long as there is little to send.
func (g *signals) send(ctx context.Context) {
	pace := rate.NewLimiter(signalsASecond, signalBurst)
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.wake:
		}
		if what := g.take(); what != 0 {
			// An error means that the server is down: the others will notice too.
			_ = g.notify(ctx, what)
		}
		if pace.Wait(ctx) != nil {
			return
		}
	}
}

func (g *signals) notify(ctx context.Context, what store.Signal) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	_, err := g.store.reads.Exec(ctx, `SELECT pg_notify($1, $2)`, channel, fmt.Sprintf("%s %d", g.store.writer.id, what))
	return err
}

// listen receives the signals of other processes and, after each gap, assumes that
// everything has moved.
func (g *signals) listen(ctx context.Context) {
	if g.store.dial.direct == nil {
		g.store.log.Warn("the database is reached through a pooler, so other nodes are not heard at once: each looks once a second; a direct database URL mends that")
		g.poll(ctx)
		return
	}
	for ctx.Err() == nil {
		err := g.receive(ctx)
		if ctx.Err() == nil {
			g.store.log.Debug("not listening to other nodes", "err", err)
			backoff.Sleep(ctx, backoff.Jitter(pollEvery, backoff.Half))
		}
	}
}

func (g *signals) receive(ctx context.Context) error {
	conn, err := g.store.dial.dial(ctx, g.store.dial.direct)
	if err != nil {
		return err
	}
	defer closeConn(conn)
	if _, err := conn.Exec(ctx, "LISTEN "+channel, pgx.QueryExecModeSimpleProtocol); err != nil {
		return err
	}
	g.onSignal(everything)
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		g.onSignal(g.read(n))
	}
}

// read parses a notification; 0 if it is from this process, or not one of ours.
func (g *signals) read(n *pgconn.Notification) store.Signal {
	from, what, _ := strings.Cut(n.Payload, " ")
	mask, err := strconv.ParseUint(what, 10, 8)
	if err != nil || from == g.store.writer.id.String() {
		return 0
	}
	return store.Signal(mask)
}

func (g *signals) onSignal(what store.Signal) {
	if what == 0 {
		return
	}
	if what&store.SignalNodes != 0 {
		g.alone.Store(false)
	}
	g.store.waiting.onSignal(what)
	g.mu.Lock()
	watch := g.watch
	g.mu.Unlock()
	if watch != nil {
		watch(what)
	}
}

func (g *signals) poll(ctx context.Context) {
	for backoff.Sleep(ctx, pollEvery) {
		g.onSignal(everything &^ store.SignalNodes)
	}
}
