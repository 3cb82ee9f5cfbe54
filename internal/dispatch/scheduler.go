package dispatch

import (
	"math"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback/internal/limit"
	"github.com/ringback/ringback/internal/store"
)

// target is what a hold is on: a model of a provider, or its key (anyModel).
type target struct{ provider, model string }

// scheduler decides which lane may call its provider now. It is safe for concurrent use.
type scheduler struct {
	size      int
	gate      limit.Config // of models
	providers map[string]Provider
	names     *modelNames

	mu      sync.Mutex
	taken   int
	lanes   map[store.Lane]int     // slots that each lane holds
	gates   map[target]*limit.Gate // of models: made at the first use, dropped when idle
	keys    map[string]*limit.Gate // by provider
	records map[string]*keyRecord
	own     map[uuid.UUID]*ownRefusals // of jobs that a key refused
	parts   map[string]int             // of each provider's limit, this node's
	backlog map[store.Lane]int         // about how many jobs that are due wait in each lane
	working [2]lately                  // the lane that had work last, and the last other one
	lent    map[store.Lane]int         // slots beyond size for jobs that dead nodes had begun
	lentTo  time.Time                  // when lent is void
	suspect bool                       // a suspect job is running
	barred  bool                       // this node has no part of some provider's limit
}

// schedulerConfig configures a scheduler.
type schedulerConfig struct {
	concurrency int          // how many calls run at once
	gate        limit.Config // of all gates; its Slots and PerMinute are ignored
	providers   map[string]Provider
	names       *modelNames
}

func newScheduler(c schedulerConfig) *scheduler {
	s := &scheduler{
		size: c.concurrency, gate: c.gate, providers: c.providers, names: c.names,
		lanes:   map[store.Lane]int{},
		gates:   map[target]*limit.Gate{},
		keys:    map[string]*limit.Gate{},
		records: map[string]*keyRecord{},
		own:     map[uuid.UUID]*ownRefusals{},
		parts:   map[string]int{},
		backlog: map[store.Lane]int{},
		lent:    map[store.Lane]int{},
	}
	s.gate.Slots, s.gate.PerMinute = 0, 0
	for name, p := range c.providers {
		gate := c.gate
		gate.Slots, gate.PerMinute = p.Concurrency, p.RequestsPerMinute
		// A model's failures say nothing about the key.
		gate.BreakAfter = math.MaxInt
		s.keys[name] = limit.New(gate)
		s.records[name] = &keyRecord{refused: map[uuid.UUID]int64{}}
	}
	return s
}

// sharing returns the lane under which slots are shared.
func (s *scheduler) sharing(l store.Lane) store.Lane {
	l.Model = s.names.name(l.Model)
	return l
}

// take takes a permit for a job of the lane; it returns nil if there is none now.
func (s *scheduler) take(l store.Lane) *permit {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.room(s.sharing(l)) {
		return nil
	}
	return s.takeAnyway(l)
}

// takeAnyway takes a permit if the gates of the lane let it. The caller holds the lock.
func (s *scheduler) takeAnyway(l store.Lane) *permit {
	shared := s.sharing(l)
	p := &permit{scheduler: s, lane: shared}
	if !s.enter(p, l) {
		return nil
	}
	s.taken++
	s.lanes[shared]++
	s.works(shared, time.Now())
	return p
}

const (
	// laneRatio bounds a lane beside others: it takes a slot only while it holds fewer
	// than this times the free ones. So one in sixteen stays free.
	laneRatio = 15
	// laneMemory is how long slots are kept free for lanes that have no work anymore.
	laneMemory = time.Minute
)

// room reports whether a lane may take one more slot. A lane that holds some leaves room
// for others, as long as there are others. The caller holds the lock.
func (s *scheduler) room(shared store.Lane) bool {
	free, held := s.size-s.taken, s.lanes[shared]
	if held == 0 || !s.contended(shared) {
		return free > 0
	}
	return free > 1 && held < laneRatio*free
}

// contended reports whether other lanes than this one, which holds slots, have work or had
// some lately. The caller holds the lock.
func (s *scheduler) contended(shared store.Lane) bool {
	others := len(s.lanes) - 1
	if s.suspect {
		others--
	}
	if others > 0 {
		return true
	}
	last := s.working[0]
	if last.lane == shared {
		last = s.working[1]
	}
	return !last.at.IsZero() && time.Since(last.at) < laneMemory
}

// lately is when a lane had work.
type lately struct {
	lane store.Lane
	at   time.Time
}

