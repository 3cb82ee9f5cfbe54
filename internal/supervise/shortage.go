package supervise

import (
	"cmp"
	"time"

	"github.com/ringback/ringback/internal/backoff"
	"github.com/ringback/ringback/internal/shortage"
)

// shortPause is how long nothing is begun after a call failed because descriptors or memory
// ran out: running calls will free some.
const shortPause = time.Second

// NoteShortage records that a call could not begin because this machine has run short, and
// logs it once per spell.
func (s *Supervisor) NoteShortage(err error) {
	what := cmp.Or(shortage.Of(err), shortage.Descriptors)
	s.cfg.Shortages.WithLabelValues(string(what)).Inc()
	now := time.Now()
	if s.shortages.Note(string(what), now) {
		s.log.Error("this machine has run short: calls and webhooks wait, and none of them loses a try by it", "resource", what, "err", err)
	}
	if what != shortage.Ports { // those towards one address; others are not affected
		s.shortUntil.Store(now.Add(shortPause).UnixMilli())
	}
}

// Short reports whether nothing should be begun that needs descriptors.
func (s *Supervisor) Short() bool { return time.Now().UnixMilli() < s.shortUntil.Load() }

// RecordShortages logs which shortages are over.
func (s *Supervisor) RecordShortages(now time.Time) {
	for _, spell := range s.shortages.Over(now) {
		s.log.Info("this machine is no longer short", "resource", spell.Reason, "calls", spell.Count, "ms", spell.Took().Milliseconds())
	}
}

// AfterPause returns when something that could not begin is due again.
func (s *Supervisor) AfterPause(now time.Time) time.Time {
	return now.Add(backoff.Jitter(s.cfg.RetryDelay, backoff.Half))
}
