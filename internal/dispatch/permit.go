package dispatch

import (
	"sync/atomic"
	"time"

	"github.com/ringback/ringback/internal/limit"
	"github.com/ringback/ringback/internal/memory"
	"github.com/ringback/ringback/internal/store"
)

// permit is the right to make one call of a provider: a slot, and a permit of each of the
// gates of the model and of the key. It keeps what belongs to the call until it is given
// back.
type permit struct {
	scheduler *scheduler
	lane      store.Lane // as it shares slots: with the model "other" if it has no name of its own
	model     *limit.Permit
	key       *limit.Permit
	// provider is that of the call, and call its number among those with that key.
	provider string
	call     int64
	// suspect marks the one permit for jobs that may kill the process.
	suspect bool

	// What follows belongs to the call.
	session  Session       // under which the job was claimed
	request  []byte        // as the provider is to see it; nil: the store has it
	held     *memory.Grant // for the request and the answer
	progress Progress
	trace    *attemptTrace // nil: there is none
	sent     atomic.Bool   // a byte may have left
}

// enterLate takes the permits of the gates for a suspect job; false if its lane is on hold.
func (p *permit) enterLate(l store.Lane) bool {
	p.scheduler.mu.Lock()
	defer p.scheduler.mu.Unlock()
	return p.scheduler.enter(p, l)
}

// give gives the permit back. If no report says how the call went, the gates learn nothing
// from it.
func (p *permit) give() {
	p.report(limit.Report{}, limit.Report{})
	s := p.scheduler
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken--
	if s.lanes[p.lane]--; s.lanes[p.lane] == 0 {
		delete(s.lanes, p.lane)
	}
	if p.suspect {
		s.suspect = false
	} else {
		s.works(p.lane, time.Now())
	}
}

// report reports to the gates how the call went. Only the first report counts.
func (p *permit) report(model, key limit.Report) {
	if p.model != nil {
		p.model.Done(model)
		p.key.Done(key)
	}
}

// accepted reports to the gates that the provider has begun to answer.
func (p *permit) accepted() {
	p.key.Accepted()
	p.model.Accepted()
}

// probes reports whether the call finds out whether a hold is over.
func (p *permit) probes() bool { return p.model != nil && (p.model.Probe() || p.key.Probe()) }
