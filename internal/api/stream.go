package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/node"
	"github.com/ringback/ringback/internal/sse"
)

// What an EventSource is told about when to come again, in milliseconds: at first,
// and at the server's end, where all come at once.
const (
	retryAfter  = 1000
	retrySpread = 2000
)

// GET /api/jobs/{id}/stream
func (s *Server) stream(ctx context.Context, c *call) (reply, error) {
	if c.method == http.MethodHead {
		return reply{raw: &rawBody{contentType: eventStream}}, nil
	}
	reader, err := s.watch(ctx, c, overSSE)
	if err != nil {
		return reply{}, err
	}
	first, err := first(ctx, reader)
	switch {
	case errors.Is(err, io.EOF):
		reader.leave()
		return reply{status: http.StatusNoContent}, nil
	case err != nil:
		reader.leave()
		return reply{}, err
	}
	return reply{stream: func(w http.ResponseWriter, r *http.Request) int {
		defer reader.leave()
		slim(r)
		events := newEventWriter(s, reader, w)
		err := events.begin()
		if err == nil {
			err = events.carry(first)
		}
		if err == nil {
			err = s.follow(r.Context(), reader, events)
		}
		events.end(err)
		s.tellReader(r, err)
		return http.StatusOK
	}}, nil
}

// watch opens the events of a job for a reader. Its leave must be called.
func (s *Server) watch(ctx context.Context, c *call, by transport) (*reader, error) {
	relay := c.header.Get(node.RelayHeader) == "1"
	if s.worker && !relay { // it says what it runs, to other nodes
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
	r.after = after
	if r.Stream, err = s.node.Stream(ctx, project, c.id, after, relay); err != nil {
		r.leave()
		return nil, err
	}
	return r, nil
}

const (
	headerLastEventID = "Last-Event-ID"
	eventStream       = "text/event-stream"
)

// resumesAfter is the event that a reader has seen last. What an EventSource sends
// when it comes again is newer than its URL.
func resumesAfter(c *call) (ringback.EventID, error) {
	name, text := headerLastEventID, c.header.Get(headerLastEventID)
	if text == "" {
		name, text = "after", c.query.text("after")
	}
	id, err := ringback.ParseEventID(text)
	if err != nil {
		return id, invalidParameter(name, "must be the id of an event, ATTEMPT-NUMBER, such as 1-7")
	}
	return id, nil
}

// lookFor bounds how long the events of a job that has ended may take to be read.
const lookFor = 20 * time.Second

// first are the first events of a job that has ended; io.EOF, if the reader has seen
// all. Of another job there may be none for long, and the reader is to know that it
// is heard.
func first(ctx context.Context, r *reader) ([]ringback.StreamEvent, error) {
	if !r.Over() {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookFor)
	defer cancel()
	return r.Next(ctx)
}

// A carrier brings events to a reader.
type carrier interface {
	carry(events []ringback.StreamEvent) error
	beat() error // says that the server lives
}

var errBeat = errors.New("it is time for a sign of life")

// follow brings all events to a reader until its job ends (io.EOF), ctx ends, the
// server closes (errClosing) or the reader takes no more.
func (s *Server) follow(ctx context.Context, r *reader, to carrier) error {
	ctx, stop := s.waiting(ctx)
	defer stop()
	for {
		err := s.followForABeat(ctx, r, to)
		if errors.Is(err, errBeat) {
			err = to.beat()
		}
		if err != nil {
			return err
		}
	}
}

// followForABeat has one timer for all that it waits for.
func (s *Server) followForABeat(ctx context.Context, r *reader, to carrier) error {
	ctx, cancel := context.WithTimeoutCause(ctx, s.beat, errBeat)
	defer cancel()
	for ctx.Err() == nil { // also while there is always a next one
		events, err := r.Next(ctx)
		if err != nil {
			return err
		}
		if err := to.carry(events); err != nil {
			return err
		}
	}
	return context.Cause(ctx)
}

// tellReader logs why a stream broke off, where that is our fault.
func (s *Server) tellReader(r *http.Request, err error) {
	known, _ := outsideError(err)
	switch {
	case err == nil, known != nil, errors.Is(err, io.EOF), errors.Is(err, errClosing), errors.Is(err, errReader), r.Context().Err() != nil:
		return
	}
	s.log.Error("stream broke off", slog.String("path", r.URL.Path), slog.Any("err", err))
}

var (
	// errReader is what goes wrong on the reader's side.
	errReader = errors.New("the reader is gone")
	// errSlow is a reader that does not take what is written in time.
	errSlow = fmt.Errorf("%w: it took too long to take its events", errReader)
)

// An eventWriter writes SSE.
type eventWriter struct {
	server *Server
	reader *reader
	to     http.ResponseWriter
	with   *http.ResponseController
}

func newEventWriter(s *Server, r *reader, w http.ResponseWriter) *eventWriter {
	return &eventWriter{s, r, w, http.NewResponseController(w)}
}

// begin sends the headers: the reader is to know that it is heard.
func (e *eventWriter) begin() error {
	h := e.to.Header()
	h.Set("Content-Type", eventStream)
	h.Set("Cache-Control", "no-store, no-transform")
	h.Set("X-Accel-Buffering", "no") // to nginx, and those who follow it
	return e.flush(fmt.Appendf(nil, "retry: %d\n\n", retryAfter))
}

func (e *eventWriter) beat() error { return e.flush([]byte(sse.Comment)) }

// end says when to come again, where it is the server that leaves.
func (e *eventWriter) end(err error) {
	switch {
	case errors.Is(err, errClosing):
		_ = e.flush(fmt.Appendf(nil, "retry: %d\n\n", retryAfter+rand.IntN(retrySpread))) // nobody may be there
	case errors.Is(err, errSlow):
		e.reader.slow()
	}
}

func (e *eventWriter) flush(text []byte) error {
	if err := e.write(text); err != nil {
		return err
	}
	return e.wrong(e.with.Flush())
}

// write sends text, for which the reader has its time.
func (e *eventWriter) write(text []byte) error {
	_ = e.with.SetWriteDeadline(time.Now().Add(e.server.patience(len(text)))) // a recorder in a test has none
	_, err := e.to.Write(text)
	return e.wrong(err)
}

func (e *eventWriter) wrong(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errSlow
	default:
		return fmt.Errorf("%w: %w", errReader, err)
	}
}

