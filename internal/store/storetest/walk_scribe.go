package storetest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// scribe records what a walk does and how it fails. rapid discards this, and reports a
// repetition of the walk: if the failure was a matter of timing, the repetition succeeds,
// and the step at which the walk failed would be unknown.
type scribe struct {
	*rapid.T

	lines []string
	steps int       // begun so far
	since time.Time // when the last one began, by the real clock
}

func newScribe(t *rapid.T) *scribe { return &scribe{T: t, since: time.Now()} }

// begin records a move before it is made. A move that turns out to be impossible is
// followed by another one in the same step.
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

// publish reports a walk that failed, at once: shrinking it takes minutes, which the test
// may not have.
func (s *scribe) publish(t *testing.T, walk int) {
	t.Helper()
	t.Logf("walk %d failed, first of all like this:\n%s", walk, strings.Join(s.lines, "\n"))
}
