package node

import (
	"math"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback/internal/limit"
	"github.com/ringback/ringback/internal/memory"
	"github.com/ringback/ringback/internal/store"
)

// target is what a hold is about: a model of a provider.
type target struct{ provider, model string }

// callScheduler is who may call providers.
type callScheduler struct {
	size      int
	gate      limit.Config
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
	working [2]lately                  // the lane that had work last, and the last one that is not that
	lent    map[store.Lane]int         // slots beyond size for jobs that dead nodes had begun
	lentTo  time.Time                  // when lent is void
	suspect bool                       // a suspect job is running
	barred  bool                       // this node has no part of some provider's limit
}

// callPermit is the right to make one call of a provider.
type callPermit struct {
	scheduler *callScheduler
	lane      store.Lane // as it shares slots: with the model "other" where it has no name of its own
	model     *limit.Permit
	key       *limit.Permit
	// provider is that of the call, and call its number among those with that key.
	provider string
	call     int64
	session  session       // under which the claim is made
	trace    *attemptTrace // nil: none is made
	held     *memory.Grant // of the call
	// suspect marks the one permit for jobs that may kill the process.
	suspect bool
}

func (s *callScheduler) init(cfg Config, names *modelNames) {
	s.size, s.gate, s.providers, s.names = cfg.Concurrency, cfg.Gate, cfg.Providers, names
	s.gate.Slots, s.gate.PerMinute = 0, 0
	s.lanes = map[store.Lane]int{}
	s.gates = map[target]*limit.Gate{}
	s.keys = map[string]*limit.Gate{}
	s.records = map[string]*keyRecord{}
	s.own = map[uuid.UUID]*ownRefusals{}
	s.parts = map[string]int{}
	s.backlog = map[store.Lane]int{}
	s.lent = map[store.Lane]int{}
	for name, p := range cfg.Providers {
		gate := cfg.Gate
		gate.Slots, gate.PerMinute = p.Concurrency, p.RequestsPerMinute
		// What fails for one model says nothing about the key.
		gate.BreakAfter = math.MaxInt
		s.keys[name] = limit.New(gate)
		s.records[name] = &keyRecord{refused: map[uuid.UUID]int64{}}
	}
}

// sharing is the lane as it shares slots.
func (s *callScheduler) sharing(l store.Lane) store.Lane {
	l.Model = s.names.name(l.Model)
	return l
}

// take takes a permit for a job of the lane; nil if there is none now.
func (s *callScheduler) take(l store.Lane) *callPermit {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.room(s.sharing(l)) {
		return nil
	}
	return s.takeAnyway(l)
}

// takeWaiting is take for a job that waits in the store: also beyond the slots that
// there are, where some are lent to its lane.
func (s *callScheduler) takeWaiting(l store.Lane) *callPermit {
	s.mu.Lock()
	defer s.mu.Unlock()
	lent := s.lent[l] > 0 && time.Now().Before(s.lentTo)
	if !lent && !s.room(s.sharing(l)) {
		return nil
	}
	t := s.takeAnyway(l)
	if t != nil && lent {
		s.lent[l]--
	}
	return t
}

// takeAnyway takes a permit if the gates of the lane let it. The caller holds the lock.
func (s *callScheduler) takeAnyway(l store.Lane) *callPermit {
	shared := s.sharing(l)
	t := &callPermit{scheduler: s, lane: shared}
	if !s.enter(t, l) {
		return nil
	}
	s.taken++
	s.lanes[shared]++
	s.works(shared, time.Now())
	return t
}

const (
	// laneRatio bounds a lane beside others: it takes a slot only while it holds fewer
	// than this times the free ones. So one in sixteen stays free.
	laneRatio = 15
	// laneMemory is how long slots are kept free for lanes that have no work any more.
	laneMemory = time.Minute
)

// room reports whether a lane may take one more slot. One that holds some leaves
// others room, as long as there are others. The caller holds the lock.
func (s *callScheduler) room(shared store.Lane) bool {
	free, held := s.size-s.taken, s.lanes[shared]
	if held == 0 || !s.contended(shared) {
		return free > 0
	}
	return free > 1 && held < laneRatio*free
}

// contended reports whether lanes other than one that holds slots have work, or had some
// lately. The caller holds the lock.
func (s *callScheduler) contended(shared store.Lane) bool {
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

// works notes that a lane has work. The caller holds the lock.
func (s *callScheduler) works(shared store.Lane, now time.Time) {
	if s.working[0].lane != shared {
		s.working[1] = s.working[0]
	}
	s.working[0] = lately{shared, now}
}

// lendFor is how long slots are lent: until then others may have run the jobs.
const lendFor = 5 * time.Second

// lend lends slots beyond those that there are: one for each job, given by its lane, that
// a dead node had begun. Not more than there are, so that the node at most doubles its
// calls.
func (s *callScheduler) lend(begun []store.Lane) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if !now.Before(s.lentTo) {
		clear(s.lent)
	}
	out := max(0, s.taken-s.size)
	for _, n := range s.lent {
		out += n
	}
	for _, l := range begun[:min(len(begun), max(0, s.size-out))] {
		s.lent[l]++
	}
	if len(begun) > 0 {
		s.lentTo = now.Add(lendFor)
	}
}

