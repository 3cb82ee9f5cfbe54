package provider

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/ringback/ringback/internal/sse"
)

var (
	errIdle     = errors.New("the stream fell silent")
	errTooLarge = errors.New("the answer is over its limit")
	errEnded    = errors.New("the stream ended before the answer did")
)

// growError is a refusal of Request.Grow.
type growError struct{ error }

func (e growError) Unwrap() error { return e.error }

// readStream assembles the answer from its events.
func (c *call) readStream(body *wire) *Error {
	limit := int(min(c.client.maxAnswer, 1<<30))
	limits := sse.Limits{Line: limit, Event: limit, Grow: c.grow}
	for event, err := range sse.Read(body, limits) {
		if err != nil {
			return c.broken(err)
		}
		body.watch(c.client.idle)
		if err := c.lookUp(); err != nil {
			return c.broken(err)
		}
		if err := c.reserve(c.answer.size() + len(event.Data)); err != nil {
			return c.broken(err)
		}
		done, err := c.answer.add(event)
		c.noteFirstToken()
		if err != nil {
			return c.spoiled(err)
		}
		c.tell(done)
		if done {
			body.drain()
			return nil
		}
	}
	if c.answer.ended() {
		return nil
	}
	return c.broken(errEnded)
}

// readWhole takes the answer of a provider that does not stream although it was
// asked to.
func (c *call) readWhole(body *wire) *Error {
	message := make([]byte, 0, min(4<<10, c.client.maxAnswer+1))
	for {
		if len(message) == cap(message) {
			size := int(min(2*int64(cap(message)), c.client.maxAnswer+1)) // body ends before that is full
			if err := c.reserve(size); err != nil {
				return c.broken(err)
			}
			message = append(make([]byte, 0, size), message...)
		}
		n, err := body.Read(message[len(message):cap(message)])
		message = message[:len(message)+n]
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return c.broken(err)
		}
	}
	if err := c.answer.replace(message); err != nil {
		return c.spoiled(err)
	}
	c.noteFirstToken()
	return nil
}

// lookUp notices that the context has ended though no read has waited since: what
// has been read is assembled all the same, but not for ever.
func (c *call) lookUp() error {
	const often = 1024
	if c.events++; c.events%often != 0 {
		return nil
	}
	return c.inner.Err()
}

func (c *call) noteFirstToken() {
	if !c.firstToken.IsZero() || !c.answer.begun() {
		return
	}
	c.firstToken = time.Now()
	if c.request.FirstToken != nil {
		c.request.FirstToken(c.firstToken)
	}
}

// tell passes on what has come of the answer since the last time; ended says that
// nothing more comes.
func (c *call) tell(ended bool) {
	if c.request.Delta == nil || c.told {
		return
	}
	c.told = ended
	c.answer.tell(teller{to: c.request.Delta, ended: ended})
}

// reserve sees to it that n bytes of answer are granted, each three times: the
// pieces, the message that they become, its text. So nothing need be asked for
// once the answer is there.
func (c *call) reserve(n int) error {
	const copies, step = 3, 8 << 10
	if n *= copies; n <= c.granted {
		return nil
	}
	more := max(n-c.granted, step)
	c.granted += more
	return c.grow(more)
}

func (c *call) grow(n int) error {
	if c.request.Grow == nil {
		return nil
	}
	if err := c.request.Grow(c.inner, n); err != nil {
		return growError{err}
	}
	return nil
}

// wire is a response's body as it comes: bounded, and watched for silence.
type wire struct {
	body   io.Reader
	left   int64
	cancel context.CancelCauseFunc
	idle   time.Duration
	timer  *time.Timer // runs only while a read waits; nil before watch
}

func (w *wire) Read(p []byte) (int, error) {
	if w.left <= 0 {
		return 0, errTooLarge
	}
	if w.timer != nil {
		w.timer.Reset(w.idle)
		defer w.timer.Stop()
	}
	n, err := w.body.Read(p[:min(int64(len(p)), w.left)])
	w.left -= int64(n)
	return n, err
}

// watch cancels the call if a read waits for longer than idle, from now on.
func (w *wire) watch(idle time.Duration) {
	if w.timer == nil {
		w.timer = time.AfterFunc(idle, func() { w.cancel(errIdle) })
		w.timer.Stop()
	}
	w.idle = idle
}

// drain reads what little follows a whole answer, so that the connection can be
// used again; a server that keeps it open loses it.
func (w *wire) drain() {
	const most, patience = 4 << 10, 100 * time.Millisecond
	w.watch(patience)
	_, _ = io.CopyN(io.Discard, w, most)
}

func (w *wire) stop() {
	if w.timer != nil {
		w.timer.Stop()
	}
}
