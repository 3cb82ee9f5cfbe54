package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"strconv"
	"time"

	"github.com/ringback/ringback/internal/api/fanout"
	"github.com/ringback/ringback/internal/conns"
	"github.com/ringback/ringback/internal/intake"
	"github.com/ringback/ringback/internal/longjson"
	"github.com/ringback/ringback/internal/memory"
	"github.com/ringback/ringback/internal/reading"
	"github.com/ringback/ringback/internal/refusal"
	"github.com/ringback/ringback/internal/supervise"
)

// A call is a request that has been let in, as a handler sees it.
type call struct {
	method string
	path   string
	id     string // {id} of the path
	caller intake.Caller
	query  query
	header http.Header
	body   []byte
	forget func()      // releases the body: a handler that waits no longer needs its memory
	answer http.Header // of the response, whatever that will be
}

// A reply is what a handler answers. It has a status and one of: body, which is encoded as
// JSON; a job, which may be long and is closed once written; raw, which is sent unchanged;
// or stream, which begins the response over a connection that it takes over, and returns
// its status.
type reply struct {
	status int // 0 means 200
	header http.Header
	body   any
	job    *reading.Opened
	raw    *rawBody
	stream func(w http.ResponseWriter, r *http.Request) (status int)
}

// A rawBody is sent unchanged.
type rawBody struct {
	contentType string
	bytes       []byte
	shared      bool            // the bytes exist anyway, the same for all responses
	long        *longjson.Value // instead of bytes, for what is written in pieces
	length      int64           // of long
}

func (b *rawBody) size() int64 { return b.length + int64(len(b.bytes)) }

// writeTo writes the body, or as much of it as the client accepts.
func (b *rawBody) writeTo(w io.Writer) {
	if b.long != nil {
		_ = b.long.Write(w)
		return
	}
	_, _ = w.Write(b.bytes)
}

// serve is the one handler of all routes.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, rt *route) {
	start := time.Now()
	r, traced := s.trace(r, rt)
	id := requestID(r.Header)
	h := w.Header()
	h.Set(headerRequestID, id)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	s.origins.answer(h, r)
	rep, err := s.reply(w, r, rt)
	if err != nil {
		rep = s.refuse(r, id, err)
	}
	var status int
	if rep.stream != nil {
		status = rep.stream(w, r)
	} else {
		status = s.write(w, r, rep)
	}
	s.linger(w, r)
	traced(status)
	if !rt.open {
		s.recordRequest(r, id, status, start)
	}
}

func (s *Server) recordRequest(r *http.Request, id string, status int, start time.Time) {
	s.log.LogAttrs(context.Background(), slog.LevelDebug, "request", slog.String("request_id", id), slog.String("method", r.Method),
		slog.String("path", r.URL.Path), slog.Int("status", status), slog.Duration("took", time.Since(start)))
}

// reply lets a request in, reads it and calls the handler.
func (s *Server) reply(w http.ResponseWriter, r *http.Request, rt *route) (rep reply, err error) {
	err = supervise.Guard(func() (err error) {
		rep, err = s.answer(w, r, rt)
		return err
	})
	return rep, err
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request, rt *route) (rep reply, err error) {
	caller, rep, done, err := s.meet(r, rt)
	if done {
		leaveUnread(w, r)
		return rep, err
	}
	if !rt.open {
		conns.Of(r).Trust()
	} else if rt.body == noBody {
		leaveUnread(w, r)
	}
	if rt.method == "" { // no such path or method: the handler says so
		return rt.handler(r.Context(), &call{path: r.URL.Path, caller: caller, answer: w.Header()})
	}
	if err := s.origins.check(r); err != nil {
		return reply{}, err
	}
	c := &call{method: r.Method, path: r.URL.Path, id: r.PathValue("id"), caller: caller, header: r.Header, answer: w.Header()}
	if c.query, err = readQuery(r.URL.RawQuery, rt.query); err != nil {
		return reply{}, err
	}
	body, release, err := s.bodyOf(w, r, rt.body)
	defer release()
	if err != nil {
		return reply{}, err
	}
	c.body, c.forget = body, func() { c.body = nil; release() }
	return rt.handler(r.Context(), c)
}

// meet identifies the caller, and answers requests that get no further: done reports
// whether r is one of them.
func (s *Server) meet(r *http.Request, rt *route) (caller intake.Caller, rep reply, done bool, err error) {
	if err := s.admit(r); err != nil {
		return caller, reply{}, true, err
	}
	if header, asked := s.origins.preflight(r); asked {
		return caller, reply{status: http.StatusNoContent, header: header}, true, nil
	}
	caller, err = s.identify(r, rt)
	return caller, reply{}, err != nil, err
}

