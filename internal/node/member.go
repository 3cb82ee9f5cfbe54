package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ringback/ringback/internal/store"
)

// life is the node under one id: from its Join until it is swept or stops. What is
// claimed under an id ends with it, so each claim remembers in which life it was
// made, and nothing that comes of a claim of a life that is over is begun.
type life struct {
	id string
	// calls governs the calls and sends of what was claimed under this id: ended
	// with errSwept, or by the node's drain.
	calls context.Context
	end   context.CancelCauseFunc

	mu     sync.Mutex // guards what follows, all of it in local time
	joined time.Time  // when the Join that succeeded was asked for; zero before
	asked  time.Time  // when the last renewal was, from which the lease counts
	lasts  time.Duration
	shown  time.Time // the store's clock at the last renewal
	whole  time.Time // since when renewals have had no gap
	lost   time.Time // since when they fail; zero: they don't
	nodes  []store.Node
	places []place
	late   bool // other workers lived when it joined
}

// errSwept ends the calls of a node of which another one has taken the lease away.
var errSwept = errors.New("the node was swept")

// errUnleased keeps a call from being begun whose lease ran out after the claim.
var errUnleased = errors.New("the node's lease has run out")

// newLife makes an id that has not joined yet.
func (n *Node) newLife() (*life, error) {
	id, err := n.newID()
	if err != nil {
		return nil, err
	}
	l := &life{id: id.String()}
	l.calls, l.end = context.WithCancelCause(n.calls)
	return l, nil
}

// ID of this node: a new one at each start, and after it was swept.
func (n *Node) ID() string { return n.life.Load().id }

// leased tells whether the lease still stands: whether something may be claimed, or
// begun that is claimed. It goes by the monotonic clock, from when the last renewal
// was asked for.
func (l *life) leased() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.joined.IsZero() && l.calls.Err() == nil && (l.lasts == 0 || time.Since(l.asked) < l.lasts)
}

// leased tells whether this node may claim, or begin what it has claimed.
func (n *Node) leased() bool { return n.life.Load().leased() }

// renewed notes a renewal that was asked for then, or the Join.
func (l *life) renewed(asked time.Time, lease store.Lease) {
	l.mu.Lock()
	defer l.mu.Unlock()
	// A gap may show on either clock: this process was frozen, or the whole machine.
	gap := max(asked.Sub(l.asked), lease.Now.Sub(l.shown))
	if l.joined.IsZero() {
		l.joined, gap = asked, 0
		l.whole = asked
	}
	if gap > lease.Lasts/2 {
		l.whole = asked
	}
	l.asked, l.shown, l.lasts, l.lost, l.nodes = asked, lease.Now, lease.Lasts, time.Time{}, lease.Nodes
	l.stand(time.Now())
}

// failed notes a renewal that failed.
func (l *life) failed(asked time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lost.IsZero() {
		l.lost = asked
	}
}

// mayJudge tells whether this node may take away others' leases: it has renewed its
// own for a whole lease's time without a gap. So after an outage that met all nodes
// each has had its chance to renew before the first is swept.
func (l *life) mayJudge() bool {
	if !l.leased() {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Since(l.whole) >= l.lasts
}

// period is the time between two renewals; 0 where the lease lasts as long as the
// process.
func (l *life) period() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lasts / 4
}

// every is the time between two looks at what other nodes may have changed.
func (l *life) every(alone time.Duration) time.Duration {
	if p := l.period(); p > 0 {
		return p
	}
	return alone
}

// shared tells whether other nodes may be about.
func (l *life) shared() bool { return l.period() > 0 }

// joinFor bounds one call of the store about a lease that lasts as long as the
// process.
const joinFor = 10 * time.Second

// join gives the node a lease under a new id. While the store can't be reached it
// goes on trying until ctx is done.
func (n *Node) join(ctx context.Context) error {
	return n.insist(ctx, "join", func() error {
		l := n.life.Load()
		if l.begun() { // an id is used once, also where nobody knows what became of its Join
			var err error
			if l, err = n.newLife(); err != nil {
				return err
			}
		}
		limited, cancel := context.WithTimeout(ctx, joinFor)
		defer cancel()
		asked := time.Now()
		lease, err := n.store.Join(limited, store.Node{
			ID: l.id, Machine: n.cfg.Machine, Version: n.cfg.Version, API: n.is(API), Worker: n.is(Worker),
		})
		if err != nil {
			l.end(errSwept)
			return fmt.Errorf("join: %w", err)
		}
		n.renewed(l, asked, lease)
		return nil
	})
}

// isMember tells whether the id has ever had a lease.
func (l *life) isMember() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.joined.IsZero()
}

// alive is how many nodes live.
func (l *life) alive() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.nodes)
}

// age is for how long the lease was not renewed.
func (l *life) age() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lasts == 0 {
		return 0
	}
	return time.Since(l.asked)
}

// begun tells whether the id has been used for a Join.
func (l *life) begun() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.joined.IsZero() || l.calls.Err() != nil
}

// renew renews the lease until ctx is done. Nothing else is done here, so that
// nothing holds it up.
func (n *Node) renew(ctx context.Context) error {
	for n.renewalDue(ctx) {
		l := n.life.Load()
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
			if !n.swept(ctx, l) {
				return nil
			}
		case n.outOfReach(stepRenew, err):
			l.failed(asked)
		case err != nil:
			l.failed(asked)
			n.log.Error("lease not renewed", "err", err)
		default:
			n.renewed(l, asked, lease)
		}
	}
	return nil
}

// noLease tells whether err says that the store knows of no lease. The next renewal,
// now, finds out why.
func (n *Node) noLease(err error) bool {
	lost := errors.Is(err, store.ErrNoLease) || errors.Is(err, store.ErrSwept)
	if lost {
		poke(n.wakeMember)
	}
	return lost
}

// stepRenew is the step that is out of reach where the lease can't be renewed.
const stepRenew = "renew the lease"

// renewalDue waits until a renewal is due; false when ctx is done.
func (n *Node) renewalDue(ctx context.Context) bool {
	var due <-chan time.Time
	if at := n.life.Load().nextRenewal(); !at.IsZero() {
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

// nextRenewal is when to renew; never, the zero time, where the lease lasts as long
// as the process.
func (l *life) nextRenewal() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.lasts == 0:
		return time.Time{}
	case !l.lost.IsZero():
		return time.Now().Add(jitter(l.lasts / 16))
	default:
		return l.asked.Add(l.lasts / 4)
	}
}

// renewed takes over what a renewal brings: the lease, the time, and who else lives.
func (n *Node) renewed(l *life, asked time.Time, lease store.Lease) {
	back := !l.leased()
	n.learn(asked, time.Now(), lease.Now)
	l.renewed(asked, lease)
	n.reached()
	if n.life.Swap(l) != l {
		n.lines.name(l.id)
	}
	if more := n.jobs.share(l); more || back {
		poke(n.wakeJobs)
		poke(n.wakeDeliveries)
	}
}

// swept ends what runs under an id of which the lease was taken away: whatever it
// would settle has moved on. The node goes on under a new one, unless it drains.
func (n *Node) swept(ctx context.Context, l *life) (goesOn bool) {
	if l.calls.Err() == nil {
		n.log.Error("this node was swept, since it did not renew its lease in time: what it did since is void", "calls_broken_off", n.running.count())
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
		sleep(ctx, jitter(idleLook)) // the next renewal finds again that this life is over
	}
	return true
}
