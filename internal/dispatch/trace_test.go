package dispatch

import (
	"testing"
	"time"

	"github.com/ringback/ringback/internal/store"
)

// Tracing that is off costs nothing.
func TestWithoutATracerNothingIsAllocated(t *testing.T) {
	j := &store.Job{}
	if n := testing.AllocsPerRun(100, func() {
		a := traceAttempt(nil, j)
		a.call(j, nil)
		a.called(nil, nil, time.Time{})
		a.end(nil)
	}); n != 0 {
		t.Errorf("got %v allocations, want none", n)
	}
}
