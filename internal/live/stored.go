package live

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/protocol"
)

// stored is an event or a frame as it is stored, one per line. A frame has the id of the
// event that it follows: to a reader that knows no frames it is an event that it has.
type stored struct {
	Attempt int64              `json:"a"`
	Number  int64              `json:"n"`
	Type    ringback.EventType `json:"t,omitempty"` // "" is job.delta
	At      int64              `json:"at,omitempty"`
	Model   string             `json:"m,omitempty"`
	Kind    kind               `json:"k,omitempty"`
	Index   int32              `json:"i,omitempty"`
	Text    string             `json:"x,omitempty"`
	Frame   protocol.PieceKind `json:"f,omitempty"` // "" is an event
	// JSON is a string: a message may be nested more deeply than a decoder accepts.
	JSON string `json:"j,omitempty"`
}

// storedEntry is the size of most stored events without their text, in bytes.
const storedEntry = 32

// Encode returns the log as it is stored.
func (l *Log) Encode() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flush()
	var b bytes.Buffer
	b.Grow(len(l.text) + l.large + l.frames.bytes + storedEntry*(len(l.entries)+len(l.frames.all)))
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	left := l.frames.all
	for i, e := range l.entries {
		_ = enc.Encode(storedEvent(l.event(i))) //nolint:errchkjson // a buffer takes everything, and each field can be encoded
		for len(left) > 0 && left[0].after == e.id {
			_ = enc.Encode(storedFrame(left[0])) //nolint:errchkjson // as above
			left = left[1:]
		}
	}
	return b.Bytes()
}

func storedEvent(e ringback.StreamEvent) stored {
	s := stored{Attempt: e.Attempt, Number: e.Number}
	if e.Delta != nil {
		s.Kind, s.Index, s.Text = kindOf(e.Kind), int32(e.Index), e.Text
		return s
	}
	s.Type, s.Model = e.Type, e.Model
	if !e.Timestamp.IsZero() {
		s.At = e.Timestamp.UnixMilli()
	}
	return s
}

func storedFrame(f frame) stored {
	return stored{
		Attempt: f.after.Attempt, Number: f.after.Number, Frame: frameKinds[f.kind], Kind: f.of, Index: f.index, JSON: f.json,
	}
}

// Load adds what Encode has written, and returns the id of the last event of it.
func (l *Log) Load(encoded io.Reader) (last ringback.EventID, err error) {
	var kept frames
	for events, err := range decode(encoded, kept.add) {
		if err != nil {
			return last, err
		}
		l.Append(events...)
		last = events[len(events)-1].EventID
	}
	l.setFrames(kept)
	return last, nil
}

// decode returns the events that Encode has written, oldest first, a few hundred at a time,
// and passes the frames on.
func decode(encoded io.Reader, framed func(frame)) iter.Seq2[[]ringback.StreamEvent, error] {
	return func(yield func([]ringback.StreamEvent, error) bool) {
		dec := json.NewDecoder(encoded)
		for {
			events, err := decodeSome(dec, framed)
			if len(events) > 0 && !yield(events, nil) || errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(nil, fmt.Errorf("read stored events: %w", err))
				return
			}
		}
	}
}

// decodeSome reads about as many events as behind returns.
func decodeSome(dec *json.Decoder, framed func(frame)) (events []ringback.StreamEvent, err error) {
	for bytes := 0; len(events) < mostEvents && bytes < mostBytes; {
		var s stored
		if err := dec.Decode(&s); err != nil {
			return events, err
		}
		if int(s.Kind) >= len(kinds) {
			return events, fmt.Errorf("there is no kind %d", s.Kind)
		}
		if s.Frame != "" {
			if f, known := s.frame(); known {
				framed(f)
			}
			continue
		}
		bytes += len(s.Text)
		events = append(events, s.event())
	}
	return events, nil
}

// frame returns the frame that is stored, unless its kind is one of a later version.
func (s stored) frame() (f frame, known bool) {
	return newFrame(ringback.EventID{Attempt: s.Attempt, Number: s.Number}, protocol.Piece{
		Kind: s.Frame, Delta: ringback.Delta{Kind: kinds[s.Kind], Index: int(s.Index)}, JSON: []byte(s.JSON),
	})
}

func (s stored) event() ringback.StreamEvent {
	e := ringback.StreamEvent{Type: s.Type, EventID: ringback.EventID{Attempt: s.Attempt, Number: s.Number}, Model: s.Model}
	if s.At != 0 {
		e.Timestamp = ringback.Time{Time: time.UnixMilli(s.At).UTC()}
	}
	if s.Type == "" {
		e.Type, e.Delta = ringback.EventDelta, &ringback.Delta{Kind: kinds[s.Kind], Index: int(s.Index), Text: s.Text}
	}
	return e
}
