package provider

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/ringback/ringback/internal/sse"
	"github.com/ringback/ringback/internal/strictjson"
)

// errSettled ends the wait for anything that may follow a whole answer.
var errSettled = errors.New("nothing more of the answer came")

// wire is a response's body: decoded, bounded, and watched for silence.
type wire struct {
	body   io.Reader
	left   int64 // bytes that may still come
	cancel context.CancelCauseFunc
	idle   time.Duration
	timer  *time.Timer // runs only while a read waits; nil before watch
	end    *time.Timer // runs once the answer is whole; nil before settle

	ahead []byte // was read by begin, and will be read again
	first [256]byte
}

func newWire(response *http.Response, limit int64, cancel context.CancelCauseFunc) *wire {
	return &wire{body: decoded(response.Header, response.Body), left: limit, cancel: cancel}
}

// begin returns the first byte that is not blank, which decides what the body is, whatever
// type its header has. Anything before it is discarded: blank lines to show that the server
// still works, a byte order mark.
func (w *wire) begin() (byte, error) {
	for undeclared := true; ; {
		n, err := w.Read(w.first[:])
		if begin := encodingOf(w.first[:n]); begin != nil && undeclared {
			w.left += int64(n)
			encoded := io.MultiReader(bytes.NewReader(bytes.Clone(w.first[:n])), w.body)
			w.body, undeclared = &decoder{begin: begin, encoded: bufio.NewReaderSize(encoded, 2<<10)}, false
			continue
		}
		for i, b := range w.first[:n] {
			if b > ' ' && b != 0xef && b != 0xbb && b != 0xbf {
				w.ahead = w.first[i:n]
				return b, nil
			}
		}
		if err != nil {
			return 0, err
		}
	}
}

func (w *wire) Read(p []byte) (int, error) {
	if len(w.ahead) > 0 {
		n := copy(p, w.ahead)
		w.ahead = w.ahead[n:]
		return n, nil
	}
	if w.left <= 0 {
		return 0, errTooLarge
	}
	if w.timer != nil {
		w.timer.Reset(w.idle)
		defer w.timer.Stop()
	}
	n, err := w.body.Read(p[:min(int64(len(p)), w.left)])
	w.left -= int64(n)
	return n, err
}

// errorBody reads the body of an error: its JSON, or that of its first event, or else its
// text. It may be empty: the status alone is enough.
func (w *wire) errorBody(idle time.Duration) []byte {
	const limit, patience, patienceOnce = 64 << 10, 10 * time.Second, 2 * time.Second
	w.watch(min(idle, patience))
	first, err := w.begin()
	if err != nil {
		return nil
	}
	w.watch(min(idle, patienceOnce))
	if first != '{' && first != '[' {
		text, _ := io.ReadAll(io.LimitReader(w, limit))
		return unframed(text)
	}
	var value strictjson.EndFinder
	text := make([]byte, 0, 4<<10)
	for len(text) < limit {
		text = slices.Grow(text, 512)
		n, err := w.Read(text[len(text):cap(text)])
		piece := text[len(text) : len(text)+n]
		n, over := value.Read(piece)
		text = text[:len(text)+n]
		if over && strictjson.Valid(text) {
			w.drain()
			break
		}
		if over { // a line of text may begin with a bracket
			text = append(text[:len(text)-n], piece...)
			rest, _ := io.ReadAll(io.LimitReader(w, limit))
			return append(text, rest...)
		}
		if err != nil {
			break
		}
	}
	return text
}

// unframed returns the data of the first event that has some, if a text is a stream of
// events, otherwise the text itself.
func unframed(text []byte) []byte {
	name, _, _ := bytes.Cut(text, []byte{':'})
	switch string(name) {
	case "", "data", "event", "id", "retry":
	default:
		return text
	}
	for event := range sse.Read(bytes.NewReader(text), sse.Limits{}) {
		if strictjson.Valid(event.Data) {
			return bytes.Clone(event.Data)
		}
	}
	return text
}

// watch cancels the call if a read waits for longer than idle, from now on.
func (w *wire) watch(idle time.Duration) {
	if w.timer == nil {
		w.timer = time.AfterFunc(idle, func() { w.cancel(errIdle) })
		w.timer.Stop()
	}
	w.idle = idle
}

// settle cancels the call after a while, unless settle is called again: the answer is
// whole, and anything more may be endless keep-alives.
func (w *wire) settle() {
	const patience = 2 * time.Second
	if w.end == nil {
		w.end = time.AfterFunc(patience, func() { w.cancel(errSettled) })
		return
	}
	w.end.Reset(patience)
}

func (w *wire) settling() bool { return w.end != nil }

// drain reads the little that follows a whole answer, so that the connection can be used
// again; a server that sends on loses it.
func (w *wire) drain() {
	const most, patience = 4 << 10, 100 * time.Millisecond
	w.watch(patience)
	_, _ = io.CopyN(io.Discard, w, most)
}

func (w *wire) stop() {
	if w.timer != nil {
		w.timer.Stop()
	}
	if w.end != nil {
		w.end.Stop()
	}
}
