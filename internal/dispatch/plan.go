package dispatch

import (
	"cmp"
	"slices"
	"time"

	"github.com/ringback/ringback/internal/store"
)

// plan is what a claim asks for, with a permit for each job that it may return.
type plan struct {
	claim   store.ClaimJobs
	permits map[store.Lane][]*permit
}

// suspects is the key of the permit for suspect jobs.
var suspects = store.Lane{Project: "suspect"}

// plan deals free slots to the lanes in which something is due, one in turn, those that
// hold fewest first. next is when time alone may make more room.
func (d *Dispatcher) plan(w store.DueJobs, s Session, now time.Time) (p plan, next time.Time) {
	p = plan{claim: store.ClaimJobs{Node: s.ID()}, permits: map[store.Lane][]*permit{}}
	defer p.under(s)
	due, next := w.Lanes, w.Next
	d.scheduler.order(due)
	anyone := len(due) > 0
	for len(due) > 0 {
		due = slices.DeleteFunc(due, func(l store.LaneWaiting) bool {
			if len(p.permits[l.Lane]) >= l.Count {
				return true
			}
			permit := d.scheduler.takeWaiting(l.Lane)
			if permit == nil {
				if at := d.cfg.Clock.Shared(d.scheduler.next(l.Lane)); at.After(now) {
					next = earlier(next, at)
				}
				return true
			}
			p.permits[l.Lane] = append(p.permits[l.Lane], permit)
			return false
		})
	}
	for lane, permits := range p.permits {
		p.claim.Lanes = append(p.claim.Lanes, store.LaneWant{Lane: lane, N: len(permits)})
	}
	d.planSuspect(&p, w.Suspects, anyone, now)
	p.claim.Now = d.cfg.Clock.Now() // after the permits: an attempt begins when the one that had its permit has ended
	return p, next
}

// SuspectPatience is how long a suspect job is put behind all others.
const SuspectPatience = time.Minute

// planSuspect lets one suspect job start, when nothing else is due or it has waited long
// enough. Its lane is known only when it is claimed, so it takes the permits of the gates
// then.
func (d *Dispatcher) planSuspect(p *plan, w store.LaneWaiting, othersDue bool, now time.Time) {
	if w.Count == 0 || (othersDue && now.Sub(w.Due) < SuspectPatience) {
		return
	}
	if t := d.scheduler.takeSuspect(); t != nil {
		p.claim.Suspects = 1
		p.permits[suspects] = []*permit{t}
	}
}

func (p *plan) permitFor(j store.Job) *permit {
	lane := j.Lane()
	if j.Suspect() {
		lane = suspects
	}
	permits := p.permits[lane]
	last := permits[len(permits)-1]
	p.permits[lane] = permits[:len(permits)-1]
	return last
}

// under sets the session of the claim.
func (p *plan) under(s Session) {
	for _, permits := range p.permits {
		for _, permit := range permits {
			permit.session = s
		}
	}
}

// giveBack gives back the permits for which no job was claimed.
func (p *plan) giveBack() {
	for _, permits := range p.permits {
		for _, permit := range permits {
			permit.give()
		}
	}
}

// order puts lanes that hold few slots before those that hold many.
func (s *scheduler) order(lanes []store.LaneWaiting) {
	s.mu.Lock()
	defer s.mu.Unlock()
	slices.SortFunc(lanes, func(a, b store.LaneWaiting) int {
		return cmp.Or(
			cmp.Compare(s.lanes[s.sharing(a.Lane)], s.lanes[s.sharing(b.Lane)]),
			a.Due.Compare(b.Due))
	})
}

// earlier returns the earlier of two times; a zero one does not count.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}

// later returns the later of two times.
func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
