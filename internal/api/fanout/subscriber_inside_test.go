package fanout

import (
	"bytes"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"

	"github.com/ringback/ringback/internal/conns"
	"github.com/ringback/ringback/internal/live"
)

// waits puts a reader over WebSocket into its own fanout. It accepts nothing at once, like
// a full connection.
func waits(t *testing.T) (m *messages, waiter *subscriber, far net.Conn) {
	t.Helper()
	near, far := net.Pipe()
	t.Cleanup(func() { _, _ = near.Close(), far.Close() })
	m = &messages{grace: time.Second}
	all := &Readers{Config: Config{Beat: time.Minute, Grace: time.Second, Rate: 1 << 20}}
	waiter = &subscriber{
		Reader: &Reader{Stream: &live.Stream{}, all: all}, transport: m,
		fanout: &fanout{readers: all, listens: true}, conn: near, tryWrite: conns.NewTryWriter(near), waits: true,
	}
	waiter.fanout.waiting = []*subscriber{waiter, {}} // or the last one would leave its log
	return m, waiter, far
}

// A reader that falls out of its fanout is not pinged: it would not see the ping.
func TestWhoFallsOutIsNotPinged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, waiter, _ := waits(t)
		ended := make(chan error, 1)
		go func() { ended <- waiter.wait() }()
		synctest.Wait()
		waiter.fanout.say(waiter, []byte("more than it takes"), nil)
		if err := <-ended; err != nil || !m.pinged.IsZero() {
			t.Errorf("got %v, pinged at %v", err, m.pinged)
		}
	})
}

// afterReading is a connection on which something happens as soon as something is read.
type afterReading struct {
	net.Conn
	do func()
}

func (c afterReading) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.do()
	return n, err
}

// What a reader sends while others make it fall out is answered after what is written to it
// then.
func TestWhoFallsOutIsAnsweredAllTheSame(t *testing.T) {
	t.Parallel()
	_, waiter, far := waits(t)
	text, answers := []byte("more than it takes"), spokenBack(ws.NewPongFrame(nil), ws.NewCloseFrame(nil))
	waiter.conn = afterReading{waiter.conn, func() { waiter.fanout.say(waiter, text, nil) }}
	heard := make(chan []byte, 1)
	go func() {
		_, _ = far.Write(spoken(ws.NewPingFrame(nil), ws.NewCloseFrame(nil)))
		all := make([]byte, len(text)+len(answers))
		n, _ := far.Read(all)
		heard <- all[:n]
	}()
	err := waiter.wait()
	if err == nil {
		err = waiter.writePending()
	}
	if want := slices.Concat(text, answers); !bytes.Equal(<-heard, want) || err != errBye { //nolint:errorlint // exactly that
		t.Errorf("ended with %v", err)
	}
}

// spokenBack returns frames as a server sends them.
func spokenBack(frames ...ws.Frame) (text []byte) {
	for _, f := range frames {
		text = append(text, ws.MustCompileFrame(f)...)
	}
	return text
}
