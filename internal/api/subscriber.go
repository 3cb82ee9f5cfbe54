package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/conns"
	"github.com/ringback/ringback/internal/longjson"
	"github.com/ringback/ringback/internal/reading"
)

// A subscriber is a reader whose connection was hijacked from net/http: ten thousand that
// wait for minutes need neither its buffers nor its two goroutines.
//
// It has one goroutine, which listens while the reader waits in the fanout. Meanwhile
// others write to it; the fanout's lock says who may.
type subscriber struct {
	*reader
	transport

	server    *Server
	fanout    *fanout
	conn      net.Conn
	tryWrite  tryWriter   // the same, for what it accepts at once
	comesBack *conns.Conn // that may send another request after the response; nil: it may not
	word      [16]byte

	// The fanout's lock guards these.
	waits  bool
	index  int    // in the fanout, while it waits
	why    error  // it no longer waits; nil: it continues by itself
	rest   []byte // what it then has to write
	restOf *chunk // the chunk of rest; nil: nothing has to be dropped
	over   error  // why it ends after the rest; nil: it does not
}

// A transport writes to a reader and handles what it sends: SSE or WebSocket.
type transport interface {
	// head returns the beginning of the response, with these headers among others.
	head(h http.Header) []byte
	// of returns a chunk in its written form.
	of(b *chunk) []byte
	// long returns the written form of an event whose JSON is long.
	long(e *ringback.StreamEvent, json longjson.Value) (func(w io.Writer) error, int64, error)
	// slack returns how many times the patience a write may take before the connection is
	// given up in the middle of it.
	slack() int
	// alive returns a heartbeat; nil: one has been sent. An error means that the reader is
	// not alive.
	alive() ([]byte, error)
	// receive handles what a reader sends, in pieces. A reply must be sent before an error
	// ends the reading.
	receive(said []byte) (reply []byte, err error)
	// end says why there is no more, if the connection is still there, and reports whether
	// it may serve another request.
	end(t *subscriber, why error) (again bool)
}

// subscribe takes the connection of a reader over from net/http, and serves it from then
// on.
func (s *Server) subscribe(w http.ResponseWriter, r *http.Request, by *reader, speaks transport) error {
	conn, buffers, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return fmt.Errorf("take the connection for a stream: %w", err)
	}
	t := &subscriber{reader: by, transport: speaks, server: s, conn: conn, tryWrite: newTryWriter(conn)}
	if g := slim(r); !r.Close && r.ContentLength == 0 && buffers.Reader.Buffered() == 0 {
		t.comesBack = g
	}
	t.fanout = s.fanouts.enter(s, fanoutKey{by.Job(), by.by, isRelay(r.Header)})
	by.takes(t)
	t.begin(w.Header())
	return nil
}

// begin sends the response's head and the events that there are, in the request's own
// goroutine. What follows is for a goroutine that never had as much to do, with a small
// stack.
func (t *subscriber) begin(h http.Header) {
	if t.comesBack == nil {
		h.Set("Connection", "close")
	}
	h.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	err := guard(func() error {
		if err := t.write(t.head(h)); err != nil {
			return err
		}
		return t.writePending()
	})
	go t.serve(err)
}

// serve sends a reader the events of its job and the server's heartbeats, until there are
// no more or it leaves. An error ends it at once.
func (t *subscriber) serve(err error) {
	for err == nil {
		if err = t.wait(); err == nil {
			err = guard(t.writePending)
		}
	}
	if errors.Is(err, errSlow) {
		t.slow()
	}
	t.server.recordStream(t.reader, err)
	again := t.end(t, err)
	t.server.fanouts.leave(t.fanout)
	t.leave()
	if again && t.comesBack != nil {
		t.comesBack.ComeBack()
		return
	}
	_ = t.conn.Close() // it may have ended
}

