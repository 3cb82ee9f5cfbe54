// Package sse reads the framing of server-sent events: lines into fields, fields into
// events, as the WHATWG HTML standard says (section 9.2.6).
//
// It gives an event no meaning: what a type or a payload means, and when a stream is over,
// is up to its callers. It guarantees:
//
//   - An event is yielded as soon as its blank line has been read, and without an error
//     only then.
//   - A stream that stops between two events ends the iteration; one that stops inside an
//     event ends it with ErrCut, and with the part of that event that had arrived.
//   - Memory is bounded by Limits, whatever the sender does.
package sse

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
	"time"
	"unicode/utf8"
)

var (
	// ErrCut ends a stream that stopped inside a line or an event.
	ErrCut = errors.New("sse: the stream stopped inside an event")
	// ErrTooLarge ends a stream with a line or an event over its limit.
	ErrTooLarge = errors.New("sse: a line or an event is over its limit")
)

// errEnd is io.EOF within this package. An error that a reader returns may wrap io.EOF and
// still be a failure.
var errEnd = errors.New("sse: end of the stream")

// Event is one dispatched event.
type Event struct {
	// Type is "message" where the stream names none.
	Type string
	// ID is the last event id that the stream has set, on this event or before.
	ID string
	// Data is the payload: valid UTF-8 (anything else is replaced by U+FFFD), its lines
	// joined by LF. It is valid until the next step of the iteration.
	Data []byte
	// Retry is the reconnection time that the stream last named, 0 if none.
	Retry time.Duration
}

// Limits bound what a stream may make its reader hold.
type Limits struct {
	// Line is the longest line in bytes, without its end; 0 means 1 MiB.
	Line int
	// Event is the most data of one event in bytes; 0 means 1 MiB.
	Event int
	// Waits, if set, is called before more is read while an event has data but has not
	// ended, with that data, which is only valid during the call.
	Waits func(data []byte)
	// Grow, if set, is called before n further bytes are held beyond the first 2 KiB. Its
	// error ends the iteration.
	Grow func(n int) error
	// Loose is for servers that abandon the framing when they fail: a field named error
	// counts as an event of that type, and a JSON object outside any field as an event.
	// Otherwise both are ignored, as the standard says.
	Loose bool
}

const (
	defaultLimit = 1 << 20
	firstBuffer  = 1 << 10 // of lines, and as much of data: most events are smaller
	largeLine    = 1 << 20 // bytes that are worth not copying
)

// Read yields the events of r until r ends. The last pair has an error unless r ended
// between two events: ErrCut, ErrTooLarge, an error of Limits.Grow, or whatever r returned,
// wrapped. If the stream stopped inside an event, that pair has the part of it that had
// arrived, as if its blank line had. Read reads no further than it must to know that an
// event is complete, except for the rest of one call of r.Read.
func Read(r io.Reader, limits Limits) iter.Seq2[Event, error] {
	if limits.Line <= 0 {
		limits.Line = defaultLimit
	}
	if limits.Event <= 0 {
		limits.Event = defaultLimit
	}
	return func(yield func(Event, error) bool) {
		p := parser{
			lines: lines{r: r, limits: limits, buf: make([]byte, min(firstBuffer, limits.Line+1))},
			data:  make([]byte, 0, min(firstBuffer, limits.Event+1)),
		}
		if limits.Waits != nil {
			p.lines.waits = p.waits
		}
		for {
			event, err := p.next()
			if errors.Is(err, errEnd) {
				return
			}
			if !yield(event, err) || err != nil {
				return
			}
		}
	}
}

// parser makes events from lines.
type parser struct {
	lines lines
	id    string
	retry time.Duration
	// lastKind is the type that the stream named last.
	lastKind string

	// The event that is being read.
	kind    string
	data    []byte // each line with its LF
	hasData bool
	open    bool // a field has arrived since the last blank line
	bare    bool // data is an object outside any field
}

