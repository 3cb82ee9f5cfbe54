package fanout

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/conns"
	"github.com/ringback/ringback/internal/longjson"
	"github.com/ringback/ringback/internal/reading"
	"github.com/ringback/ringback/internal/supervise"
)

// A subscriber is a reader whose connection was hijacked from net/http: ten thousand that
// wait for minutes need neither its buffers nor its two goroutines.
//
// It has one goroutine, which listens while the reader waits in the fanout. Others write to it
// then; the fanout's lock decides which of them may.
type subscriber struct {
	*Reader
	transport

	fanout    *fanout
	conn      net.Conn
	tryWrite  conns.TryWriter // the same, for what it takes at once
	comesBack *conns.Conn     // may have another request after the answer; nil: it may not
	word      [16]byte

	// The fanout's lock guards these.
	waits  bool
	index  int    // in the fanout, while it waits
	why    error  // it no longer waits; nil: it goes on by itself
	rest   []byte // what it has to write then
	restOf *chunk // the chunk that it is part of; nil: of none
	over   error  // why it ends after the rest; nil: it does not
}

// A transport writes to a reader and handles what it sends: SSE or WebSocket.
type transport interface {
	// head returns the beginning of the response, with these headers among others.
	head(h http.Header) []byte
	// of returns a chunk as it is written.
	of(b *chunk) []byte
	// long returns what is written of an event whose JSON is long.
	long(e *ringback.StreamEvent, json longjson.Value) (func(w io.Writer) error, int64, error)
	// slack returns how many times its patience a write may take, before the connection is
	// given up in the middle of it.
	slack() int
	// alive returns a sign of life to write; nil: the last one still counts. An error says that
	// the reader is not alive.
	alive() ([]byte, error)
	// receive takes what a reader sends, in pieces. The reply is written before an error ends
	// the reader.
	receive(said []byte) (reply []byte, err error)
	// end writes why there is no more, if the connection is still open, and reports whether it
	// may serve another request.
	end(t *subscriber, why error) (again bool)
}

// Serve takes the connection of a reader from net/http, and serves the reader from then on. The
// reader leaves by itself, unless there is an error. Relay says that another node relays what
// this one writes.
func (r *Reader) Serve(w http.ResponseWriter, request *http.Request, relay bool) error {
	conn, buffers, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return fmt.Errorf("take the connection for a stream: %w", err)
	}
	t := &subscriber{Reader: r, transport: r.speaks(request), conn: conn, tryWrite: conns.NewTryWriter(conn)}
	if c := slim(request); !request.Close && request.ContentLength == 0 && buffers.Reader.Buffered() == 0 {
		t.comesBack = c
	}
	t.fanout = r.all.fanouts.enter(r.all, fanoutKey{r.Job(), r.by, relay})
	r.takes(t)
	t.begin(w.Header())
	return nil
}

// speaks makes the transport of a reader, for its request.
func (r *Reader) speaks(request *http.Request) transport {
	if r.by == WebSocket {
		return &messages{key: request.Header.Get(headerKey), grace: r.all.Grace}
	}
	return &serverSentEvents{chunked: request.ProtoAtLeast(1, 1)}
}

// begin sends the answer's head and the events that there are, in the request's own goroutine.
// The rest is done by a new goroutine, whose stack stays small.
func (t *subscriber) begin(h http.Header) {
	if t.comesBack == nil {
		h.Set("Connection", "close")
	}
	h.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	err := supervise.Guard(func() error {
		if err := t.write(t.head(h)); err != nil {
			return err
		}
		return t.writePending()
	})
	go t.serve(err)
}

// serve writes the events of the job and signs of life, until there are no more or the reader
// leaves. An error ends it at once.
func (t *subscriber) serve(err error) {
	for err == nil {
		if err = t.wait(); err == nil {
			err = supervise.Guard(t.writePending)
		}
	}
	if errors.Is(err, errSlow) {
		t.countSlow()
	}
	t.record(err)
	again := t.end(t, err)
	t.all.fanouts.leave(t.fanout)
	t.Leave()
	if again && t.comesBack != nil {
		t.comesBack.ComeBack()
		return
	}
	_ = t.conn.Close() // it may have ended
}

