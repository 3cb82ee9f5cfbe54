package provider

import (
	"bytes"
	"errors"
	"time"

	"github.com/ringback/ringback/internal/protocol"
	"github.com/ringback/ringback/internal/sse"
	"github.com/ringback/ringback/internal/strictjson"
)

var (
	errIdle     = errors.New("the stream fell silent")
	errTooLarge = errors.New("the answer is over its limit")
	errEnded    = errors.New("the stream ended before the answer did")
)

// growError is an error from Request.Grow.
type growError struct{ error }

func (e growError) Unwrap() error { return e.error }

// readStream assembles the answer from its events, until the provider marks its end or
// nothing more arrives. Once the answer is whole, nothing that happens to the connection
// takes it back.
func (c *call) readStream(body *wire) *Error {
	limit := int(min(c.client.maxAnswer, 1<<30))
	limits := sse.Limits{Line: limit, Event: limit, Grow: c.grow, Loose: true, Waits: func(data []byte) { c.expectEnd(body, data) }}
	for event, broke := range sse.Read(body, limits) {
		whole := c.assembly.Progress().Whole
		done, failure := c.step(body, event, broke)
		switch {
		case failure != nil && whole:
			return nil
		case failure != nil || done:
			return failure
		}
	}
	return c.failUnlessWhole(errEnded)
}

// step handles one step of the stream: an event, or the stream's end.
func (c *call) step(body *wire, event sse.Event, broke error) (done bool, failure *Error) {
	if broke != nil {
		return true, c.endEarly(event, broke)
	}
	body.watch(c.client.idle)
	if err := c.checkContext(); err != nil {
		return false, c.broken(err)
	}
	held := c.assembly.Progress().Size
	if failure := c.reserveText(event.Data, held); failure != nil {
		return false, failure
	}
	done, err := c.take(event)
	c.noteFirstToken()
	if err != nil {
		return false, c.malformed(err)
	}
	c.emit(protocol.Emitter{Ended: done})
	switch {
	case done:
		body.drain()
	case c.assembly.Progress().Whole && (!body.settling() || c.assembly.Progress().Size != held): // an event that adds nothing is a keep-alive
		body.settle()
	}
	return done, nil
}

// expectEnd inspects an event that has not ended yet. If it is the finish, its blank line
// may never arrive.
func (c *call) expectEnd(body *wire, data []byte) {
	const large = 16 << 10 // bytes; a finish is smaller, and each read of a large event ends up here
	if !body.settling() && len(data) < large && data[len(data)-1] == '}' && strictjson.Valid(data) && c.assembly.Finishes(data) {
		body.settle()
	}
}

// take adds an event. Where the blank lines between events are missing, they arrive as one,
// with a line of data each.
func (c *call) take(event sse.Event) (done bool, err error) {
	if bytes.IndexByte(event.Data, '\n') < 0 || strictjson.Valid(event.Data) {
		return c.assembly.Add(event)
	}
	for event.Data = range bytes.SplitSeq(event.Data, []byte{'\n'}) {
		if done, err = c.assembly.Add(event); done || err != nil {
			return done, err
		}
	}
	return false, nil
}

// endEarly ends a stream that broke off inside an event. Those of its lines that are
// complete count: its blank line may be all that was missing.
func (c *call) endEarly(event sse.Event, broke error) *Error {
	for event.Data = range bytes.SplitSeq(event.Data, []byte{'\n'}) {
		if _, isJSON := strictjson.Repair(event.Data); !isJSON || strictjson.CountNames(event.Data) > maxNames || c.reserve(c.assembly.Progress().Size+len(event.Data)) != nil {
			break
		}
		if _, err := c.assembly.Add(event); err != nil {
			return c.malformed(err)
		}
	}
	return c.failUnlessWhole(broke)
}

// failUnlessWhole fails the call because of what happened to the connection, unless the
// answer is whole.
func (c *call) failUnlessWhole(err error) *Error {
	if c.assembly.Progress().Whole {
		return nil
	}
	return c.broken(err)
}

// readWhole reads the answer of a provider that does not stream although it was asked to.
// It ends where its JSON ends, whatever happens to the connection.
func (c *call) readWhole(body *wire) *Error {
	message := make([]byte, 0, min(4<<10, c.client.maxAnswer+1))
	var value strictjson.EndFinder
	for over := false; !over; {
		if len(message) == cap(message) {
			size := int(min(2*int64(cap(message)), c.client.maxAnswer+1)) // body ends before that is full
			if err := c.reserve(size); err != nil {
				return c.broken(err)
			}
			message = append(make([]byte, 0, size), message...)
		}
		n, err := body.Read(message[len(message):cap(message)])
		piece := message[len(message) : len(message)+n]
		n, over = value.Read(piece)
		if over && protocol.IsStreamed(message[:len(message)+n]) {
			body.ahead = message[:len(message)+len(piece)]
			return c.readStream(body)
		}
		message = message[:len(message)+n]
		if err != nil && !over {
			return c.broken(err)
		}
	}
	if failure := c.reserveText(message, 0); failure != nil {
		return failure
	}
	if err := c.assembly.Replace(message); err != nil {
		return c.malformed(err)
	}
	c.noteFirstToken()
	body.drain()
	return nil
}

// checkContext notices that the context has ended even if no read has waited since: what
// has been read is still assembled, but not forever.
func (c *call) checkContext() error {
	const often = 1024
	if c.events++; c.events%often != 0 {
		return nil
	}
	return c.inner.Err()
}

func (c *call) noteFirstToken() {
	if !c.firstToken.IsZero() || !c.assembly.Progress().Begun {
		return
	}
	c.firstToken = time.Now()
	if c.request.FirstToken != nil {
		c.request.FirstToken(c.firstToken)
	}
}

// emit passes on what has arrived of the answer since the last time, and nothing after an
// emitter that has ended.
func (c *call) emit(e protocol.Emitter) {
	if c.request.Delta == nil || c.emitted {
		return
	}
	c.emitted = e.Ended
	e.To, e.Frame = c.request.Delta, c.request.Frame
	c.assembly.Emit(e)
}

// reserve makes sure that n bytes of answer are granted for everything that is made of
// them: the pieces, the message that they become, its text, and the log of a streamed job.
// So nothing needs to be asked for once the answer is there.
func (c *call) reserve(n int) error {
	const copies, step = 3, 8 << 10
	need := copies * n
	if c.request.Delta != nil {
		need += n
	}
	if need <= c.granted {
		return nil
	}
	more := max(need-c.granted, step)
	c.granted += more
	return c.grow(more)
}

// reserveText is reserve for a text, and the names in it, in addition to held bytes of
// answer.
func (c *call) reserveText(text []byte, held int) *Error {
	n := strictjson.CountNames(text)
	if n > maxNames {
		return c.malformed(errTooManyNames)
	}
	if err := c.reserve(held + len(text) + n*bytesAName); err != nil {
		return c.broken(err)
	}
	return nil
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
