package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ringback/ringback/internal/backoff"
	"github.com/ringback/ringback/internal/store"
)

// newLife makes an id that has not joined yet.
func (n *Node) newSession() (*session, error) {
	id, err := n.clock.NewID()
	if err != nil {
		return nil, err
	}
	l := &session{id: id.String()}
	l.calls, l.end = context.WithCancelCause(n.calls)
	return l, nil
}

// ID of this node: a new one at each start, and after it was swept.
func (n *Node) ID() string { return n.session.Load().id }

// leased tells whether this node may claim, or begin what it has claimed.
func (n *Node) leased() bool { return n.session.Load().leased() }

// joinFor bounds one call of the store about a lease that lasts as long as the
// process.
const joinFor = 10 * time.Second

// join gives the node a lease under a new id. While the store can't be reached it
// goes on trying until ctx is done.
func (n *Node) join(ctx context.Context) error {
	return n.retryUntil(ctx, "join", func() error {
		l := n.session.Load()
		if l.begun() { // an id is used once, also where nobody knows what became of its Join
			var err error
			if l, err = n.newSession(); err != nil {
				return err
			}
		}
		limited, cancel := context.WithTimeout(ctx, joinFor)
		defer cancel()
		if err := n.learnKey(limited); err != nil {
			return err
		}
		asked := time.Now()
		lease, err := n.store.Join(limited, store.Node{
			ID: l.id, Machine: n.cfg.Machine, Version: n.cfg.Version, URL: n.cfg.URL, API: n.is(API), Worker: n.is(Worker),
		})
		if err != nil {
			l.end(errSwept)
			return fmt.Errorf("join: %w", err)
		}
		n.renewed(l, asked, lease)
		return nil
	})
}

// renew renews the lease until ctx is done. Nothing else is done here, so that
// nothing holds it up.
func (n *Node) renew(ctx context.Context) error {
	for goesOn := true; goesOn && n.renewalDue(ctx); {
		err := n.guarded(stepRenew, func() error {
			goesOn = n.renewOnce(ctx)
			return nil
		})
		if err != nil {
			backoff.Sleep(ctx, backoff.Jitter(idleLook, backoff.Half))
		}
	}
	return nil
}

// renewOnce renews the lease; false if the node has none any more, and wants none.
func (n *Node) renewOnce(ctx context.Context) (goesOn bool) {
	l := n.session.Load()
	limited, cancel := context.WithTimeout(ctx, l.every(joinFor))
	asked := time.Now()
	lease, err := n.store.Renew(limited, l.id)
	cancel()
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		err = errors.Join(store.ErrUnavailable, err)
	}
	switch {
	case ctx.Err() != nil:
	case errors.Is(err, store.ErrSwept):
		return n.swept(ctx, l)
	case n.outOfReach(stepRenew, err):
		l.failed(asked)
	case err != nil:
		l.failed(asked)
		n.log.Error("lease not renewed", "err", err)
	default:
		n.renewed(l, asked, lease)
	}
	return true
}

// noLease tells whether err says that the store knows of no lease. The next renewal,
// now, finds out why.
func (n *Node) noLease(err error) bool {
	lost := errors.Is(err, store.ErrNoLease) || errors.Is(err, store.ErrSwept)
	if lost {
		wake(n.wakeMember)
	}
	return lost
}

// stepRenew is the step that is out of reach where the lease can't be renewed.
const stepRenew = "renew the lease"

// renewalDue waits until a renewal is due; false when ctx is done.
func (n *Node) renewalDue(ctx context.Context) bool {
	var due <-chan time.Time
	if at := n.session.Load().nextRenewal(); !at.IsZero() {
		timer := time.NewTimer(time.Until(at))
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-due:
		return true
	case <-n.wakeMember:
		return true
	case <-ctx.Done():
		return false
	}
}

// renewed takes over what a renewal brings: the lease, the time, and who else lives.
func (n *Node) renewed(l *session, asked time.Time, lease store.Lease) {
	back := !l.leased()
	n.clock.Learn(asked, time.Now(), lease.Now)
	l.renewed(asked, lease)
	n.reached()
	if n.session.Swap(l) != l {
		n.nodeHandler.name(l.id)
	}
	if more := n.jobs.takeParts(l); more || back {
		wake(n.wakeJobs)
		wake(n.wakeDeliveries)
	}
}

// swept ends what runs under an id of which the lease was taken away: whatever it
// would settle has moved on. The node goes on under a new one, unless it drains.
func (n *Node) swept(ctx context.Context, l *session) (goesOn bool) {
	if l.calls.Err() == nil {
		n.log.Error("this node was swept, since it did not renew its lease in time: what it did since is void", "calls_broken_off", n.inflight.count())
	}
	l.end(errSwept)
	if n.draining.Load() {
		return false
	}
	err := n.join(ctx)
	switch {
	case err == nil:
		n.log.Info("the node goes on under a new id", "former", l.id)
	case ctx.Err() == nil:
		n.log.Error("node not joined again", "err", err)
		backoff.Sleep(ctx, backoff.Jitter(idleLook, backoff.Half)) // the next renewal finds again that this life is over
	}
	return true
}