// next returns the next event, or errEnd if the stream ended between two.
func (p *parser) next() (Event, error) {
	for {
		line, err := p.lines.next()
		switch {
		case errors.Is(err, errEnd) && p.open:
			return p.cut(), ErrCut
		case err != nil:
			return p.cut(), err
		case len(line) > 0:
			if err := p.field(line); err != nil {
				return Event{}, err
			}
			if p.bare && line[len(line)-1] == '}' && (line[0] == '{' || len(line) == 1) {
				return p.dispatch(), nil // no blank line needs to follow
			}
		case p.hasData:
			return p.dispatch(), nil
		default: // a blank line without data drops the type
			p.kind, p.open = "", false
		}
	}
}

// dispatch returns the event and starts the next one.
func (p *parser) dispatch() Event {
	data := p.data[:len(p.data)-1] // the last line's LF
	if !utf8.Valid(data) {
		data = bytes.ToValidUTF8(data, []byte("\uFFFD"))
	}
	event := Event{Type: p.kind, ID: p.id, Data: data, Retry: p.retry}
	if event.Type == "" {
		event.Type = "message"
	}
	p.kind, p.data, p.hasData, p.open, p.bare = "", p.data[:0], false, false, false
	return event
}

// waits passes the event that needs more data to Limits.Waits. The line that has not ended
// yet may be all of its data.
func (p *parser) waits() {
	data, begun := bytes.TrimSuffix(p.data, []byte{'\n'}), p.hasData
	if !begun {
		data, begun = bytes.CutPrefix(p.lines.cut(), []byte("data:"))
	}
	if data = bytes.TrimPrefix(data, []byte{' '}); begun && len(data) > 0 {
		p.lines.limits.Waits(data)
	}
}

// cut returns the part of an event that will not end.
func (p *parser) cut() Event {
	line := p.lines.cut()
	if len(line) > p.lines.limits.Line || len(line) > 0 && p.field(line) != nil || !p.hasData {
		return Event{}
	}
	return p.dispatch()
}

// field handles one line that is not blank.
func (p *parser) field(line []byte) error {
	if p.lines.limits.Loose && (p.bare || line[0] == '{' && !p.hasData) {
		p.open, p.bare = true, true
		return p.append(line)
	}
	name, value, _ := bytes.Cut(line, []byte{':'})
	if len(name) == 0 {
		return nil // a comment
	}
	value = bytes.TrimPrefix(value, []byte{' '})
	p.open = true
	switch string(name) {
	case "data":
		return p.append(value)
	case "event":
		if string(value) != p.lastKind { // a stream repeats its types: no allocation for each
			p.lastKind = text(value)
		}
		p.kind = p.lastKind
	case "id":
		if bytes.IndexByte(value, 0) < 0 && string(value) != p.id {
			p.id = text(value)
		}
	case "retry":
		p.setRetry(value)
	case "error": // llama.cpp
		if p.lines.limits.Loose {
			p.kind = "error"
			return p.append(value)
		}
	}
	return nil
}

// append adds a line of data.
func (p *parser) append(line []byte) error {
	need := len(p.data) + len(line) + 1
	if need-1 > p.lines.limits.Event {
		return ErrTooLarge
	}
	if len(p.data) == 0 && len(line) >= largeLine && p.lines.swap(line, p.data) {
		p.data, p.hasData = append(line, '\n'), true
		return nil
	}
	if need > cap(p.data) {
		size := min(max(need, 2*cap(p.data)), p.lines.limits.Event+1)
		if err := p.lines.limits.grow(size - cap(p.data)); err != nil {
			return err
		}
		p.data = append(make([]byte, 0, size), p.data...)
	}
	p.data = append(append(p.data, line...), '\n')
	p.hasData = true
	return nil
}

func (p *parser) setRetry(value []byte) {
	for _, c := range value {
		if c < '0' || c > '9' {
			return
		}
	}
	const most = int64(1<<63-1) / int64(time.Millisecond)
	if ms, err := strconv.ParseInt(string(value), 10, 64); err == nil && ms <= most {
		p.retry = time.Duration(ms) * time.Millisecond
	}
}

