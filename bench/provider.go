package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// behaviour is how the provider answers.
type behaviour struct {
	pause  time.Duration // before the first byte
	stream time.Duration // from the first piece to the last; 0: all at once
	pieces int           // of a streamed answer
	size   int           // bytes of text
	// together has all calls stream by one clock, the run's: the time of a piece is when it
	// is first written.
	together bool
}

// atOnce answers with a paragraph and no delay.
var atOnce = behaviour{pieces: 20, size: 500}

// frames are the parts of a streamed answer, made once for each behaviour.
type frames struct {
	text   string
	head   []byte
	pieces [][]byte
	tail   []byte
	whole  []byte // all of them
	plain  []byte // the answer that is not streamed
}

var rendered sync.Map // behaviour → *frames

func (b behaviour) frames() *frames {
	if f, ok := rendered.Load(b); ok {
		return f.(*frames) //nolint:forcetypeassert // nothing else is stored
	}
	f := b.render()
	rendered.Store(b, f)
	return f
}

const words = "the quick brown fox jumps over the lazy dog and runs on "

func (b behaviour) render() *frames {
	text := strings.Repeat(words, b.size/len(words)+1)[:b.size]
	f := &frames{
		text: text,
		head: []byte(`event: message_start
data: {"type":"message_start","message":{"id":"msg_01XFDUDYJgAACzvnptvVoYEL","type":"message","role":"assistant","content":[],"model":"claude-bench","stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":250,"output_tokens":1}}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}

`),
		tail: fmt.Appendf(nil, `event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":%d}}

event: message_stop
data: {"type":"message_stop"}

`, b.size/4),
	}
	for i := range b.pieces {
		piece, _ := json.Marshal(text[i*b.size/b.pieces : (i+1)*b.size/b.pieces])
		f.pieces = append(f.pieces, fmt.Appendf(nil, `event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":%s}}

`, piece))
	}
	f.whole = slices.Concat(f.head, bytes.Join(f.pieces, nil), f.tail)
	quoted, _ := json.Marshal(text)
	f.plain = fmt.Appendf(nil, `{"id":"msg_01XFDUDYJgAACzvnptvVoYEL","type":"message","role":"assistant","model":"claude-bench","content":[{"type":"text","text":%s}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":250,"output_tokens":%d}}`, quoted, b.size/4)
	return f
}

var bodies = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// answer serves the provider: Anthropic's protocol, streamed where requested.
func (w *world) answer(rw http.ResponseWriter, req *http.Request) {
	buf := bodies.Get().(*bytes.Buffer) //nolint:forcetypeassert // nothing else is in the pool
	buf.Reset()
	_, err := io.Copy(buf, req.Body)
	n, streamed := jobNumber(buf.Bytes()), bytes.Contains(buf.Bytes(), []byte(`"stream":true`))
	bodies.Put(buf)
	r := w.run.Load()
	if err != nil || r == nil || n < 0 || n >= len(r.jobs) {
		http.Error(rw, `{"type":"error","error":{"type":"invalid_request_error","message":"of no run"}}`, http.StatusBadRequest)
		return
	}
	r.call(n)
	defer r.live.Add(-1)
	if streamed {
		r.stream(rw, req, n)
	} else {
		r.plain(rw, req)
	}
	r.jobs[n].answered.Store(r.now())
}

func (r *run) call(n int) {
	r.calls.Add(1)
	if !r.jobs[n].called.CompareAndSwap(0, r.now()) {
		r.repeated.Add(1)
		r.jobs[n].calledAgain.CompareAndSwap(0, r.now())
	}
	for live := r.live.Add(1); ; {
		peak := r.peak.Load()
		if live <= peak || r.peak.CompareAndSwap(peak, live) {
			return
		}
	}
}

// plain writes an answer in one piece, at the time when the streamed one would end.
func (r *run) plain(rw http.ResponseWriter, req *http.Request) {
	if !rest(req, r.behaviour.pause+r.behaviour.stream) {
		return
	}
	f := r.behaviour.frames()
	rw.Header().Set("Content-Type", "application/json")
	rw.Header().Set("Content-Length", strconv.Itoa(len(f.plain)))
	_, _ = rw.Write(f.plain)
}

func (r *run) stream(rw http.ResponseWriter, req *http.Request, n int) {
	b := r.behaviour
	f := b.frames()
	rw.Header().Set("Content-Type", "text/event-stream")
	pause := b.pause
	if b.together {
		pause -= time.Since(r.start)
	}
	if !rest(req, pause) {
		return
	}
	if b.stream == 0 {
		_, _ = rw.Write(f.whole)
		return
	}
	out := http.NewResponseController(rw)
	began := time.Now()
	if b.together {
		began = r.start.Add(b.pause)
	}
	_, _ = rw.Write(f.head)
	for i, piece := range f.pieces {
		r.written[n*b.pieces+i].CompareAndSwap(0, r.now())
		_, _ = rw.Write(piece)
		_ = out.Flush()
		// By the clock from the beginning, so that delays do not add up.
		if !rest(req, time.Until(began.Add(b.stream*time.Duration(i+1)/time.Duration(len(f.pieces))))) {
			return
		}
	}
	_, _ = rw.Write(f.tail)
}

// rest waits, unless the caller leaves.
func rest(req *http.Request, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-req.Context().Done():
		return false
	}
}

// jobNumber finds the number of the job in a request; -1 if there is none.
func jobNumber(body []byte) int {
	_, rest, found := bytes.Cut(body, []byte(numbered))
	if !found {
		return -1
	}
	end := bytes.IndexByte(rest, ' ')
	if end < 0 {
		return -1
	}
	n, err := strconv.Atoi(string(rest[:end]))
	if err != nil {
		return -1
	}
	return n
}