// takeSuspect takes the one permit for suspect jobs. It has no permits yet: the
// lane is known only after the claim, which must not be in vain since this node has
// no part of that lane's limit. (The first of the workers has one of each.)
func (s *callScheduler) takeSuspect() *callPermit {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken >= s.size || s.suspect || s.barred {
		return nil
	}
	s.taken++
	s.lanes[suspects]++
	s.suspect = true
	return &callPermit{scheduler: s, lane: suspects, suspect: true}
}

// enterLate gives a suspect job's permit its permits; false if its lane is on hold.
func (t *callPermit) enterLate(l store.Lane) bool {
	t.scheduler.mu.Lock()
	defer t.scheduler.mu.Unlock()
	return t.scheduler.enter(t, l)
}

// enter takes the permits of a lane's gates. The caller holds the lock.
func (s *callScheduler) enter(t *callPermit, l store.Lane) bool {
	key := s.keys[l.Provider]
	if key == nil {
		return false
	}
	modelPermit, ok := s.modelGate(l).Enter()
	if !ok {
		return false
	}
	// The key comes last: a token of its rate does not come back, and a model
	// on hold must not eat those of the others.
	keyPermit, ok := key.Enter()
	if !ok {
		modelPermit.Done(limit.Report{})
		return false
	}
	t.key, t.model = keyPermit, modelPermit
	rec := s.records[l.Provider]
	rec.calls++
	t.provider, t.call = l.Provider, rec.calls
	return true
}

// tryNow takes a permit for a job that has just arrived; nil where what waits
// already needs all the room there is: that goes first. What waits behind a
// hold, or for a provider that is gone, needs no room now.
func (s *callScheduler) tryNow(l store.Lane) *callPermit {
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

// gateRoom is how many calls the gates of a lane would let through now. The
// caller holds the lock.
func (s *callScheduler) gateRoom(l store.Lane) int {
	key := s.keys[l.Provider]
	if key == nil {
		return 0
	}
	return min(key.Room(), s.modelGate(l).Room())
}

// give gives the permit back. Permits that nobody has reported on say nothing.
func (t *callPermit) give() {
	t.report(limit.Report{}, limit.Report{})
	s := t.scheduler
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken--
	if s.lanes[t.lane]--; s.lanes[t.lane] == 0 {
		delete(s.lanes, t.lane)
	}
	if t.suspect {
		s.suspect = false
	} else {
		s.works(t.lane, time.Now())
	}
}

// report says to the gates how the call went. Only the first report counts.
func (t *callPermit) report(model, key limit.Report) {
	if t.model != nil {
		t.model.Done(model)
		t.key.Done(key)
	}
}

// modelGate gives the gate of a lane's model. The caller holds the lock.
func (s *callScheduler) modelGate(l store.Lane) *limit.Gate {
	k := target{l.Provider, l.Model}
	g := s.gates[k]
	if g == nil {
		g = limit.New(s.gate)
		s.gates[k] = g
	}
	return g
}

// next is when the gates of a lane may open by time alone; zero if not time
// but a permit that is out stops them.
func (s *callScheduler) next(l store.Lane) time.Time {
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

// wait notes the lanes where something that is due waits.
func (s *callScheduler) wait(due []store.LaneWaiting) {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.backlog)
	for _, l := range due {
		s.backlog[l.Lane] = l.Count
	}
	s.workFor(due)
}

// workFor notes that those of some lanes have work that nothing holds back. Two are
// enough to know that each has others beside it. The caller holds the lock.
func (s *callScheduler) workFor(due []store.LaneWaiting) {
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

// waits notes one more job that waits.
func (s *callScheduler) waits(l store.Lane) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.backlog[l]++
	s.workFor([]store.LaneWaiting{{Lane: l}})
}

// claimed notes a job that waits no longer.
func (s *callScheduler) claimed(l store.Lane) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.backlog[l]--; s.backlog[l] <= 0 {
		delete(s.backlog, l)
	}
}

// held says why a job waits: its provider's key or its model is on hold.
func (s *callScheduler) held(l store.Lane) (reason string, held bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.holdOn(l)
}

// holdOn is held for those who hold the lock.
func (s *callScheduler) holdOn(l store.Lane) (reason string, held bool) {
	if key := s.keys[l.Provider]; key != nil {
		if _, reason, held := key.Held(); held {
			return reason, true
		}
	}
	if g := s.gates[target{l.Provider, l.Model}]; g != nil {
		if _, reason, held := g.Held(); held {
			return reason, true
		}
	}
	return "", false
}

// heldUntil is when the holds that stand against a lane may be over; the zero
// time if there are none.
func (s *callScheduler) heldUntil(l store.Lane) (at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range []*limit.Gate{s.keys[l.Provider], s.gates[target{l.Provider, l.Model}]} {
		if g == nil {
			continue
		}
		if until, _, held := g.Held(); held {
			at = later(at, until)
		}
	}
	return at
}

// gateMemory is how long a gate that nobody uses is remembered.
const gateMemory = time.Hour

// tidy drops gates that remember nothing.
func (s *callScheduler) tidy() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, g := range s.gates {
		if g.Idle(gateMemory) {
			delete(s.gates, k)
		}
	}
	s.tidyOwn()
}
