package dispatch

import (
	"time"

	"github.com/ringback/ringback/internal/store"
)

// lendFor is how long slots are lent: until then others may have run the jobs.
const lendFor = 5 * time.Second

// lend lends slots beyond those that there are: one for each of the given jobs, which a
// dead node had begun. It lends no more than there are, so that the node at most doubles
// its calls. begun has the lane of each job.
func (s *scheduler) lend(begun []store.Lane) {
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

// takeWaiting is take for a job that waits in the store: it takes a slot beyond those that
// there are, if one is lent to its lane.
func (s *scheduler) takeWaiting(l store.Lane) *permit {
	s.mu.Lock()
	defer s.mu.Unlock()
	lent := s.lent[l] > 0 && time.Now().Before(s.lentTo)
	if !lent && !s.room(s.sharing(l)) {
		return nil
	}
	p := s.takeAnyway(l)
	if p != nil && lent {
		s.lent[l]--
	}
	return p
}
