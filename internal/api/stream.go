package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/node"
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
		t, head, err := s.seat(w, r, reader)
		if err != nil {
			reader.leave()
			s.log.Error("connection is not given up for a stream", slog.Any("err", err))
			return http.StatusInternalServerError
		}
		t.begin(head, first)
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

// tellReader logs why a stream broke off, where that is our fault.
func (s *Server) tellReader(r *reader, err error) {
	known, _ := outsideError(err)
	switch {
	case err == nil, known != nil, errors.Is(err, io.EOF), errors.Is(err, errClosing), errors.Is(err, errReader):
		return
	}
	s.log.Error("stream broke off", slog.Any("job_id", r.Job()), slog.String("transport", string(r.by)), slog.Any("err", err))
}

var (
	// errReader is what goes wrong on the reader's side.
	errReader = errors.New("the reader is gone")
	// errSlow is a reader that does not take what is written in time.
	errSlow = fmt.Errorf("%w: it took too long to take its events", errReader)
)
