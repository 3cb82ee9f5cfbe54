package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/sse"
)

// A batch is events as they are written in one go, to one reader or many.
type batch struct {
	text    bytes.Buffer // room for a chunk's head, then the events
	json    bytes.Buffer // of one event, on its way
	events  []byte       // as they are written, when it is sealed
	chunk   []byte       // the same, as a chunk
	last    *ringback.StreamEvent
	release func() // of the memory of a large one; nil: it is not counted
	holders atomic.Int32
}

const (
	// batchBytes is from what size on a batch is written without waiting for more.
	batchBytes = 32 << 10
	// headRoom is what the head of a chunk takes at most: eight digits and a line end.
	headRoom = 10
)

var (
	batches = sync.Pool{New: func() any { return new(batch) }}
	lineEnd = []byte("\n")
)

// newBatch makes a batch with one holder.
func newBatch() *batch {
	b := batches.Get().(*batch)
	b.text.Write(make([]byte, headRoom))
	b.holders.Store(1)
	return b
}

// hold counts one more who needs the batch; each must drop it.
func (b *batch) hold() { b.holders.Add(1) }

func (b *batch) drop() {
	if b.holders.Add(-1) > 0 {
		return
	}
	if b.release != nil {
		b.release()
		b.release = nil
	}
	if b.text.Cap() > 2*batchBytes { // a large one is not kept
		b.text, b.json = bytes.Buffer{}, bytes.Buffer{}
	}
	b.text.Reset()
	b.events, b.chunk, b.last = nil, nil, nil
	batches.Put(b)
}

// batched renders events as SSE, together as far as they are small. Each batch must be
// dropped.
func (s *Server) batched(events []ringback.StreamEvent) iter.Seq2[*batch, error] {
	return func(yield func(*batch, error) bool) {
		for len(events) > 0 {
			b := newBatch()
			n, err := s.fill(b, events)
			if err != nil {
				b.drop()
				yield(nil, err)
				return
			}
			if events = events[n:]; !yield(b, nil) {
				return
			}
		}
	}
}

// fill renders the first events into a batch, and tells how many.
func (s *Server) fill(b *batch, events []ringback.StreamEvent) (n int, err error) {
	for n < len(events) && b.text.Len() < batchBytes {
		b.last = &events[n]
		if err := s.render(b, renderSSE); err != nil {
			return n, err
		}
		n++
	}
	b.seal()
	return n, nil
}

// render writes the last event behind what is there. A large one counts as memory, as
// other large answers do.
func (s *Server) render(b *batch, form func(*batch) error) (err error) {
	if size := sizeOf(b.last); size > batchBytes {
		if b.release, err = s.reserve(int64(size)); err != nil {
			return err
		}
	}
	return form(b)
}

// renderSSE writes the last event as SSE.
func renderSSE(b *batch) error {
	b.json.Reset()
	if err := encodeEvent(&b.json, b.last); err != nil {
		return err
	}
	b.text.Write(sse.Append(b.text.AvailableBuffer(), b.last.String(), string(b.last.Type), bytes.TrimSuffix(b.json.Bytes(), lineEnd)))
	return nil
}

// renderMessage writes the last event as a message.
func renderMessage(b *batch) error {
	err := encodeEvent(&b.text, b.last)
	b.events = bytes.TrimSuffix(b.text.Bytes()[headRoom:], lineEnd)
	return err
}

func encodeEvent(b *bytes.Buffer, event *ringback.StreamEvent) error {
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	if err := e.Encode(event); err != nil {
		return fmt.Errorf("encode event %s of job %s: %w", event.EventID, event.JobID, err)
	}
	return nil
}

// sizeOf is about how many bytes an event has.
func sizeOf(event *ringback.StreamEvent) int {
	size := 0
	if event.Delta != nil {
		size = len(event.Text)
	}
	if event.Job != nil {
		size = len(event.Job.PartialResult) + len(event.Job.Metadata)
		if event.Job.Result != nil {
			size += len(*event.Job.Result)
		}
	}
	return size
}

// seal makes a chunk of the events, RFC 9112 section 7.1.
func (b *batch) seal() {
	size := b.text.Len() - headRoom
	head := fmt.Appendf(make([]byte, 0, headRoom), "%x\r\n", size)
	b.text.WriteString("\r\n")
	text := b.text.Bytes()
	copy(text[headRoom-len(head):], head)
	b.chunk, b.events = text[headRoom-len(head):], text[headRoom:headRoom+size]
}

// as is a sealed batch as it is written, as a chunk or not.
func (b *batch) as(chunk bool) []byte {
	if chunk {
		return b.chunk
	}
	return b.events
}
