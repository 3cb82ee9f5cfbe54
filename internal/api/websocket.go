package api

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/ringback/ringback"
)

const (
	// pongFor is for how long an answer to a ping may take.
	pongFor = 10 * time.Second
	// saidAtMost bounds a message of a reader, which nobody wants, in bytes.
	saidAtMost = 4 << 10
	// byeFor is for how long a reader may take to say goodbye.
	byeFor = 2 * time.Second
)

// GET /api/jobs/{id}/ws
func (s *Server) webSocket(ctx context.Context, c *call) (reply, error) {
	if err := wantsWebSocket(c); err != nil {
		return reply{}, err
	}
	reader, err := s.watch(ctx, c, overWebSocket)
	if err != nil {
		return reply{}, err
	}
	return reply{stream: func(w http.ResponseWriter, r *http.Request) int {
		defer reader.leave()
		// check has judged the origin.
		conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true, CompressionMode: websocket.CompressionDisabled})
		if err != nil {
			return http.StatusBadRequest
		}
		reader.onto(slim(r), nil)
		conn.SetReadLimit(saidAtMost)
		s.tellReader(reader, s.overWebSocket(context.WithoutCancel(r.Context()), reader, conn))
		return http.StatusSwitchingProtocols
	}}, nil
}

// wantsWebSocket refuses what is no handshake.
func wantsWebSocket(c *call) error {
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(c.header.Get("Sec-Websocket-Key")))
	switch {
	case c.method != http.MethodGet || !isUpgrade(c.header):
		return ringback.Invalid("", "this path speaks WebSocket; GET /api/jobs/{id}/stream has the same events over plain HTTP")
	case c.header.Get("Sec-Websocket-Version") != "13":
		return ringback.Invalid("Sec-WebSocket-Version", "Sec-WebSocket-Version must be 13")
	case err != nil || len(key) != 16 || len(c.header.Values("Sec-Websocket-Key")) != 1:
		return ringback.Invalid("Sec-WebSocket-Key", "Sec-WebSocket-Key must be 16 bytes as base64")
	}
	return nil
}

// isUpgrade tells whether a request wants to become a WebSocket.
func isUpgrade(h http.Header) bool {
	return hasToken(h, "Connection", "upgrade") && hasToken(h, "Upgrade", "websocket")
}

func hasToken(h http.Header, name, token string) bool {
	for _, line := range h.Values(name) {
		for t := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(t), token) {
				return true
			}
		}
	}
	return false
}

// overWebSocket brings all events to a reader, and closes conn with a code that says
// why there are no more.
func (s *Server) overWebSocket(ctx context.Context, r *reader, conn *websocket.Conn) error {
	ctx, gone := context.WithCancelCause(ctx)
	defer gone(nil)
	var helpers sync.WaitGroup
	helpers.Go(func() { gone(readAndForget(conn)) })
	to := &messageWriter{server: s, reader: r, conn: conn, ping: func() {
		helpers.Go(func() {
			if err := pingOnce(ctx, conn); err != nil {
				gone(err)
			}
		})
	}}
	err := s.follow(ctx, r, to)
	gone(err)
	to.close(err)
	helpers.Wait()
	return err
}

// readAndForget takes what a reader says, which a ping's answer is among, until it
// leaves.
func readAndForget(conn *websocket.Conn) error {
	for {
		_, message, err := conn.Reader(context.Background()) // the connection's end ends it
		if err == nil {
			_, err = io.Copy(io.Discard, message)
		}
		if err != nil {
			return lost(err)
		}
	}
}

// lost is what goes wrong with the connection. It is no io.EOF, whatever err is: that is
// the end of the job.
func lost(err error) error {
	return fmt.Errorf("%w: %v", errReader, err) //nolint:errorlint // see above
}

func pingOnce(ctx context.Context, conn *websocket.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, pongFor)
	defer cancel()
	if err := conn.Ping(ctx); err != nil {
		return lost(err)
	}
	return nil
}

var errBeat = errors.New("it is time for a sign of life")

// follow brings all events to a reader until its job ends (io.EOF), ctx ends, the
// server closes (errClosing) or the reader takes no more.
func (s *Server) follow(ctx context.Context, r *reader, to *messageWriter) error {
	ctx, stop := s.waiting(ctx)
	defer stop()
	for {
		err := s.followForABeat(ctx, r, to)
		if !errors.Is(err, errBeat) {
			return err
		}
		to.ping()
	}
}

// followForABeat has one timer for all that it waits for.
func (s *Server) followForABeat(ctx context.Context, r *reader, to *messageWriter) error {
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

// A messageWriter writes the messages of a WebSocket.
type messageWriter struct {
	server *Server
	reader *reader
	conn   *websocket.Conn
	ping   func()
}

// carry writes each event as a message.
func (m *messageWriter) carry(events []ringback.StreamEvent) error {
	for i := range events {
		if err := m.carryOne(&events[i]); err != nil {
			return err
		}
		m.reader.after = events[i].EventID
	}
	return nil
}

func (m *messageWriter) carryOne(event *ringback.StreamEvent) error {
	b := newBatch()
	defer b.drop()
	b.last = event
	if err := m.server.render(b, renderMessage); err != nil {
		return err
	}
	late, err := m.write(b.events)
	if late {
		m.reader.after = event.EventID
		m.reader.slow()
		return errSlow
	}
	return err
}

// write sends a message. One that is taken too late still arrives: only between two
// messages can the reader be told why there are no more. One that is not taken by
// twice that time is given up, and the connection with it.
func (m *messageWriter) write(text []byte) (late bool, err error) {
	patience := m.server.patience(len(text))
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	begun := time.Now()
	err = m.conn.Write(ctx, websocket.MessageText, text)
	switch {
	case err == nil:
		return time.Since(begun) > patience, nil
	case ctx.Err() != nil:
		m.reader.slow()
		return false, errSlow
	default:
		return false, lost(err)
	}
}

// close ends the connection. What can't be said to the reader is not: it may have
// left.
func (m *messageWriter) close(err error) {
	code, reason := m.closing(err)
	defer time.AfterFunc(byeFor, m.reader.breakOff).Stop()
	_ = m.conn.Close(code, reason)
}

// mostReason is how long the reason of a close may be, in bytes.
const mostReason = 123

func (m *messageWriter) closing(err error) (websocket.StatusCode, string) {
	resume := "resume with ?after=" + m.reader.after.String()
	known, _ := outsideError(err)
	switch {
	case errors.Is(err, io.EOF):
		return websocket.StatusNormalClosure, ""
	case errors.Is(err, errClosing):
		return websocket.StatusGoingAway, "the server is stopping; " + resume
	case errors.Is(err, errReader), known != nil && known.Code == ringback.Unavailable:
		return websocket.StatusTryAgainLater, resume
	case known != nil:
		return websocket.StatusPolicyViolation, strings.ToValidUTF8(known.Message[:min(len(known.Message), mostReason)], "")
	default:
		return websocket.StatusInternalError, "internal error"
	}
}