// record logs why a stream broke off, if that is the server's fault.
func (t *subscriber) record(err error) {
	switch {
	case err == nil, t.all.UserError(err) != nil, errors.Is(err, io.EOF), errors.Is(err, ErrClosing), errors.Is(err, errReader):
		return
	}
	t.all.Logger.Error("stream broke off", slog.Any("job_id", t.Job()), slog.String("transport", string(t.by)), slog.Any("err", err))
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
		if err := t.writeAll(events); err != nil {
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

func (t *subscriber) writeAll(events []ringback.StreamEvent) error {
	last := &events[len(events)-1]
	if !t.IsLong(last) {
		return t.writeEvents(events)
	}
	if err := t.writeEvents(events[:len(events)-1]); err != nil {
		return err
	}
	return t.writeEnd(last)
}

// writeEnd writes the event that ends a job with a long answer, in pieces.
func (t *subscriber) writeEnd(e *ringback.StreamEvent) error {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	defer context.AfterFunc(t.all.Closing, func() { cancel(ErrClosing) })()
	job, err := t.all.OpenEnd(ctx, t.Project(), t.Job())
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

// longEvent returns an event with the long values of its job.
func longEvent(e *ringback.StreamEvent, job *reading.Opened) (longjson.Value, error) {
	var event, short bytes.Buffer
	if err := errors.Join(encode(&event, e), encode(&short, e.Job)); err != nil {
		return longjson.Value{}, err
	}
	return longjson.Object(event.Bytes(), map[string]longjson.Value{"job": longjson.Object(short.Bytes(), job.Long())}), nil
}

func (t *subscriber) writeEvents(events []ringback.StreamEvent) error {
	for b, err := range t.all.chunked(events, t.by) {
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

// write sends text within the reader's patience. After an error other than errGone the
// connection is still usable.
func (t *subscriber) write(text []byte) error {
	return t.writeLong(func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	}, int64(len(text)))
}

// writeLong is write for a text that is written in pieces, with their total length.
func (t *subscriber) writeLong(text func(w io.Writer) error, length int64) error {
	begun, patience := time.Now(), t.all.patience(int(length))
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

// wait reads from the connection while others write to it. It returns nil when the reader goes
// on by itself, or why it ends.
func (t *subscriber) wait() error {
	for woken := false; t.fanout.waitsUntil(t, time.Now().Add(t.all.Beat)); {
		if woken { // by the clock: one that others have woken waits no longer, and must not be asked for a pong
			t.answer(t.alive())
		}
		n, err := t.conn.Read(t.word[:])
		if n > 0 {
			t.comesBack = nil // after this, the next request needs another connection
			t.answer(t.receive(t.word[:n]))
		}
		woken = errors.Is(err, os.ErrDeadlineExceeded)
		if err != nil && !woken {
			t.fanout.letGo(t, lost(err))
		}
	}
	return t.why
}

// answer writes a reply, and ends the reader if there is an error. If the reader has fallen out
// of the fanout meanwhile, the reply comes after the rest.
func (t *subscriber) answer(text []byte, over error) {
	if !t.fanout.say(t, text, over) {
		t.rest = append(slices.Clip(t.rest), text...) // nobody else writes to it now
	}
}

var (
	// errReader is what goes wrong on the reader's side.
	errReader = errors.New("it is the reader's doing")
	// errGone is a reader to which nothing more can be written.
	errGone = fmt.Errorf("%w: it is gone", errReader)
	// errSlow is a reader that does not take what is written in time, errStuck one that has
	// still not taken it when its connection is given up.
	errSlow  = fmt.Errorf("%w: it took too long to take its events", errReader)
	errStuck = fmt.Errorf("%w, and still does: %w", errSlow, errGone)
	errTalks = fmt.Errorf("%w: it talks", errGone)
)

// lost returns the error of a connection that broke. It is no io.EOF, whatever err is: that is
// the end of the job.
func lost(err error) error {
	return fmt.Errorf("%w: %v", errGone, err) //nolint:errorlint // see above
}
