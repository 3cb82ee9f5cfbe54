package cluster

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/ringback/ringback/internal/backoff"
	"github.com/ringback/ringback/internal/store"
)

// Session is a node under one id: from its Join until it is swept or stops. Claims made
// under an id end with it, so each claim remembers its session, and nothing claimed in a
// session that is over is begun. It is safe for concurrent use.
type Session struct {
	id string
	// calls is the context of the calls and sends under this id. It ends with ErrSwept, or
	// when the node drains.
	calls context.Context
	end   context.CancelCauseFunc

	mu            sync.Mutex // guards what follows, all of it in local time
	joined        time.Time  // when the Join that succeeded was requested; zero before
	asked         time.Time  // when the last renewal was requested, from which the lease counts
	lasts         time.Duration
	shown         time.Time // the store's clock at the last renewal
	unbrokenSince time.Time // since when renewals have had no gap
	lost          time.Time // since when they fail; zero: they don't
	nodes         []store.Node
	peers         map[string]peer // the other nodes, until they are swept or long gone
	positions     []position
	late          bool // other workers were alive when it joined
}

// ErrSwept ends the calls of a node whose lease another one has taken away.
var ErrSwept = errors.New("the node was swept")

// ID returns the id of the node in this session. Ids sort by age.
func (s *Session) ID() string { return s.id }

// Context returns the context of the calls and sends of what was claimed in this session.
// It ends when the session is swept, or with the context of the node's calls.
func (s *Session) Context() context.Context { return s.calls }

// Leased reports whether the lease is still valid: whether anything may be claimed, or
// begun once claimed. It uses the monotonic clock, counted from the request for the last
// renewal.
func (s *Session) Leased() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.joined.IsZero() && s.calls.Err() == nil && (s.lasts == 0 || time.Since(s.asked) < s.lasts)
}

// renewed records a renewal requested at asked, or the Join.
func (s *Session) renewed(asked time.Time, lease store.Lease) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// A gap may show on either clock: this process was frozen, or the whole machine.
	gap := max(asked.Sub(s.asked), lease.Now.Sub(s.shown))
	if s.joined.IsZero() {
		s.joined, gap = asked, 0
		s.unbrokenSince = asked
	}
	if gap > gapOf(lease.Lasts) {
		s.unbrokenSince = asked
	}
	s.asked, s.shown, s.lasts, s.lost, s.nodes = asked, lease.Now, lease.Lasts, time.Time{}, lease.Nodes
	s.meet(lease)
	s.place(time.Now())
}

// peer is another node as renewals have shown it.
type peer struct {
	until   time.Time // its lease, on the store's clock
	renewed bool      // it renewed while this node lived
}

// meet records the other nodes that a renewal shows. The caller holds the lock.
func (s *Session) meet(lease store.Lease) {
	if s.peers == nil {
		s.peers = map[string]peer{}
	}
	for _, other := range lease.Nodes {
		if other.ID == s.id {
			continue
		}
		p, known := s.peers[other.ID]
		s.peers[other.ID] = peer{other.ExpiresAt, p.renewed || known && other.ExpiresAt.After(p.until)}
	}
	for id, p := range s.peers {
		if lease.Now.Sub(p.until) > 2*lease.Lasts {
			delete(s.peers, id)
		}
	}
}

// WorkedBeside reports whether another node was alive while this one was. One that died
// before this one started was not: this node may be its successor.
func (s *Session) WorkedBeside(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.peers[id].renewed
}

// Outlived records nodes that were swept. Their ids do not come back, so this node's part
// of the limits grows at once.
func (s *Session) Outlived(ids []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	left := slices.DeleteFunc(slices.Clone(s.nodes), func(n store.Node) bool { return slices.Contains(ids, n.ID) })
	if len(left) == len(s.nodes) {
		return
	}
	s.nodes = left
	s.place(time.Now())
	s.positions = s.positions[len(s.positions)-1:]
}

// failed records a failed renewal requested at asked.
func (s *Session) failed(asked time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lost.IsZero() {
		s.lost = asked
	}
}

// gapOf returns how long between two renewals counts as a gap: two have failed. A shorter
// outage of all nodes costs none of them its lease.
func gapOf(lasts time.Duration) time.Duration { return lasts / 2 }

// MayEvict reports whether this node may take leases away from others: it has renewed its
// own without a gap for the duration of a lease, up to now. So after an outage of all
// nodes, each has had its chance to renew before the first is swept.
func (s *Session) MayEvict() bool {
	if !s.Leased() {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Since(s.unbrokenSince) >= s.lasts && (s.lasts == 0 || time.Since(s.asked) <= gapOf(s.lasts))
}

// Period returns the time between two renewals; 0 if the lease lasts as long as the
// process.
func (s *Session) Period() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lasts / 4
}

// Every returns how often to check what other nodes may have changed: alone if there are no
// other nodes.
func (s *Session) Every(alone time.Duration) time.Duration {
	if p := s.Period(); p > 0 {
		return p
	}
	return alone
}

// HasPeers reports whether there may be other nodes.
func (s *Session) HasPeers() bool { return s.Period() > 0 }

// nextRenewal returns when to renew; the zero time if the lease lasts as long as the
// process.
func (s *Session) nextRenewal() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.lasts == 0:
		return time.Time{}
	case !s.lost.IsZero():
		return time.Now().Add(backoff.Jitter(s.lasts/16, backoff.Half))
	default:
		return s.asked.Add(s.lasts / 4)
	}
}

// IsMember reports whether the id has ever had a lease.
func (s *Session) IsMember() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.joined.IsZero()
}

// Alive returns how many nodes the last renewal showed.
func (s *Session) Alive() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.nodes)
}

// Age returns the time since the lease was renewed; 0 if it lasts as long as the process.
func (s *Session) Age() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lasts == 0 {
		return 0
	}
	return time.Since(s.asked)
}

// begun reports whether the id has been used for a Join.
func (s *Session) begun() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.joined.IsZero() || s.calls.Err() != nil
}

// Health is the state of a session's lease, in local time.
type Health struct {
	FailingSince time.Time // renewals have failed since then; zero: they don't
	ExpiresAt    time.Time // of the lease, if it is not renewed
	Swept        bool      // the session is over
}

// Health returns the state of the lease.
func (s *Session) Health() Health {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Health{s.lost, s.asked.Add(s.lasts), s.calls.Err() != nil}
}

// PeerURLs returns the URLs of the other live nodes that can be reached.
func (s *Session) PeerURLs() (urls []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.nodes {
		if n.ID != s.id && n.URL != "" {
			urls = append(urls, n.URL)
		}
	}
	return urls
}

// URLOf returns the URL of a live node, this one included; "" if it is not alive or can't be
// reached.
func (s *Session) URLOf(node string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.nodes, func(n store.Node) bool { return n.ID == node })
	if i < 0 {
		return ""
	}
	return s.nodes[i].URL
}

// soonest returns when the first lease of another node runs out, on the shared clock, as of
// the last renewal; the zero time if there is no other node.
func (s *Session) soonest() (at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, other := range s.nodes {
		if other.ID != s.id && (at.IsZero() || other.ExpiresAt.Before(at)) {
			at = other.ExpiresAt
		}
	}
	return at
}
