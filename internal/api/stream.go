package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/longjson"
	"github.com/ringback/ringback/internal/node"
	"github.com/ringback/ringback/internal/sse"
)

// The reconnection times for an EventSource, in milliseconds: initially, and at the
// server's end, when all come back at once.
const (
	retryAfter  = 1000
	retrySpread = 2000
)

// GET /api/jobs/{id}/stream
func (s *Server) stream(ctx context.Context, c *call) (reply, error) {
	if c.method == http.MethodHead {
		return s.headOfStream(ctx, c)
	}
	reader, err := s.watch(ctx, c, overSSE)
	if err != nil {
		return reply{}, err
	}
	err = isThere(ctx, reader)
	switch {
	case errors.Is(err, io.EOF):
		reader.leave()
		return reply{status: http.StatusNoContent}, nil
	case err != nil:
		reader.leave()
		return reply{}, err
	}
	return s.streamed(reader, http.StatusOK, func(r *http.Request) transport { return &serverSentEvents{chunked: r.ProtoAtLeast(1, 1)} }), nil
}

// headOfStream returns the head that GET would return, without a reader. It lets another
// node know whether there are readers here.
func (s *Server) headOfStream(ctx context.Context, c *call) (reply, error) {
	if isRelay(c.header) && !s.node.HasReaders(c.id) {
		return reply{}, &ringback.Error{Code: ringback.NotFound, Message: "nobody watches this job here"}
	}
	if err := s.node.Exists(ctx, c.caller.Project, c.id); err != nil {
		return reply{}, err
	}
	return reply{stream: func(w http.ResponseWriter, _ *http.Request) int {
		w.Header().Set("Content-Type", eventStream) // and no length
		w.WriteHeader(http.StatusOK)
		return http.StatusOK
	}}, nil
}

// isRelay reports whether the caller is another node.
func isRelay(h http.Header) bool { return h.Get(node.RelayHeader) == "1" }

// streamed returns a reply that a reader gets over a connection of its own. It begins with
// a status.
func (s *Server) streamed(by *reader, status int, speaks func(r *http.Request) transport) reply {
	return reply{stream: func(w http.ResponseWriter, r *http.Request) int {
		if err := s.subscribe(w, r, by, speaks(r)); err != nil {
			by.leave()
			return s.write(w, r, s.refuse(r, w.Header().Get(headerRequestID), err))
		}
		return status
	}}
}

// watch opens the events of a job for a reader. Its leave must be called.
func (s *Server) watch(ctx context.Context, c *call, by transportName) (*reader, error) {
	relay := isRelay(c.header)
	if s.worker && !relay { // it reports what it runs, to other nodes
		return nil, &ringback.Error{Code: ringback.NotFound, Message: onlyWorks}
	}
	after, err := resumesAfter(c)
	if err != nil {
		return nil, err
	}
	r, err := s.readers.enter(by)
	if err != nil {
		return nil, err
	}
	if r.Stream, err = s.node.Stream(ctx, c.caller.Project, c.id, after, relay); err != nil {
		r.leave()
		return nil, err
	}
	return r, nil
}

const (
	headerLastEventID = "Last-Event-ID"
	eventStream       = "text/event-stream"
)

// resumesAfter returns the last event that a reader has seen. What an EventSource sends
// when it reconnects is newer than its URL.
func resumesAfter(c *call) (ringback.EventID, error) {
	after, err := eventID("after", c.query.text("after"))
	if text := c.header.Get(headerLastEventID); err == nil && text != "" {
		return eventID(headerLastEventID, text)
	}
	return after, err
}

func eventID(name, text string) (ringback.EventID, error) {
	id, err := ringback.ParseEventID(text)
	if err != nil {
		return id, invalidParameter(name, "must be the id of an event, ATTEMPT-NUMBER, such as 1-7")
	}
	return id, nil
}

// lookFor bounds how long the events of a job that has ended may take to be read.
const lookFor = 20 * time.Second

// isThere waits until the events of a job that has ended can be read; io.EOF if the reader
// has seen all. For another job there may be none for long, and the reader must know that
// it is connected.
func isThere(ctx context.Context, r *reader) error {
	if !r.Over() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookFor)
	defer cancel()
	return r.Wait(ctx)
}