// carry writes events together, as far as they are small.
func (e *eventWriter) carry(events []ringback.StreamEvent) error {
	if len(events) == 0 {
		return nil
	}
	b := newBatch()
	defer b.free()
	for i := range events {
		if err := e.server.render(b, &events[i], renderSSE); err != nil {
			return err
		}
		if b.Len() < batchBytes && i < len(events)-1 {
			continue
		}
		if err := e.write(b.Bytes()); err != nil {
			return err
		}
		e.reader.after = events[i].EventID
		b.clear()
	}
	return e.wrong(e.with.Flush())
}

// renderSSE writes an event as SSE.
func renderSSE(b *batch, event *ringback.StreamEvent) error {
	b.json.Reset()
	if err := renderJSON(&b.json, event); err != nil {
		return err
	}
	b.Write(sse.Append(b.AvailableBuffer(), event.String(), string(event.Type), bytes.TrimSuffix(b.json.Bytes(), lineEnd)))
	return nil
}

var lineEnd = []byte("\n")

// renderMessage writes an event as a message.
func renderMessage(b *batch, event *ringback.StreamEvent) error {
	err := renderJSON(&b.Buffer, event)
	b.Truncate(len(bytes.TrimSuffix(b.Bytes(), lineEnd)))
	return err
}

func renderJSON(b *bytes.Buffer, event *ringback.StreamEvent) error {
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	if err := e.Encode(event); err != nil {
		return fmt.Errorf("encode event %s of job %s: %w", event.EventID, event.JobID, err)
	}
	return nil
}

// A batch is what is written to a reader in one go. Only readers that are being
// written to have one.
type batch struct {
	bytes.Buffer

	json    bytes.Buffer // of one event, on its way
	release func()       // of the memory of a large one; nil: it is not counted
}

// batchBytes is from what size on a batch is sent without waiting for more.
const batchBytes = 32 << 10

var batches = sync.Pool{New: func() any { return new(batch) }}

func newBatch() *batch { return batches.Get().(*batch) }

// render writes an event behind what is in b. A large one counts as memory, as other
// large answers do: a thousand readers may be about to get it.
func (s *Server) render(b *batch, event *ringback.StreamEvent, form func(*batch, *ringback.StreamEvent) error) (err error) {
	if size := sizeOf(event); size > batchBytes {
		if b.release, err = s.reserve(int64(size)); err != nil {
			return err
		}
	}
	return form(b, event)
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

// clear makes room for the next events.
func (b *batch) clear() {
	if b.release != nil {
		b.release()
		b.release = nil
	}
	if b.Cap() > 2*batchBytes { // a large one is not kept
		b.Buffer, b.json = bytes.Buffer{}, bytes.Buffer{}
	}
	b.Reset()
}

func (b *batch) free() {
	b.clear()
	batches.Put(b)
}
