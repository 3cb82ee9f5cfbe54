package intake

import "testing"

// Tracing that is off costs nothing.
func TestWithoutATracerNothingIsAllocated(t *testing.T) {
	in := New(Config{})
	n := testing.AllocsPerRun(100, func() {
		_, sent := in.trace(t.Context(), &Options{})
		sent(nil, nil)
	})
	if n != 0 {
		t.Errorf("got %v allocations, want none", n)
	}
}
