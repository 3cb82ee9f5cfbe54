package webhook

import (
	"cmp"
	"math/rand/v2"
	"time"

	"github.com/ringback/ringback/internal/backoff"
)

// ScheduleConfig sets up a [Schedule].
type ScheduleConfig struct {
	// Steps are the waits between the tries, so there is one more try than steps. Nil is 5
	// s, 30 s, 2 min, 10 min, 30 min, 1 h, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h.
	Steps []time.Duration
	// End is the age at which a delivery is given up, whatever it is waiting for; 76 h by
	// default.
	End time.Duration
}

// Schedule decides when a delivery is tried again.
type Schedule struct {
	steps []time.Duration
	end   time.Duration
}

// retryAfterFloor is what a Retry-After may ask for even if twice the step is less.
const retryAfterFloor = time.Hour

// NewSchedule makes a schedule.
func NewSchedule(c ScheduleConfig) *Schedule {
	s := &Schedule{steps: c.Steps, end: cmp.Or(c.End, 76*time.Hour)}
	if s.steps == nil {
		s.steps = []time.Duration{
			5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute,
			1 * time.Hour, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
		}
	}
	return s
}

// End returns when a delivery that was made then is given up.
func (s *Schedule) End(made time.Time) time.Time { return made.Add(s.end) }

// Next returns when a delivery that was made then and has failed for the tries-th time (1
// for the first) is tried again, or false if it is a dead letter. The wait is the step ±20
// %; a Retry-After, 0 for none, lengthens it up to the greater of twice the step and one
// hour. random returns a number in [0,1); nil means the package's own.
//
// The steps together with their jitter may reach beyond the end. The last try is then moved
// to just before it, so that it is made at all.
func (s *Schedule) Next(made time.Time, tries int, now time.Time, retryAfter time.Duration, random func() float64) (time.Time, bool) {
	if tries < 1 || tries > len(s.steps) {
		return time.Time{}, false
	}
	if random == nil {
		random = rand.Float64
	}
	last := made.Add(s.end - s.end/100)
	if !now.Before(last) {
		return time.Time{}, false
	}
	next := now.Add(wait(s.steps[tries-1], retryAfter, random()))
	if next.After(last) {
		next = last
	}
	return next, true
}

// wait jitters a step in both directions, and a Retry-After only upwards: no try is made
// before the time that was named.
func wait(step, retryAfter time.Duration, random float64) time.Duration {
	spread := backoff.JitterBy(step, backoff.Fifth, random)
	if retryAfter <= spread {
		return spread
	}
	return min(time.Duration(float64(retryAfter)*(1+backoff.Fifth*random)), max(2*step, retryAfterFloor))
}
