package protocoltest

import (
	"strings"

	"github.com/ringback/ringback/internal/sse"
)

// Fataler is a test, or a property that is tested.
type Fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// Feed assembles a stream: it adds each event and emits after it, until the answer is done.
func Feed(t Fataler, stream string, add func(sse.Event) (done bool, err error), emit func()) {
	t.Helper()
	for event, err := range sse.Read(strings.NewReader(stream), sse.Limits{}) {
		if err != nil {
			t.Fatalf("read the stream: %v\n%s", err, stream)
		}
		done, err := add(event)
		if err != nil {
			t.Fatalf("assemble: %v\n%s", err, stream)
		}
		emit()
		if done {
			return
		}
	}
}
