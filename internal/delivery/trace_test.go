package delivery

import (
	"testing"

	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/webhook"
)

// Tracing that is off costs nothing.
func TestWithoutATracerATryAllocatesNothing(t *testing.T) {
	d, row, p := &Dispatcher{}, &store.Delivery{}, &store.Payload{}
	if n := testing.AllocsPerRun(100, func() { d.trace(row, p, nil)(webhook.Result{}) }); n != 0 {
		t.Errorf("got %v allocations, want none", n)
	}
}
