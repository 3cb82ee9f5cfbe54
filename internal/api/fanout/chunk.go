package fanout

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"

	"github.com/gobwas/ws"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/sse"
)

// A chunk is one or more events, rendered once and written at once to one or many readers.
type chunk struct {
	text      bytes.Buffer // for SSE, room for an HTTP chunk's head, then the events
	json      bytes.Buffer // of one event, while it is rendered
	events    []byte       // in written form: SSE, or the frames of a WebSocket
	httpChunk []byte       // the SSE as a chunk of HTTP/1.1
	first     *ringback.StreamEvent
	last      *ringback.StreamEvent
	release   func() // returns the memory of a large one; nil: it is not counted
	holders   atomic.Int32
}

const (
	// chunkBytes is the size from which a chunk is written without waiting for more.
	chunkBytes = 32 << 10
	// headRoom is the most that the head of an HTTP chunk takes: eight digits and a line
	// end.
	headRoom = 10
)

var chunks = sync.Pool{New: func() any { return new(chunk) }}

// newChunk makes a chunk with one holder.
func newChunk() *chunk {
	b := chunks.Get().(*chunk)
	b.holders.Store(1)
	return b
}

// hold adds a holder of the chunk. Each holder must drop it.
func (b *chunk) hold() { b.holders.Add(1) }

func (b *chunk) drop() {
	if b.holders.Add(-1) > 0 {
		return
	}
	if b.release != nil {
		b.release()
		b.release = nil
	}
	if b.text.Cap() > 2*chunkBytes { // a large one is not kept
		b.text, b.json = bytes.Buffer{}, bytes.Buffer{}
	}
	b.text.Reset()
	b.events, b.httpChunk, b.first, b.last = nil, nil, nil, nil
	chunks.Put(b)
}

// chunked renders events for readers of a transport, small ones together. Each chunk must be
// dropped.
func (all *Readers) chunked(events []ringback.StreamEvent, by Transport) iter.Seq2[*chunk, error] {
	fill := (*chunk).asSSE
	if by == WebSocket {
		fill = (*chunk).asFrames
	}
	return func(yield func(*chunk, error) bool) {
		for len(events) > 0 {
			n := fitting(events)
			b := newChunk()
			err := all.account(b, events[:n])
			if err == nil {
				err = fill(b, events[:n])
			}
			if err != nil {
				b.drop()
				yield(nil, err)
				return
			}
			b.first, b.last = &events[0], &events[n-1]
			if events = events[n:]; !yield(b, nil) {
				return
			}
		}
	}
}

// fitting returns how many of the first events make a chunk, at least one.
func fitting(events []ringback.StreamEvent) (n int) {
	for size := 0; n < len(events) && size < chunkBytes; n++ {
		size += sizeOf(&events[n])
	}
	return n
}

// account reserves memory for a large chunk, as for other large answers.
func (all *Readers) account(b *chunk, events []ringback.StreamEvent) (err error) {
	size := 0
	for i := range events {
		size += sizeOf(&events[i])
	}
	if size >= 2*chunkBytes {
		b.release, err = all.Reserve(int64(size))
	}
	return err
}

// asSSE renders events as SSE, and as an HTTP chunk, RFC 9112 section 7.1.
func (b *chunk) asSSE(events []ringback.StreamEvent) error {
	b.text.Write(make([]byte, headRoom))
	for i := range events {
		e := &events[i]
		if err := b.encode(e); err != nil {
			return err
		}
		b.text.Write(sse.Append(b.text.AvailableBuffer(), e.String(), string(e.Type), b.json.Bytes()))
	}
	size := b.text.Len() - headRoom
	head := fmt.Appendf(make([]byte, 0, headRoom), "%x\r\n", size)
	b.text.WriteString("\r\n")
	text := b.text.Bytes()
	copy(text[headRoom-len(head):], head)
	b.httpChunk, b.events = text[headRoom-len(head):], text[headRoom:headRoom+size]
	return nil
}

// asFrames renders each event as a message of a WebSocket.
func (b *chunk) asFrames(events []ringback.StreamEvent) error {
	for i := range events {
		if err := b.encode(&events[i]); err != nil {
			return err
		}
		if err := ws.WriteFrame(&b.text, ws.NewTextFrame(b.json.Bytes())); err != nil {
			return fmt.Errorf("frame an event: %w", err)
		}
	}
	b.events = b.text.Bytes()
	return nil
}

// encode encodes an event into b.json.
func (b *chunk) encode(event *ringback.StreamEvent) error {
	b.json.Reset()
	if err := encode(&b.json, event); err != nil {
		return fmt.Errorf("encode event %s of job %s: %w", event.EventID, event.JobID, err)
	}
	b.json.Truncate(b.json.Len() - 1) // the newline
	return nil
}

// encode writes a value as JSON, with a newline at the end.
func encode(to *bytes.Buffer, v any) error {
	e := json.NewEncoder(to)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// eventFrame is about how many bytes an event has around its text.
const eventFrame = 200

// sizeOf returns roughly how many bytes an event has.
func sizeOf(event *ringback.StreamEvent) int {
	size := eventFrame
	if event.Delta != nil {
		size += len(event.Text)
	}
	if event.Job != nil {
		size += len(event.Job.PartialResult) + len(event.Job.Metadata)
		if event.Job.Result != nil {
			size += len(*event.Job.Result)
		}
	}
	return size
}
