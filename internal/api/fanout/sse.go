package fanout

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/longjson"
	"github.com/ringback/ringback/internal/sse"
)

// EventStream is the media type of SSE.
const EventStream = "text/event-stream"

// When an EventSource is told to come again, in milliseconds: normally, and at the server's end,
// where all come at once.
const (
	retryAfter  = 1000
	retrySpread = 2000
)

// serverSentEvents is SSE over HTTP, for one reader.
type serverSentEvents struct {
	chunked bool // HTTP/1.1, whose chunks mark where an answer ends
	said    int  // bytes that the reader sent after its request
}

func (p *serverSentEvents) head(h http.Header) []byte {
	h.Set("Content-Type", EventStream)
	h.Set("Cache-Control", "no-store, no-transform")
	h.Set("X-Accel-Buffering", "no") // for nginx and other proxies
	if p.chunked {
		h.Set("Transfer-Encoding", "chunked")
	} else {
		h.Set("Connection", "close")
	}
	return append(answerHead(http.StatusOK, h), p.piece(retry(retryAfter))...)
}

// answerHead returns the beginning of an answer.
func answerHead(status int, h http.Header) []byte {
	var b bytes.Buffer
	_, _ = fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", status, http.StatusText(status))
	_ = h.Write(&b) // a buffer takes everything
	b.WriteString("\r\n")
	return b.Bytes()
}

// retry returns the field that tells an EventSource when to come again, in milliseconds.
func retry(after int) string { return "retry: " + strconv.Itoa(after) + "\n\n" }

// piece returns text as the answer has it.
func (p *serverSentEvents) piece(text string) []byte {
	if !p.chunked {
		return []byte(text)
	}
	return fmt.Appendf(nil, "%x\r\n%s\r\n", len(text), text)
}

func (p *serverSentEvents) of(b *chunk) []byte {
	if p.chunked {
		return b.httpChunk
	}
	return b.events
}

// long returns an event in as many chunks as it has pieces.
func (p *serverSentEvents) long(e *ringback.StreamEvent, json longjson.Value) (text func(w io.Writer) error, length int64, err error) {
	head, end, _ := strings.Cut(string(sse.Append(nil, e.String(), string(e.Type), []byte("0"))), "data: 0")
	event := json.Between(head+"data: ", end)
	length, err = event.Len()
	return func(w io.Writer) error {
		if p.chunked {
			w = chunkedWriter{w}
		}
		return event.Write(w)
	}, length, err
}

// A chunkedWriter writes each piece as a chunk of HTTP/1.1.
type chunkedWriter struct{ out io.Writer }

func (c chunkedWriter) Write(piece []byte) (int, error) {
	for _, part := range [][]byte{fmt.Appendf(nil, "%x\r\n", len(piece)), piece, []byte("\r\n")} {
		if _, err := c.out.Write(part); err != nil {
			return 0, err
		}
	}
	return len(piece), nil
}

// slack is 1: a reader that is cut off comes again with the id of the last complete event.
func (p *serverSentEvents) slack() int { return 1 }

func (p *serverSentEvents) alive() ([]byte, error) { return p.piece(sse.Comment), nil }

// mostTalk is how many bytes a reader may send after its request. It would be a pipelined
// request: its client has to send it again over another connection, see RFC 9112, section
// 9.3.2.
const mostTalk = 4 << 10

func (p *serverSentEvents) receive(said []byte) (reply []byte, err error) {
	if p.said += len(said); p.said > mostTalk {
		return nil, errTalks
	}
	return nil, nil
}

// lastChunk ends an answer that consists of chunks.
const lastChunk = "0\r\n\r\n"

// end says when to come again, if it is the server that leaves.
func (p *serverSentEvents) end(t *subscriber, why error) (again bool) {
	if errors.Is(why, errGone) {
		return false
	}
	var text []byte
	if errors.Is(why, ErrClosing) {
		text = p.piece(retry(retryAfter + rand.IntN(retrySpread)))
	}
	if p.chunked {
		text = append(text, lastChunk...)
	}
	return t.write(text) == nil && p.chunked
}
