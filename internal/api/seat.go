package api

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/node"
	"github.com/ringback/ringback/internal/sse"
)

// A seat is a reader over SSE, with a connection that net/http has given up: ten
// thousand who wait for minutes need neither its buffers nor its two goroutines.
//
// It has one goroutine. While it waits, others write to it; the audience's lock says
// who may.
type seat struct {
	*reader
	server   *Server
	audience *audience
	conn     net.Conn
	eager    eager  // the same, for what it takes at once
	chunked  bool   // an answer of HTTP/1.1, which tells where it ends
	guest    *guest // that may send another request behind the answer; nil: it may not

	// The audience's lock guards these.
	waits  bool
	place  int    // in the audience, while it waits
	why    error  // it no longer waits; nil: it has something to write
	rest   []byte // that it has to write
	restOf *batch // what that is part of; nil: of nothing that must be dropped
}

// seat takes the connection of a reader from net/http. Its answer begins with head.
func (s *Server) seat(w http.ResponseWriter, r *http.Request, by *reader) (t *seat, head []byte, err error) {
	conn, buffers, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, nil, err
	}
	t = &seat{reader: by, server: s, conn: conn, eager: newEager(conn), chunked: r.ProtoAtLeast(1, 1)}
	if g, _ := slim(r).(*guest); t.chunked && !r.Close && r.ContentLength == 0 && buffers.Reader.Buffered() == 0 {
		t.guest = g
	}
	t.audience = s.audiences.enter(s, audienceKey{by.Job(), r.Header.Get(node.RelayHeader) == "1"})
	by.onto(conn, t)
	return t, t.head(w.Header()), nil
}

// head is how the answer begins.
func (t *seat) head(h http.Header) []byte {
	h.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	h.Set("Content-Type", eventStream)
	h.Set("Cache-Control", "no-store, no-transform")
	h.Set("X-Accel-Buffering", "no") // to nginx, and those who follow it
	if t.chunked {
		h.Set("Transfer-Encoding", "chunked")
	}
	if t.guest == nil {
		h.Set("Connection", "close")
	}
	var b bytes.Buffer
	b.WriteString("HTTP/1.1 200 OK\r\n")
	_ = h.Write(&b) // a buffer takes everything
	b.WriteString("\r\n")
	b.Write(t.piece(retry(retryAfter)))
	return b.Bytes()
}

// retry tells an EventSource when to come again, in milliseconds.
func retry(after int) string { return "retry: " + strconv.Itoa(after) + "\n\n" }

// piece is text as the answer has it.
func (t *seat) piece(text string) []byte {
	if !t.chunked {
		return []byte(text)
	}
	return fmt.Appendf(nil, "%x\r\n%s\r\n", len(text), text)
}

// lastChunk ends an answer that consists of chunks.
const lastChunk = "0\r\n\r\n"

// begin sends the answer's head, the events that are first, and what there is beside
// them, in the request's own goroutine. What follows is for one that never had as much
// to do, with a stack to match.
func (t *seat) begin(head []byte, first []ringback.StreamEvent) {
	err := t.write(head)
	if err == nil {
		err = t.carry(first)
	}
	if err == nil {
		err = t.catchUp()
	}
	go t.serve(err)
}

// serve brings a reader the events of its job and the server's signs of life, from where
// it waits for them on, until there are no more or it leaves. An error ends it at once.
func (t *seat) serve(err error) {
	for err == nil {
		if err = t.wait(); err == nil {
			err = t.catchUp()
		}
	}
	t.end(err)
}

// catchUp writes what there is, until the reader waits with others.
func (t *seat) catchUp() error {
	for {
		if err := t.writeRest(); err != nil {
			return err
		}
		events, err := t.audience.join(t)
		if err != nil || len(events) == 0 {
			return err
		}
		if err := t.carry(events); err != nil {
			return err
		}
	}
}

func (t *seat) writeRest() error {
	rest, of := t.rest, t.restOf
	t.rest, t.restOf = nil, nil
	if of != nil {
		defer of.drop()
	}
	if len(rest) == 0 {
		return nil
	}
	return t.write(rest)
}

func (t *seat) carry(events []ringback.StreamEvent) error {
	for b, err := range t.server.batched(events) {
		if err != nil {
			return err
		}
		err = t.write(b.as(t.chunked))
		b.drop()
		if err != nil {
			return err
		}
	}
	return nil
}

// write sends text, for which the reader has its time.
func (t *seat) write(text []byte) error {
	_ = t.conn.SetWriteDeadline(time.Now().Add(t.server.patience(len(text)))) // it fails where writing will
	_, err := t.conn.Write(text)
	_ = t.conn.SetWriteDeadline(time.Time{}) // which would hold for others, too
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errSlow
	default:
		return lost(err)
	}
}

// mostTalk is what a reader may say behind its request, in bytes.
const mostTalk = 4 << 10

var errTalks = fmt.Errorf("%w: it talks", errReader)

// wait listens whether the reader is still there, while others write to it; nil when it
// has something to write by itself. What it says meanwhile would be a request that is
// sent ahead: it has to send it again, over another connection, as RFC 9112 has it in
// section 9.3.2.
func (t *seat) wait() error {
	for said := 0; t.audience.waitsUntil(t, time.Now().Add(t.server.beat)); {
		var word [16]byte
		n, err := t.conn.Read(word[:])
		if said += n; n > 0 {
			t.guest = nil
		}
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			t.audience.beat(t)
		case err != nil:
			t.audience.end(t, lost(err))
		case said > mostTalk:
			t.audience.end(t, errTalks)
		}
	}
	return t.why
}

// alive is what says that the server lives.
func (t *seat) alive() []byte {
	if t.chunked {
		return aliveChunk
	}
	return aliveText
}

var (
	aliveText  = []byte(sse.Comment)
	aliveChunk = fmt.Appendf(nil, "%x\r\n%s\r\n", len(sse.Comment), sse.Comment)
)

// end ends the answer, where the reader is still there: it is told when to come again
// where it is the server that leaves.
func (t *seat) end(why error) {
	t.server.tellReader(t.reader, why)
	if errors.Is(why, errSlow) {
		t.slow()
	}
	err := why
	if !errors.Is(why, errReader) {
		err = t.sayEnd(why)
	}
	t.server.audiences.leave(t.audience)
	t.leave()
	if t.guest == nil || errors.Is(err, errReader) {
		_ = t.conn.Close() // it may have ended
		return
	}
	t.guest.comeBack()
}

func (t *seat) sayEnd(why error) error {
	var text []byte
	if errors.Is(why, errClosing) {
		text = t.piece(retry(retryAfter + rand.IntN(retrySpread)))
	}
	if t.chunked {
		text = append(text, lastChunk...)
	}
	if len(text) == 0 {
		return nil
	}
	return t.write(text)
}
