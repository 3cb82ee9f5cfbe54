package node

import (
	"math"
	"slices"
	"time"

	"github.com/ringback/ringback/internal/store"
)

// Limits of a provider are limits of all nodes together. Each takes its part by its
// place among the workers that live: as all see the same list at their next renewals,
// the parts add up to the limit, and nobody has to ask anybody.
//
// While the list changes they see it at different times. So a part that shrinks is
// taken at once, and one that grows only when it has stood for a renewal's time: by
// then who lost it has heard. Who is new while others live takes nothing for two
// renewals.

// position is this node's among the workers, from a local time on.
type position struct {
	since   time.Time
	rank    int // from 0; -1: it is not among them
	workers int
}

// stand notes the place that a renewal shows. Those that one which grows must have
// stood for are kept. The caller holds the lock.
func (l *session) stand(now time.Time) {
	workers := slices.DeleteFunc(slices.Clone(l.nodes), func(other store.Node) bool { return !other.Worker })
	rank := slices.IndexFunc(workers, func(other store.Node) bool { return other.ID == l.id })
	l.late = l.late || len(l.positions) == 0 && len(workers) > 1
	l.positions = append(l.positions, position{now, rank, len(workers)})
	// A little less than a renewal's time, so that the one before counts no more.
	settled := now.Add(-l.lasts / 5)
	for len(l.positions) > 1 && !l.positions[1].since.After(settled) {
		l.positions = l.positions[1:]
	}
}

// part is this node's part of a limit.
func (l *session) part(limit int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	least := limit
	for _, p := range l.standing() {
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

// rate is this node's part of a rate.
func (l *session) rate(limit int) float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	most := 1
	for _, p := range l.positions {
		most = max(most, p.workers)
	}
	return float64(limit) / float64(most)
}

// standing are the places that count: none of a node that is new while others live
// gives it anything. The caller holds the lock.
func (l *session) standing() []position {
	last := l.positions[len(l.positions)-1]
	if l.late && time.Since(l.joined) < l.lasts/2 && last.workers > 1 {
		return []position{{rank: -1}}
	}
	return l.positions
}

// takeParts gives the gates of the providers this node's part of their limits, and tells
// whether it is more than before.
func (s *callScheduler) takeParts(l *session) (more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.barred = false
	for name, p := range s.providers {
		part := math.MaxInt
		switch {
		case p.Concurrency > 0:
			part = l.part(p.Concurrency)
		case p.RequestsPerMinute > 0 && l.part(math.MaxInt) == 0:
			part = 0
		}
		more = more || part > s.parts[name]
		s.parts[name] = part
		s.barred = s.barred || part == 0
		s.keys[name].Resize(part)
		if p.RequestsPerMinute > 0 {
			s.keys[name].SetRate(l.rate(p.RequestsPerMinute))
		}
	}
	return more
}
