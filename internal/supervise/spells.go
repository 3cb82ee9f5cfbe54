package supervise

import (
	"sync"
	"time"
)

// quiet is how long something must not have happened until its spell counts as over.
const quiet = 10 * time.Second

// Spells are things that happen often for a while, by reason: they are logged when a spell
// begins and when it is over, not each time. The zero value is ready for use.
type Spells struct {
	mu       sync.Mutex
	byReason map[string]*Spell
}

// Spell is a period in which something happened repeatedly for one reason.
type Spell struct {
	Reason string
	Count  int

	began, last time.Time
}

// Took returns how long the spell lasted.
func (s *Spell) Took() time.Duration { return s.last.Sub(s.began) }

// Note counts once more, and reports whether a spell begins.
func (all *Spells) Note(reason string, now time.Time) (begins bool) {
	all.mu.Lock()
	defer all.mu.Unlock()
	if all.byReason == nil {
		all.byReason = map[string]*Spell{}
	}
	s := all.byReason[reason]
	if s == nil {
		s, begins = &Spell{Reason: reason, began: now}, true
		all.byReason[reason] = s
	}
	s.last = now
	s.Count++
	return begins
}

// Over returns the spells that are over, and forgets them.
func (all *Spells) Over(now time.Time) (over []*Spell) {
	all.mu.Lock()
	defer all.mu.Unlock()
	for reason, s := range all.byReason {
		if now.Sub(s.last) >= quiet {
			over = append(over, s)
			delete(all.byReason, reason)
		}
	}
	return over
}
