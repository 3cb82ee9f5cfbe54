package cluster

import (
	"slices"
	"time"

	"github.com/ringback/ringback/internal/store"
)

// A provider's limits apply to all nodes together. Each node takes its part by its rank
// among the live workers. All nodes see the same list at their next renewal, so the parts
// add up to the limit without any coordination.
//
// While the list changes, nodes see it at different times. A part that shrinks is
// therefore taken at once, and a part that grows only after a renewal period: by then the
// node that lost it knows. A new node among others takes nothing for two renewals.

// position is this node's rank among the workers from a local time on.
type position struct {
	since   time.Time
	rank    int // from 0; -1: it is not among them
	workers int
}

// place records the position that a renewal shows, and keeps the earlier ones as long as
// they limit a part that grows. The caller holds the lock.
func (s *Session) place(now time.Time) {
	workers := slices.DeleteFunc(slices.Clone(s.nodes), func(other store.Node) bool { return !other.Worker })
	rank := slices.IndexFunc(workers, func(other store.Node) bool { return other.ID == s.id })
	s.late = s.late || len(s.positions) == 0 && len(workers) > 1
	s.positions = append(s.positions, position{now, rank, len(workers)})
	// Slightly less than a renewal period, so that the position before it no longer counts.
	settled := now.Add(-s.lasts / 5)
	for len(s.positions) > 1 && !s.positions[1].since.After(settled) {
		s.positions = s.positions[1:]
	}
}

// Part returns this node's part of a limit.
func (s *Session) Part(limit int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	least := limit
	for _, p := range s.effective() {
		part := 0
		if p.rank >= 0 {
			part = limit / p.workers
			if p.rank < limit%p.workers {
				part++
			}
		}
		least = min(least, part)
	}
	return least
}

// Rate returns this node's part of a rate.
func (s *Session) Rate(limit int) float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	most := 1
	for _, p := range s.positions {
		most = max(most, p.workers)
	}
	return float64(limit) / float64(most)
}

// effective returns the positions that count. A node that is new among others has none with
// a part. The caller holds the lock.
func (s *Session) effective() []position {
	last := s.positions[len(s.positions)-1]
	if s.late && time.Since(s.joined) < s.lasts/2 && last.workers > 1 {
		return []position{{rank: -1}}
	}
	return s.positions
}