// writePending writes the events that there are, until the reader waits with others.
func (t *subscriber) writePending() error {
	for {
		if err := t.writeRest(); err != nil {
			return err
		}
		if t.over != nil {
			return t.over
		}
		events, err := t.fanout.join(t)
		if err != nil || len(events) == 0 {
			return err
		}
		if err := t.carry(events); err != nil {
			return err
		}
	}
}

func (t *subscriber) writeRest() error {
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

func (t *subscriber) carry(events []ringback.StreamEvent) error {
	last := &events[len(events)-1]
	if !t.IsLong(last) {
		return t.carryAll(events)
	}
	if err := t.carryAll(events[:len(events)-1]); err != nil {
		return err
	}
	return t.carryLong(last)
}

// carryLong writes the event that ends a job with a long answer, in pieces.
func (t *subscriber) carryLong(e *ringback.StreamEvent) error {
	ctx, stop := t.server.waiting(context.Background())
	defer stop()
	job, err := t.server.node.OpenEnd(ctx, t.Project(), t.Job())
	if err != nil {
		return err
	}
	defer job.Close()
	event, err := longEvent(e, job)
	if err != nil {
		return err
	}
	text, length, err := t.long(e, event)
	if err != nil {
		return err
	}
	err = t.writeLong(text, length)
	if err == nil || errors.Is(err, errSlow) {
		t.Advance(e)
	}
	return err
}

// longEvent returns an event with the long values of a job.
func longEvent(e *ringback.StreamEvent, job *reading.Opened) (longjson.Value, error) {
	event, err := encode(e)
	if err != nil {
		return longjson.Value{}, err
	}
	short, err := encode(e.Job)
	if err != nil {
		return longjson.Value{}, err
	}
	return longjson.Object(event, map[string]longjson.Value{"job": longjson.Object(short, job.Long())}), nil
}

func (t *subscriber) carryAll(events []ringback.StreamEvent) error {
	for b, err := range t.server.chunked(events, t.by) {
		if err != nil {
			return err
		}
		err = t.write(t.of(b))
		if err == nil || errors.Is(err, errSlow) {
			t.Advance(b.last)
		}
		b.drop()
		if err != nil {
			return err
		}
	}
	return nil
}

// write sends text, within the reader's time. An error other than errGone leaves the
// connection intact.
func (t *subscriber) write(text []byte) error {
	return t.writeLong(func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	}, int64(len(text)))
}

// writeLong is write for text that is written in pieces, length bytes in total.
func (t *subscriber) writeLong(text func(w io.Writer) error, length int64) error {
	begun, patience := time.Now(), t.server.patience(int(length))
	_ = t.conn.SetWriteDeadline(begun.Add(patience * time.Duration(t.slack()))) // fails where writing will
	err := text(t.conn)
	_ = t.conn.SetWriteDeadline(time.Time{}) // it would hold for others, too
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errStuck
	case err != nil:
		return lost(err)
	case time.Since(begun) > patience:
		return errSlow
	}
	return nil
}

// wait checks whether the reader is still there, while others write to it; it returns nil
// when the reader continues by itself.
func (t *subscriber) wait() error {
	for woken := false; t.fanout.waitsUntil(t, time.Now().Add(t.server.beat)); {
		if woken { // by the time: a reader woken by others no longer waits, and must not be pinged
			t.answer(t.alive())
		}
		n, err := t.conn.Read(t.word[:])
		if n > 0 {
			t.comesBack = nil // a reader that sends something has to reconnect for its next request
			t.answer(t.receive(t.word[:n]))
		}
		woken = errors.Is(err, os.ErrDeadlineExceeded)
		if err != nil && !woken {
			t.fanout.letGo(t, lost(err))
		}
	}
	return t.why
}

// answer sends the reader something, and ends it if there is an error. If it has fallen out
// of the fanout meanwhile, that comes after the rest.
func (t *subscriber) answer(text []byte, over error) {
	if !t.fanout.say(t, text, over) {
		t.rest = append(slices.Clip(t.rest), text...) // nobody else writes to it now
	}
}
