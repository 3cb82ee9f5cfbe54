package live

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/protocol"
	"github.com/ringback/ringback/internal/protocoltest"
)

// fataler is a test, or a run of a property.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
}

func dialectOf(t fataler, name string) protocol.Dialect {
	t.Helper()
	d, err := protocol.Lookup(name)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return d
}

// write writes a stream to a log, as an attempt does, and returns its message.
func write(t fataler, l *Log, attempt int64, d protocol.Dialect, stream string) json.RawMessage {
	t.Helper()
	l.Add(attempt, ringback.StreamEvent{Type: ringback.EventStarted, Model: "m", Timestamp: at(1)})
	a := d.Assemble([]byte(`{"n":1}`))
	emitter := protocol.Emitter{
		To:    func(delta ringback.Delta) { l.Delta(attempt, delta) },
		Frame: func(p protocol.Piece) { l.Frame(attempt, p) },
	}
	protocoltest.Feed(t, stream, a.Add, func() { a.Emit(emitter) })
	emitter.Ended = true
	a.Emit(emitter)
	return a.Message()
}

// restored returns a log as it is read from the store.
func restored(t fataler, l *Log) *Log {
	t.Helper()
	again := NewLog("a-job")
	last, err := again.Load(bytes.NewReader(l.Encode()))
	if err != nil {
		t.Fatalf("load: %v", err)
	}
	if last != l.Last() || again.Last() != last {
		t.Errorf("the last event: got %s and %s, want %s", last, again.Last(), l.Last())
	}
	return again
}

// meant returns the value of JSON, with the digits of its numbers.
func meant(t fataler, text []byte) (v any) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return v
}

// checkRendered checks that the stream rendered from a log has the message.
func checkRendered(t fataler, l *Log, d protocol.Dialect, want json.RawMessage) {
	t.Helper()
	rendered := string(bytes.Join(slices.Collect(d.Render(l.Pieces())), nil))
	got := write(t, NewLog("a-job"), 1, d, rendered)
	if diff := cmp.Diff(meant(t, want), meant(t, got)); diff != "" {
		t.Errorf("the message of the rendered stream (-want +got):\n%s\nrendered:\n%s", diff, rendered)
	}
}

func TestALogAsItIsStoredIsRenderedToTheProvidersStream(t *testing.T) {
	for _, name := range protocol.Names() {
		d := dialectOf(t, name)
		files, err := filepath.Glob("../provider/testdata/" + name + "/*.sse")
		if err != nil || len(files) == 0 {
			t.Fatalf("recorded streams: got %d and %v, want some", len(files), err)
		}
		for _, file := range files {
			t.Run(name+"/"+filepath.Base(file), func(t *testing.T) {
				stream, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				l := NewLog("a-job")
				message := write(t, l, 1, d, string(stream))
				checkRendered(t, l, d, message)
				checkRendered(t, restored(t, l), d, message)
			})
		}
	}
}

func TestAnyLogAsItIsStoredIsRenderedToTheProvidersStream(t *testing.T) {
	for name, draw := range protocoltest.Streams {
		d := dialectOf(t, name)
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				l := NewLog("a-job")
				attempt := int64(1)
				for range rapid.IntRange(0, 2).Draw(t, "earlier attempts") {
					write(t, l, attempt, d, draw(t))
					if rapid.Bool().Draw(t, "by another process") {
						l = restored(t, l)
					}
					attempt += 2
					l.Add(attempt, ringback.StreamEvent{Type: ringback.EventRetrying, Timestamp: at(2)})
				}
				message := write(t, l, attempt, d, draw(t))
				checkRendered(t, l, d, message)
				checkRendered(t, restored(t, l), d, message)
				checkRendered(t, restored(t, restored(t, l)), d, message)
			})
		})
	}
}

// Frames are no events: readers of a log, and nodes that know no frames, see the same
// events with them and without.
func TestFramesAreNoEvents(t *testing.T) {
	for name, draw := range protocoltest.Streams {
		d := dialectOf(t, name)
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				l := NewLog("a-job")
				write(t, l, 1, d, draw(t))
				plain := NewLog("a-job")
				for _, e := range eventsOf(t, l) {
					if e.Delta != nil {
						plain.Delta(1, *e.Delta)
					} else {
						plain.Add(1, e)
					}
				}
				want := eventsOf(t, plain)
				if diff := cmp.Diff(want, eventsOf(t, l)); diff != "" {
					t.Errorf("events (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(want, eventsOf(t, restored(t, l))); diff != "" {
					t.Errorf("events of the stored log (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(want, eventsOf(t, loadedWithoutFrames(t, l))); diff != "" {
					t.Errorf("events of the stored log to a node that knows no frames (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func eventsOf(t fataler, l *Log) (events []ringback.StreamEvent) {
	t.Helper()
	for after := (ringback.EventID{}); ; after = events[len(events)-1].EventID {
		some, err := l.Ready(after, false)
		if err != nil {
			t.Fatalf("%v", err)
		}
		if len(some) == 0 {
			return events
		}
		events = append(events, some...)
	}
}

// loadedWithoutFrames loads a log as a node does that takes each line for an event.
func loadedWithoutFrames(t fataler, l *Log) *Log {
	t.Helper()
	again := NewLog("a-job")
	lines := bufio.NewScanner(bytes.NewReader(l.Encode()))
	lines.Buffer(nil, 1<<20)
	var last ringback.EventID
	for lines.Scan() {
		var s stored
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			t.Fatalf("%v: %s", err, lines.Bytes())
		}
		again.Append(s.event())
		last = s.event().EventID
	}
	if last != l.Last() {
		t.Errorf("the last line: got %s, want %s", last, l.Last())
	}
	return again
}

// A provider may nest a message more deeply than JSON decoders accept. That must not keep
// the log from being read.
func TestADeeplyNestedFrameIsStored(t *testing.T) {
	const depth = 20_000
	l := NewLog("a-job")
	l.Add(1, ringback.StreamEvent{Type: ringback.EventStarted})
	deep := fmt.Sprintf(`{"a":%s1%s}`, strings.Repeat("[", depth), strings.Repeat("]", depth))
	l.Frame(1, protocol.Piece{Kind: protocol.PieceStart, JSON: []byte(deep)})
	pieces := slices.Collect(restored(t, l).Pieces())
	if len(pieces) != 1 || string(pieces[0].JSON) != deep {
		t.Errorf("got %d frames, want the one that was stored", len(pieces))
	}
}

// The frames of an attempt that broke, or was taken away, do not get in the way.
func TestFramesOfAnEarlierAttemptAreDropped(t *testing.T) {
	l := NewLog("a-job")
	frame := func(attempt int64, text string) {
		l.Frame(attempt, protocol.Piece{Kind: protocol.PieceStart, JSON: []byte(text)})
	}
	l.Add(1, ringback.StreamEvent{Type: ringback.EventStarted})
	frame(1, `"torn"`)
	l.Add(3, ringback.StreamEvent{Type: ringback.EventRetrying})
	l.Add(3, ringback.StreamEvent{Type: ringback.EventStarted})
	frame(1, `"late"`)
	frame(3, `"new"`)
	size := l.Size()
	for _, l := range []*Log{l, restored(t, l)} {
		if pieces := slices.Collect(l.Pieces()); len(pieces) != 1 || string(pieces[0].JSON) != `"new"` {
			t.Errorf("got %v, want the frame of the last attempt", pieces)
		}
	}
	if without := size - l.frames.size(); l.frames.bytes != len(`"new"`) || without <= 0 {
		t.Errorf("frames take %d bytes, want those of one", l.frames.bytes)
	}
}
