package node

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/ringback/ringback/internal/backoff"
	"github.com/ringback/ringback/internal/store"
)

// session is the node under one id: from its Join until it is swept or stops. What is
// claimed under an id ends with it, so each claim remembers in which session it was
// made, and nothing that comes of a claim of a session that is over is begun.
type session struct {
	id string
	// calls governs the calls and sends of what was claimed under this id: ended
	// with errSwept, or by the node's drain.
	calls context.Context
	end   context.CancelCauseFunc

	mu            sync.Mutex // guards what follows, all of it in local time
	joined        time.Time  // when the Join that succeeded was asked for; zero before
	asked         time.Time  // when the last renewal was, from which the lease counts
	lasts         time.Duration
	shown         time.Time // the store's clock at the last renewal
	unbrokenSince time.Time // since when renewals have had no gap
	lost          time.Time // since when they fail; zero: they don't
	nodes         []store.Node
	peers         map[string]peer // the other nodes, until they are swept or long gone
	positions     []position
	late          bool // other workers lived when it joined
}

// errSwept ends the calls of a node of which another one has taken the lease away.
var errSwept = errors.New("the node was swept")

// errUnleased keeps a call from being begun whose lease ran out after the claim.
var errUnleased = errors.New("the node's lease has run out")

// leased tells whether the lease still stands: whether something may be claimed, or
// begun that is claimed. It goes by the monotonic clock, from when the last renewal
// was asked for.
func (l *session) leased() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.joined.IsZero() && l.calls.Err() == nil && (l.lasts == 0 || time.Since(l.asked) < l.lasts)
}

// renewed notes a renewal that was asked for then, or the Join.
func (l *session) renewed(asked time.Time, lease store.Lease) {
	l.mu.Lock()
	defer l.mu.Unlock()
	// A gap may show on either clock: this process was frozen, or the whole machine.
	gap := max(asked.Sub(l.asked), lease.Now.Sub(l.shown))
	if l.joined.IsZero() {
		l.joined, gap = asked, 0
		l.unbrokenSince = asked
	}
	if gap > gapOf(lease.Lasts) {
		l.unbrokenSince = asked
	}
	l.asked, l.shown, l.lasts, l.lost, l.nodes = asked, lease.Now, lease.Lasts, time.Time{}, lease.Nodes
	l.meet(lease)
	l.stand(time.Now())
}

// peer is another node, as renewals have shown it.
type peer struct {
	until   time.Time // its lease, on the store's clock
	renewed bool      // it renewed while this node lived
}

// meet notes the other nodes that a renewal shows. The caller holds the lock.
func (l *session) meet(lease store.Lease) {
	if l.peers == nil {
		l.peers = map[string]peer{}
	}
	for _, other := range lease.Nodes {
		if other.ID == l.id {
			continue
		}
		p, known := l.peers[other.ID]
		l.peers[other.ID] = peer{other.ExpiresAt, p.renewed || known && other.ExpiresAt.After(p.until)}
	}
	for id, p := range l.peers {
		if lease.Now.Sub(p.until) > 2*lease.Lasts {
			delete(l.peers, id)
		}
	}
}

// workedBeside reports whether another node has worked while this one did. One that died
// before this one started has not: this may be its successor.
func (l *session) workedBeside(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.peers[id].renewed
}

// outlived notes nodes that were swept. Their ids do not come back, so that this node's
// part of the limits grows at once.
func (l *session) outlived(ids []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	left := slices.DeleteFunc(slices.Clone(l.nodes), func(n store.Node) bool { return slices.Contains(ids, n.ID) })
	if len(left) == len(l.nodes) {
		return
	}
	l.nodes = left
	l.stand(time.Now())
	l.positions = l.positions[len(l.positions)-1:]
}

// failed notes a renewal that failed.
func (l *session) failed(asked time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lost.IsZero() {
		l.lost = asked
	}
}

// gapOf is from what time between two renewals on there was a gap: two have failed.
// What meets all nodes for a shorter time costs nobody its lease.
func gapOf(lasts time.Duration) time.Duration { return lasts / 2 }

// mayEvict reports whether this node may take away others' leases: it has renewed its
// own for a whole lease's time without a gap, up to now. So after an outage that met
// all nodes each has had its chance to renew before the first is swept.
func (l *session) mayEvict() bool {
	if !l.leased() {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Since(l.unbrokenSince) >= l.lasts && (l.lasts == 0 || time.Since(l.asked) <= gapOf(l.lasts))
}

// period is the time between two renewals; 0 where the lease lasts as long as the
// process.
func (l *session) period() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lasts / 4
}

// every is the time between two looks at what other nodes may have changed.
func (l *session) every(alone time.Duration) time.Duration {
	if p := l.period(); p > 0 {
		return p
	}
	return alone
}

// hasPeers reports whether other nodes may be about.
func (l *session) hasPeers() bool { return l.period() > 0 }

// nextRenewal is when to renew; never, the zero time, where the lease lasts as long
// as the process.
func (l *session) nextRenewal() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.lasts == 0:
		return time.Time{}
	case !l.lost.IsZero():
		return time.Now().Add(backoff.Jitter(l.lasts/16, backoff.Half))
	default:
		return l.asked.Add(l.lasts / 4)
	}
}

// isMember tells whether the id has ever had a lease.
func (l *session) isMember() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.joined.IsZero()
}

// alive is how many nodes live.
func (l *session) alive() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.nodes)
}

// age is for how long the lease was not renewed.
func (l *session) age() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lasts == 0 {
		return 0
	}
	return time.Since(l.asked)
}

// begun tells whether the id has been used for a Join.
func (l *session) begun() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.joined.IsZero() || l.calls.Err() != nil
}