// text returns a field's value as a string.
func text(value []byte) string {
	if !utf8.Valid(value) {
		value = bytes.ToValidUTF8(value, []byte("\uFFFD"))
	}
	return string(value)
}

func (l Limits) grow(n int) error {
	if l.Grow == nil || n <= 0 {
		return nil
	}
	return l.Grow(n)
}

// lines cuts a stream into lines, whose end is LF, CR or CRLF.
type lines struct {
	r      io.Reader
	limits Limits
	buf    []byte // buf[start:end] is read and not yet returned; it never holds more than a line at its limit and the line's end
	start  int
	end    int
	// afterCR: the last line ended in CR, and an LF that follows belongs to it. Nothing
	// waits for it: the event that this line completes may be the last thing to arrive for
	// a long time.
	afterCR bool
	begun   bool // the first line, which may begin with a byte order mark, is over
	waits   func()
	err     error // what r returned together with its last bytes
}

// next returns the next line without its end, valid until the next call; errEnd if the
// stream ended after a line, ErrCut if it ended inside one.
func (l *lines) next() ([]byte, error) {
	searched := 0 // bytes of buf[start:end] known to hold no line end
	for {
		if l.afterCR && l.start < l.end {
			if l.buf[l.start] == '\n' {
				l.start++
			}
			l.afterCR = false
		}
		if at := endOfLine(l.buf[l.start+searched : l.end]); at >= 0 {
			return l.take(searched + at), nil
		}
		searched = l.end - l.start
		if searched > l.limits.Line {
			return nil, ErrTooLarge
		}
		err := l.fill()
		if errors.Is(err, errEnd) && l.end > l.start {
			return nil, ErrCut
		}
		if err != nil {
			return nil, err
		}
	}
}

// cut returns the line that has not ended.
func (l *lines) cut() []byte { return l.buf[l.start:l.end] }

// take returns the line of n bytes at the front of the buffer.
func (l *lines) take(n int) []byte {
	line := l.buf[l.start : l.start+n]
	l.afterCR = l.buf[l.start+n] == '\r'
	l.start += n + 1
	if !l.begun {
		l.begun = true
		line = bytes.TrimPrefix(line, []byte("\xEF\xBB\xBF"))
	}
	return line
}

// swap exchanges the buffer, with the line that was last taken, for another one, so that
// the line need not be copied. It reports whether the other one has room for what was read
// after the line.
func (l *lines) swap(line, other []byte) bool {
	rest := l.buf[l.start:l.end]
	if cap(line) == len(line) || len(rest) > cap(other) {
		return false
	}
	l.buf = other[:cap(other)]
	l.start, l.end = 0, copy(l.buf, rest)
	return true
}

func endOfLine(b []byte) int {
	at := bytes.IndexByte(b, '\n')
	if at >= 0 {
		b = b[:at]
	}
	if cr := bytes.IndexByte(b, '\r'); cr >= 0 {
		return cr
	}
	return at
}

// fill reads more into the buffer, after making room in it.
func (l *lines) fill() error {
	if l.start > 0 {
		l.end = copy(l.buf, l.buf[l.start:l.end])
		l.start = 0
	}
	if l.end == len(l.buf) {
		size := min(2*len(l.buf), l.limits.Line+1)
		if err := l.limits.grow(size - len(l.buf)); err != nil {
			return err
		}
		l.buf = append(make([]byte, 0, size), l.buf...)[:size]
	}
	if l.waits != nil {
		l.waits()
	}
	const patience = 100 // reads of nothing without an error
	for range patience {
		if l.err == io.EOF { //nolint:errorlint // an error that wraps it is not the end, see io.Reader
			return errEnd
		}
		if l.err != nil {
			return fmt.Errorf("read the stream: %w", l.err)
		}
		var n int
		n, l.err = l.r.Read(l.buf[l.end:])
		l.end += n
		if n > 0 {
			return nil
		}
	}
	return fmt.Errorf("read the stream: %w", io.ErrNoProgress)
}
