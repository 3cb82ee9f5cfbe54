package dispatch

import "math"

// Parts divides the limits of providers among the nodes.
type Parts interface {
	// Part returns this node's part of a limit.
	Part(limit int) int
	// Rate returns this node's part of a limit per minute.
	Rate(limit int) float64
}

// takeParts sets the gates of the providers to this node's part of their limits. It
// reports whether any part has grown.
func (s *scheduler) takeParts(l Parts) (more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.barred = false
	for name, p := range s.providers {
		part := math.MaxInt
		switch {
		case p.Concurrency > 0:
			part = l.Part(p.Concurrency)
		case p.RequestsPerMinute > 0 && l.Part(math.MaxInt) == 0:
			part = 0
		}
		more = more || part > s.parts[name]
		s.parts[name] = part
		s.barred = s.barred || part == 0
		s.keys[name].Resize(part)
		if p.RequestsPerMinute > 0 {
			s.keys[name].SetRate(l.Rate(p.RequestsPerMinute))
		}
	}
	return more
}
