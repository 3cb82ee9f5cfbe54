package storetest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// scribe writes down what a walk does and how it fails. rapid throws this away, and
// tells of a walk that it has taken once more: where what failed was a matter of time,
// that one arrives, and nobody would learn at which step the other one failed.
type scribe struct {
	*rapid.T

	lines []string
	steps int       // begun so far
	since time.Time // when the last one began, by the real clock
}

func newScribe(t *rapid.T) *scribe { return &scribe{T: t, since: time.Now()} }

// begin notes a move before it is made. One that turns out to be impossible is
// followed by another of the same step.
func (s *scribe) begin(move string) {
	s.since = time.Now()
	s.notef("step %d: %s", s.steps, move)
}

// Logf implements rapid.TB.
func (s *scribe) Logf(format string, args ...any) {
	s.Helper()
	s.notef("    "+format, args...)
	s.T.Logf(format, args...)
}

// Fatalf implements rapid.TB.
func (s *scribe) Fatalf(format string, args ...any) {
	s.Helper()
	s.notef("failed, %s after that began: "+format, append([]any{time.Since(s.since)}, args...)...)
	s.T.Fatalf(format, args...)
}

func (s *scribe) notef(format string, args ...any) {
	s.lines = append(s.lines, fmt.Sprintf(format, args...))
}

// publish tells of a walk that has not arrived, at once: to make it shorter takes
// minutes, which the test may not have.
func (s *scribe) publish(t *testing.T, walk int) {
	t.Helper()
	t.Logf("walk %d failed, first of all like this:\n%s", walk, strings.Join(s.lines, "\n"))
}