// recordStream logs why a stream broke off, if that is our fault.
func (s *Server) recordStream(r *reader, err error) {
	known, _ := outsideError(err)
	switch {
	case err == nil, known != nil, errors.Is(err, io.EOF), errors.Is(err, errClosing), errors.Is(err, errReader):
		return
	}
	s.log.Error("stream broke off", slog.Any("job_id", r.Job()), slog.String("transport", string(r.by)), slog.Any("err", err))
}

var (
	// errReader is an error on the reader's side.
	errReader = errors.New("it is the reader's doing")
	// errGone is a reader that nothing more can be sent to.
	errGone = fmt.Errorf("%w: it is gone", errReader)
	// errSlow is a reader that does not read its events in time, errStuck one that has not
	// done so when its connection is given up.
	errSlow  = fmt.Errorf("%w: it took too long to take its events", errReader)
	errStuck = fmt.Errorf("%w, and still does: %w", errSlow, errGone)
	errTalks = fmt.Errorf("%w: it talks", errGone)
)

// lost returns an error of the connection. It is no io.EOF, whatever err is: that is the
// end of the job.
func lost(err error) error {
	return fmt.Errorf("%w: %v", errGone, err) //nolint:errorlint // see above
}

// serverSentEvents is SSE over HTTP, for one reader.
type serverSentEvents struct {
	chunked bool // HTTP/1.1, which marks where a response ends
	said    int  // by the reader after its request, in bytes
}

func (p *serverSentEvents) head(h http.Header) []byte {
	h.Set("Content-Type", eventStream)
	h.Set("Cache-Control", "no-store, no-transform")
	h.Set("X-Accel-Buffering", "no") // for nginx, and those that follow it
	if p.chunked {
		h.Set("Transfer-Encoding", "chunked")
	} else {
		h.Set("Connection", "close")
	}
	return append(answerHead(http.StatusOK, h), p.piece(retry(retryAfter))...)
}

// answerHead returns the head of a response.
func answerHead(status int, h http.Header) []byte {
	var b bytes.Buffer
	_, _ = fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", status, http.StatusText(status))
	_ = h.Write(&b) // a buffer takes everything
	b.WriteString("\r\n")
	return b.Bytes()
}

// retry sets an EventSource's reconnection time, in milliseconds.
func retry(after int) string { return "retry: " + strconv.Itoa(after) + "\n\n" }

// piece returns text in the form of the response.
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

// chunkedWriter writes each piece as a chunk of HTTP/1.1.
type chunkedWriter struct{ out io.Writer }

func (c chunkedWriter) Write(piece []byte) (int, error) {
	for _, part := range [][]byte{fmt.Appendf(nil, "%x\r\n", len(piece)), piece, []byte("\r\n")} {
		if _, err := c.out.Write(part); err != nil {
			return 0, err
		}
	}
	return len(piece), nil
}

// slack is 1: a reader that is cut off comes back with the last id that it has completely.
func (p *serverSentEvents) slack() int { return 1 }

func (p *serverSentEvents) alive() ([]byte, error) { return p.piece(sse.Comment), nil }

// mostTalk is how much a reader may send after its request, in bytes. It would be a
// pipelined request: its client has to send it again, over another connection, as RFC 9112
// says in section 9.3.2.
const mostTalk = 4 << 10

func (p *serverSentEvents) receive(said []byte) (reply []byte, err error) {
	if p.said += len(said); p.said > mostTalk {
		return nil, errTalks
	}
	return nil, nil
}

// lastChunk ends an answer that consists of chunks.
const lastChunk = "0\r\n\r\n"

// end sends when to come back if it is the server that leaves.
func (p *serverSentEvents) end(t *subscriber, why error) (again bool) {
	if errors.Is(why, errGone) {
		return false
	}
	var text []byte
	if errors.Is(why, errClosing) {
		text = p.piece(retry(retryAfter + rand.IntN(retrySpread)))
	}
	if p.chunked {
		text = append(text, lastChunk...)
	}
	return t.write(text) == nil && p.chunked
}
