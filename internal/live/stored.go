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
)

// stored is an event as it is stored, one per line.
type stored struct {
	Attempt int64              `json:"a"`
	Number  int64              `json:"n"`
	Type    ringback.EventType `json:"t,omitempty"` // "" is job.delta
	At      int64              `json:"at,omitempty"`
	Model   string             `json:"m,omitempty"`
	Kind    kind               `json:"k,omitempty"`
	Index   int32              `json:"i,omitempty"`
	Text    string             `json:"x,omitempty"`
}

// storedEntry is the size of most stored events without their text, in bytes.
const storedEntry = 32

// Encode returns the log as it is stored.
func (l *Log) Encode() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flush()
	var b bytes.Buffer
	b.Grow(len(l.text) + l.large + storedEntry*len(l.entries))
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	for i, e := range l.entries {
		s := stored{Attempt: e.id.Attempt, Number: e.id.Number}
		if e := l.event(i); e.Delta != nil {
			s.Kind, s.Index, s.Text = kindOf(e.Kind), int32(e.Index), e.Text
		} else {
			s.Type, s.Model = e.Type, e.Model
			if !e.Timestamp.IsZero() {
				s.At = e.Timestamp.UnixMilli()
			}
		}
		_ = enc.Encode(s) //nolint:errchkjson // a buffer takes everything, and each field can be encoded
	}
	return b.Bytes()
}

// Decode returns the events that Encode has written, oldest first, a few hundred at a time.
func Decode(encoded io.Reader) iter.Seq2[[]ringback.StreamEvent, error] {
	return func(yield func([]ringback.StreamEvent, error) bool) {
		dec := json.NewDecoder(encoded)
		for {
			events, err := decodeSome(dec)
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
func decodeSome(dec *json.Decoder) (events []ringback.StreamEvent, err error) {
	for bytes := 0; len(events) < mostEvents && bytes < mostBytes; {
		var s stored
		if err := dec.Decode(&s); err != nil {
			return events, err
		}
		if int(s.Kind) >= len(kinds) {
			return events, fmt.Errorf("there is no kind %d", s.Kind)
		}
		bytes += len(s.Text)
		events = append(events, s.event())
	}
	return events, nil
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
