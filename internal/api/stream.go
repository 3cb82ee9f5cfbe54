package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/api/fanout"
	"github.com/ringback/ringback/internal/node"
)

// GET /api/jobs/{id}/stream
func (s *Server) stream(ctx context.Context, c *call) (reply, error) {
	if c.method == http.MethodHead {
		return s.headOfStream(ctx, c)
	}
	reader, err := s.watch(ctx, c, fanout.SSE)
	if err != nil {
		return reply{}, err
	}
	err = isThere(ctx, reader)
	switch {
	case errors.Is(err, io.EOF):
		reader.Leave()
		return reply{status: http.StatusNoContent}, nil
	case err != nil:
		reader.Leave()
		return reply{}, err
	}
	return s.streamed(reader, http.StatusOK), nil
}

// GET /api/jobs/{id}/ws
func (s *Server) webSocket(ctx context.Context, c *call) (reply, error) {
	if err := fanout.CheckHandshake(c.method, c.header); err != nil {
		return reply{}, err
	}
	reader, err := s.watch(ctx, c, fanout.WebSocket)
	if err != nil {
		return reply{}, err
	}
	return s.streamed(reader, http.StatusSwitchingProtocols), nil
}

// headOfStream returns the head of the answer to GET, without a reader. It tells another node
// whether there are readers here.
func (s *Server) headOfStream(ctx context.Context, c *call) (reply, error) {
	if isRelay(c.header) && !s.node.HasReaders(c.id) {
		return reply{}, &ringback.Error{Code: ringback.NotFound, Message: "nobody watches this job here"}
	}
	if err := s.node.Exists(ctx, c.caller.Project, c.id); err != nil {
		return reply{}, err
	}
	return reply{stream: func(w http.ResponseWriter, _ *http.Request) int {
		w.Header().Set("Content-Type", fanout.EventStream) // and no length
		w.WriteHeader(http.StatusOK)
		return http.StatusOK
	}}, nil
}

// isRelay reports whether another node asks.
func isRelay(h http.Header) bool { return h.Get(node.RelayHeader) == "1" }

// streamed returns a reply that a reader gets over a connection of its own, with a status.
func (s *Server) streamed(by *fanout.Reader, status int) reply {
	return reply{stream: func(w http.ResponseWriter, r *http.Request) int {
		if err := by.Serve(w, r, isRelay(r.Header)); err != nil {
			by.Leave()
			return s.write(w, r, s.refuse(r, w.Header().Get(headerRequestID), err))
		}
		return status
	}}
}

// watch opens the events of a job for a reader, which must be served or leave.
func (s *Server) watch(ctx context.Context, c *call, by fanout.Transport) (*fanout.Reader, error) {
	relay := isRelay(c.header)
	if s.worker && !relay { // it serves only what it runs, to other nodes
		return nil, &ringback.Error{Code: ringback.NotFound, Message: onlyWorks}
	}
	after, err := resumesAfter(c)
	if err != nil {
		return nil, err
	}
	r, err := s.readers.Enter(by)
	if err != nil {
		return nil, err
	}
	if r.Stream, err = s.node.Stream(ctx, c.caller.Project, c.id, after, relay); err != nil {
		r.Leave()
		return nil, err
	}
	return r, nil
}

const headerLastEventID = "Last-Event-ID"

// resumesAfter returns the event that a reader has seen last. What an EventSource sends when it
// comes again is newer than its URL.
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

// isThere waits until the events of a job that has ended can be read. It returns io.EOF if the
// reader has seen all of them. A job that has not ended may have no events for long, so the
// reader is answered at once.
func isThere(ctx context.Context, r *fanout.Reader) error {
	if !r.Over() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookFor)
	defer cancel()
	return r.Wait(ctx)
}
