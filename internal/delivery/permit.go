package delivery

import (
	"time"

	"github.com/ringback/ringback/internal/limit"
	"github.com/ringback/ringback/internal/store"
)

// permit is the right to claim a delivery: to make one try of it now, or to queue it.
type permit struct {
	scheduler *scheduler
	host      store.Host
	slot      *limit.Permit // nil while it is queued
	over      bool          // the try has ended: its slot is given back or handed on
	counted   bool          // it counts among the 256
	unproven  bool
}

// tried gives the host's slot back as soon as the try is over (whether it is settled does
// not concern the host), or hands it to the next in the queue. If the host takes nothing
// now, the queue is flushed. Only the first call counts.
func (p *permit) tried(r limit.Report, took time.Duration) (next, flushed []*Claim) {
	s := p.scheduler
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.slot == nil || p.over {
		return nil, nil
	}
	p.over = true
	p.slot.Done(r)
	to := s.host(p.host)
	if r.Verdict == limit.Void && p.slot.Probe() {
		to.probed = time.Time{} // nothing was found out for those that were requested before
	}
	to.out--
	if took > 0 {
		to.resize(took, r.Verdict == limit.OK, s.taken < crowded)
	}
	if len(to.queue) > 0 {
		s.uncount(p) // its place among the 256 is handed on, too
	}
	for len(to.queue) > 0 && s.enter(to.queue[0].permit, to) {
		next = append(next, s.leave(to, 1)...)
	}
	if to.stalled() {
		flushed = s.leave(to, len(to.queue))
	}
	return next, flushed
}

// give ends a permit that has had its try, or none.
func (p *permit) give() {
	s := p.scheduler
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.slot == nil {
		s.reserve(s.host(p.host), -1)
		return
	}
	s.uncount(p)
}
