package delivery

import (
	"context"
	"slices"
	"time"

	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/supervise"
)

// maxClaim is how many deliveries one transaction claims: settles wait for it.
const maxClaim = 256

// permits are those for one claim, by host.
type permits map[store.Host][]*permit

// claim claims as many waiting deliveries as there is room for, and begins to send them. It
// returns when time alone may make more room.
func (d *Dispatcher) claim(ctx context.Context, now time.Time) (next time.Time, err error) {
	s := d.cfg.Session()
	if d.cfg.Draining() || d.cfg.Supervisor.Short() || !s.Leased() {
		return now.Add(supervise.Idle), nil
	}
	if d.cfg.Memory.Full() {
		return now.Add(10 * time.Millisecond), nil
	}
	w, err := d.store.DueDeliveries(ctx, now)
	if err != nil {
		return next, err
	}
	due, next := d.scheduler.order(w.Hosts), w.Next
	taken := permits{}
	requested, again, err := d.takeRedeliveries(ctx, now, taken)
	if err != nil {
		return next, err
	}
	next = earlier(earlier(next, again), d.take(due, taken, maxClaim-len(requested), now))
	return next, d.sendClaimed(ctx, s, taken, requested, now)
}

// take takes up to most permits for the deliveries that are due, one host in turn. It
// returns when time alone may make more room.
func (d *Dispatcher) take(due []store.HostWaiting, taken permits, most int, now time.Time) (next time.Time) {
	for len(due) > 0 && most > 0 {
		due = slices.DeleteFunc(due, func(h store.HostWaiting) bool {
			if len(taken[h.Host]) >= h.Count || most == 0 {
				return true
			}
			p := d.scheduler.take(h.Host)
			if p == nil {
				if at := d.clock.Shared(d.scheduler.next(h.Host)); at.After(now) {
					next = earlier(next, at)
				}
				return true
			}
			taken[h.Host] = append(taken[h.Host], p)
			most--
			return false
		})
	}
	return next
}

// sendClaimed claims the redeliveries, and a delivery for each further permit. It sends what
// it got, and gives the other permits back.
func (d *Dispatcher) sendClaimed(ctx context.Context, s Session, taken permits, redeliveries []store.DueRedelivery, now time.Time) error {
	if len(taken) == 0 {
		return nil
	}
	defer func() {
		for _, left := range taken {
			for _, p := range left {
				d.giveBack(p)
			}
		}
	}()
	d.requested.Store(new(time.Now()))
	defer d.requested.Store(nil)
	claimed, err := d.store.ClaimDeliveries(ctx, claimOf(s, taken, redeliveries, now))
	if err != nil {
		return err
	}
	d.metrics.Claims.Add(float64(len(claimed)))
	for _, row := range claimed {
		left := taken[row.Key()] // those with a slot first, for those that are due longest
		taken[row.Key()] = left[1:]
		d.inflight.enter(row.Ref())
		c := &Claim{dispatcher: d, delivery: row, permit: left[0], session: s, held: d.cfg.Memory.Grant()}
		c.Send()
	}
	d.Wake()
	return nil
}

// claimOf returns the claim that permits allow.
func claimOf(s Session, taken permits, redeliveries []store.DueRedelivery, now time.Time) store.ClaimHosts {
	claim := store.ClaimHosts{Node: s.ID(), Now: now}
	promised := map[store.Host]int{}
	for _, r := range redeliveries {
		claim.Redeliveries = append(claim.Redeliveries, r.ID)
		promised[r.Host]++
	}
	for h, p := range taken {
		if more := len(p) - promised[h]; more > 0 {
			claim.Hosts = append(claim.Hosts, store.HostWant{Host: h, N: more})
		}
	}
	return claim
}

// earlier returns the earlier of two times; a zero one does not count.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}
