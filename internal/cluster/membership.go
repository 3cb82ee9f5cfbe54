package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/ringback/ringback/internal/backoff"
	"github.com/ringback/ringback/internal/clock"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/supervise"
)

// Leases is the part of the store that a membership needs.
type Leases interface {
	Join(ctx context.Context, n store.Node) (store.Lease, error)
	Renew(ctx context.Context, id string) (store.Lease, error)
	Leave(ctx context.Context, id string) error
}

// MembershipConfig configures a membership. All fields are required.
type MembershipConfig struct {
	Leases     Leases
	Clock      *clock.Clock
	Supervisor *supervise.Supervisor
	Logger     *slog.Logger
	// Self describes the node, without its ID.
	Self store.Node
	// Calls is the parent of each session's context.
	Calls context.Context
	// Prepare is called before each Join; if it fails, so does the Join.
	Prepare func(context.Context) error
	// Renewed is called after each renewal, in the goroutine that renews. back means that
	// the session had no valid lease before.
	Renewed func(s *Session, back bool)
	// Draining reports whether the node is stopping: then it does not join again once
	// swept.
	Draining func() bool
	// InFlight returns how many calls are running, for the log.
	InFlight func() int
}

// Membership keeps a node a member of the cluster. It owns the present session.
type Membership struct {
	cfg     MembershipConfig
	log     *slog.Logger
	session atomic.Pointer[Session]
	wake    chan struct{} // has capacity 1: the nodes have changed
}

const (
	// joinFor bounds one request to the store about a lease that lasts as long as the
	// process.
	joinFor = 10 * time.Second
	// leaveFor bounds the last request of a stopping node to a store that may be gone.
	leaveFor = 10 * time.Second
	// idleLook is the pause after a step that failed for no known reason.
	idleLook = time.Second
	// stepRenew is the step that fails while the lease can't be renewed.
	stepRenew = "renew the lease"
)

// NewMembership returns a membership whose session has an id but has not joined.
func NewMembership(cfg MembershipConfig) (*Membership, error) {
	m := &Membership{cfg: cfg, log: cfg.Logger, wake: make(chan struct{}, 1)}
	first, err := m.newSession()
	if err != nil {
		return nil, err
	}
	m.session.Store(first)
	return m, nil
}

// newSession returns a session under a new id that has not joined.
func (m *Membership) newSession() (*Session, error) {
	id, err := m.cfg.Clock.NewID()
	if err != nil {
		return nil, err
	}
	s := &Session{id: id.String()}
	s.calls, s.end = context.WithCancelCause(m.cfg.Calls)
	return s, nil
}

// Session returns the present session. There is always one, though it may not have joined,
// or may be over.
func (m *Membership) Session() *Session { return m.session.Load() }

// Wake renews the lease now: the nodes have changed, or the lease is in doubt. It does not
// block.
func (m *Membership) Wake() { supervise.Wake(m.wake) }

// NoLease reports whether err means that the store knows no lease of this node. It starts a
// renewal, which finds out why.
func (m *Membership) NoLease(err error) bool {
	lost := errors.Is(err, store.ErrNoLease) || errors.Is(err, store.ErrSwept)
	if lost {
		m.Wake()
	}
	return lost
}

// Join gives the node a lease under a new id. While the store can't be reached, it retries
// until ctx is done.
func (m *Membership) Join(ctx context.Context) error {
	return m.cfg.Supervisor.RetryUntil(ctx, "join", func() error {
		s := m.Session()
		if s.begun() { // an id is used once, even if the outcome of its Join is unknown
			var err error
			if s, err = m.newSession(); err != nil {
				return err
			}
		}
		return m.joinAs(ctx, s)
	})
}

func (m *Membership) joinAs(ctx context.Context, s *Session) error {
	limited, cancel := context.WithTimeout(ctx, joinFor)
	defer cancel()
	if err := m.cfg.Prepare(limited); err != nil {
		return err
	}
	self := m.cfg.Self
	self.ID = s.id
	asked := time.Now()
	lease, err := m.cfg.Leases.Join(limited, self)
	if err != nil {
		s.end(ErrSwept)
		return fmt.Errorf("join: %w", err)
	}
	m.renewed(s, asked, lease)
	return nil
}

// Renew renews the lease until ctx is done. This loop does nothing else, so nothing delays
// it.
func (m *Membership) Renew(ctx context.Context) error {
	for goesOn := true; goesOn && m.renewalDue(ctx); {
		err := m.cfg.Supervisor.Guarded(stepRenew, func() error {
			goesOn = m.renewOnce(ctx)
			return nil
		})
		if err != nil {
			backoff.Sleep(ctx, backoff.Jitter(idleLook, backoff.Half))
		}
	}
	return nil
}

// renewOnce renews the lease. It returns false if the node has none anymore and wants none.
func (m *Membership) renewOnce(ctx context.Context) (goesOn bool) {
	s := m.Session()
	limited, cancel := context.WithTimeout(ctx, s.Every(joinFor))
	asked := time.Now()
	lease, err := m.cfg.Leases.Renew(limited, s.id)
	cancel()
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		err = errors.Join(store.ErrUnavailable, err)
	}
	switch {
	case ctx.Err() != nil:
	case errors.Is(err, store.ErrSwept):
		return m.swept(ctx, s)
	case m.cfg.Supervisor.OutOfReach(stepRenew, err):
		s.failed(asked)
	case err != nil:
		s.failed(asked)
		m.log.Error("lease not renewed", "err", err)
	default:
		m.renewed(s, asked, lease)
	}
	return true
}

// renewalDue waits until a renewal is due. It returns false when ctx is done.
func (m *Membership) renewalDue(ctx context.Context) bool {
	var due <-chan time.Time
	if at := m.Session().nextRenewal(); !at.IsZero() {
		timer := time.NewTimer(time.Until(at))
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-due:
		return true
	case <-m.wake:
		return true
	case <-ctx.Done():
		return false
	}
}

// renewed applies the result of a renewal: the lease, the time and the live nodes.
func (m *Membership) renewed(s *Session, asked time.Time, lease store.Lease) {
	back := !s.Leased()
	m.cfg.Clock.Learn(asked, time.Now(), lease.Now)
	s.renewed(asked, lease)
	m.cfg.Supervisor.Reached()
	m.session.Store(s)
	m.cfg.Renewed(s, back)
}

// swept ends what runs under an id whose lease was taken away: its jobs have moved on. The
// node continues under a new id, unless it is draining.
func (m *Membership) swept(ctx context.Context, s *Session) (goesOn bool) {
	if s.calls.Err() == nil {
		m.log.Error("this node was swept, since it did not renew its lease in time: what it did since is void", "calls_broken_off", m.cfg.InFlight())
	}
	s.end(ErrSwept)
	if m.cfg.Draining() {
		return false
	}
	err := m.Join(ctx)
	switch {
	case err == nil:
		m.log.Info("the node goes on under a new id", "former", s.id)
	case ctx.Err() == nil:
		m.log.Error("node not joined again", "err", err)
		backoff.Sleep(ctx, backoff.Jitter(idleLook, backoff.Half)) // the next renewal will also find that this session is over
	}
	return true
}

// Leave returns the lease, so that the others take over this node's part at once.
func (m *Membership) Leave() error {
	s := m.Session()
	ctx, cancel := context.WithTimeout(context.Background(), leaveFor)
	defer cancel()
	if err := m.cfg.Leases.Leave(ctx, s.id); err != nil {
		if s.HasPeers() {
			m.log.Warn("lease not given back: it runs out", "err", err)
			return nil
		}
		return fmt.Errorf("leave: %w", err)
	}
	return nil
}