// bodyOf reads the body that the rule allows. From then on the connection is read only to
// notice that the client has left, without a deadline.
func (s *Server) bodyOf(w http.ResponseWriter, r *http.Request, rule bodyRule) (body []byte, release func(), err error) {
	release = func() {}
	if rule == jsonBody || rule == optionalBody && r.ContentLength != 0 {
		if err := jsonOnly(r.Header); err != nil {
			return nil, release, err
		}
		if body, release, err = s.readBody(w, r); err != nil {
			passOver(w, r)
		}
	}
	if err == nil && (rule != noBody || r.ContentLength == 0) {
		_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // a recorder in a test has none
	}
	return body, release, err
}

// smallAnswer is the size up to which a response charges no memory: 16,384 connections may
// have one each.
const smallAnswer = 16 << 10

// largeAnswer is the size from which the kernel's buffer for a response that its client
// does not read is bounded; by default it would take megabytes.
const largeAnswer = 256 << 10

// write sends a reply and returns its status.
func (s *Server) write(w http.ResponseWriter, r *http.Request, rep reply) int {
	if rep.job != nil {
		defer rep.job.Close()
	}
	raw, release := s.encoded(w, r, &rep)
	defer release()
	if rep.status == 0 {
		rep.status = http.StatusOK
	}
	h := w.Header()
	maps.Copy(h, rep.header)
	if rep.status != http.StatusNoContent {
		h.Set("Content-Type", raw.contentType)
		h.Set("Content-Length", strconv.FormatInt(raw.size(), 10))
	}
	if raw.size() > largeAnswer {
		conns.Of(r).BoundSendBuffer(largeAnswer)
	}
	patience := answerGrace + time.Duration(raw.size())*time.Second/slowestRate
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(patience)) // a recorder in a test has none
	w.WriteHeader(rep.status)
	raw.writeTo(w)
	return rep.status
}

// encoded returns the bytes of a reply. The memory of a large one is charged until release,
// so that clients that read nothing cannot use it up. If a reply cannot be encoded it
// becomes an error's.
func (s *Server) encoded(w http.ResponseWriter, r *http.Request, rep *reply) (raw *rawBody, release func()) {
	release = func() {}
	switch {
	case rep.status == http.StatusNoContent:
		return &rawBody{}, release
	case rep.raw != nil:
		raw = rep.raw
	case rep.job != nil:
		var err error
		if raw, err = jobBody(rep.job); err != nil {
			return s.inPlace(w, r, rep, fmt.Errorf("encode the job: %w", err)), release
		}
	default:
		body, err := encode(rep.body)
		if err != nil {
			return s.inPlace(w, r, rep, fmt.Errorf("encode the answer: %w", err)), release
		}
		raw = &rawBody{contentType: "application/json", bytes: body}
	}
	if len(raw.bytes) <= smallAnswer {
		return raw, release
	}
	if raw.shared {
		conns.Of(r).BoundSendBuffer(fanout.SendBuffer) // its reader may be a stranger that does not take it
		return raw, release
	}
	release, err := s.reserve(int64(len(raw.bytes)))
	if err != nil {
		return s.inPlace(w, r, rep, err), func() {}
	}
	return raw, release
}

// reserving returns a function that takes bytes of the memory for reads; they must be given
// back by release. The error is the user's: unavailable.
func reserving(reads *memory.Pool) func(bytes int64) (release func(), err error) {
	return func(bytes int64) (func(), error) {
		g := reads.Grant()
		if !g.Take(bytes) {
			return nil, refusal.Read()
		}
		return g.Release, nil
	}
}

// jobBody returns a job in the form that is sent. Its long parts are not copied; their
// memory is charged where they are opened.
func jobBody(job *reading.Opened) (*rawBody, error) {
	short, err := encode(job.Job)
	if err != nil || job.Long() == nil {
		return &rawBody{contentType: "application/json", bytes: short}, err
	}
	long := longjson.Object(short, job.Long()).Between("", "\n") // like encode's end
	length, err := long.Len()
	return &rawBody{contentType: "application/json", long: &long, length: length}, err
}

// inPlace replaces a reply with an error.
func (s *Server) inPlace(w http.ResponseWriter, r *http.Request, rep *reply, err error) *rawBody {
	*rep = s.refuse(r, w.Header().Get(headerRequestID), err)
	body, _ := encode(rep.body) // an error's body always has a form
	return &rawBody{contentType: "application/json", bytes: body}
}

// encode encodes JSON for people: without HTML escapes, and with a line end, for terminals.
func encode(body any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(body); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// waiting returns ctx, which also ends when the server closes.
func (s *Server) waiting(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(s.closing, func() { cancel(fanout.ErrClosing) })
	return ctx, func() { stop(); cancel(nil) }
}