// works records that a lane has work. The caller holds the lock.
func (s *scheduler) works(shared store.Lane, now time.Time) {
	if s.working[0].lane != shared {
		s.working[1] = s.working[0]
	}
	s.working[0] = lately{shared, now}
}

// takeSuspect takes the one permit for suspect jobs. It holds no permits of gates yet: the
// lane is known only after the claim, which must not be for nothing because this node has
// no part of that lane's limit. (The first worker has one of each.)
func (s *scheduler) takeSuspect() *permit {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken >= s.size || s.suspect || s.barred {
		return nil
	}
	s.taken++
	s.lanes[suspects]++
	s.suspect = true
	return &permit{scheduler: s, lane: suspects, suspect: true}
}

// enter takes the permits of a lane's gates. The caller holds the lock.
func (s *scheduler) enter(p *permit, l store.Lane) bool {
	key := s.keys[l.Provider]
	if key == nil {
		return false
	}
	modelPermit, ok := s.modelGate(l).Enter()
	if !ok {
		return false
	}
	// The key comes last: a token of its rate does not come back, and a model on hold must
	// not use up those of the others.
	keyPermit, ok := key.Enter()
	if !ok {
		modelPermit.Done(limit.Report{})
		return false
	}
	p.key, p.model = keyPermit, modelPermit
	rec := s.records[l.Provider]
	rec.calls++
	p.provider, p.call = l.Provider, rec.calls
	return true
}

// tryNow takes a permit for a job that has just arrived; nil if the jobs that wait, which
// go first, need all the room already. Those behind a hold, or for a provider that is gone,
// need no room now.
func (s *scheduler) tryNow(l store.Lane) *permit {
	s.mu.Lock()
	free := s.size - s.taken
	for lane, waiting := range s.backlog {
		room := s.gateRoom(lane)
		free -= min(waiting, room)
		if lane == l && room <= waiting {
			free = 0
		}
	}
	s.mu.Unlock()
	if free <= 0 {
		return nil
	}
	return s.take(l)
}

// gateRoom returns how many calls the gates of a lane would let through now. The caller
// holds the lock.
func (s *scheduler) gateRoom(l store.Lane) int {
	key := s.keys[l.Provider]
	if key == nil {
		return 0
	}
	return min(key.Room(), s.modelGate(l).Room())
}

// modelGate returns the gate of a lane's model. The caller holds the lock.
func (s *scheduler) modelGate(l store.Lane) *limit.Gate {
	k := target{l.Provider, l.Model}
	g := s.gates[k]
	if g == nil {
		g = limit.New(s.gate)
		s.gates[k] = g
	}
	return g
}

// next returns when the gates of a lane may open by time alone; zero if a call in flight,
// not time, keeps them closed.
func (s *scheduler) next(l store.Lane) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := s.keys[l.Provider]
	if key == nil || !s.room(s.sharing(l)) {
		return time.Time{}
	}
	a, b := key.Next(), s.modelGate(l).Next()
	if a.IsZero() || b.IsZero() {
		return time.Time{}
	}
	if a.After(b) {
		return a
	}
	return b
}

// wait notes the lanes in which jobs that are due wait.
func (s *scheduler) wait(due []store.LaneWaiting) {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.backlog)
	for _, l := range due {
		s.backlog[l.Lane] = l.Count
	}
	s.workFor(due)
}

// workFor notes which of these lanes have work that nothing holds back. Two are enough to
// know that each has others beside it. The caller holds the lock.
func (s *scheduler) workFor(due []store.LaneWaiting) {
	now, noted := time.Now(), 0
	var first store.Lane
	for _, l := range due {
		shared := s.sharing(l.Lane)
		if noted == 1 && shared == first || s.keys[l.Lane.Provider] == nil {
			continue
		}
		if _, held := s.holdOn(l.Lane); held {
			continue
		}
		s.works(shared, now)
		if noted++; noted == 2 {
			return
		}
		first = shared
	}
}

// waits records one more job that waits.
func (s *scheduler) waits(l store.Lane) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.backlog[l]++
	s.workFor([]store.LaneWaiting{{Lane: l}})
}

// claimed records that a job no longer waits.
func (s *scheduler) claimed(l store.Lane) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.backlog[l]--; s.backlog[l] <= 0 {
		delete(s.backlog, l)
	}
}

// tidy drops the gates that remember nothing.
func (s *scheduler) tidy() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, g := range s.gates {
		if g.Idle(gateMemory) {
			delete(s.gates, k)
		}
	}
	s.tidyOwn()
}
