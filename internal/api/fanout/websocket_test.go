package fanout

import (
	"bytes"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"pgregory.net/rapid"
)

// spoken returns frames as a client sends them.
func spoken(frames ...ws.Frame) (text []byte) {
	for _, f := range frames {
		text = append(text, ws.MustCompileFrame(ws.MaskFrame(f))...)
	}
	return text
}

// heard makes a WebSocket receive a text in pieces.
func heard(pieces ...[]byte) (m *messages, reply []byte, err error) {
	m = &messages{}
	for _, p := range pieces {
		var r []byte
		r, err = m.receive(p)
		if reply = append(reply, r...); err != nil {
			break
		}
	}
	return m, reply, err
}

func TestAReaderOverWebSocketIsAnswered(t *testing.T) {
	t.Parallel()
	long := bytes.Repeat([]byte("x"), mostSaid)
	for name, c := range map[string]struct {
		said  []byte
		reply ws.Frame // none, if it has no op code
		err   error    // nil: it keeps receiving
		code  ws.StatusCode
	}{
		"a ping":                        {said: spoken(ws.NewPingFrame([]byte("are you there?"))), reply: ws.NewPongFrame([]byte("are you there?"))},
		"a pong":                        {said: spoken(ws.NewPongFrame(nil))},
		"words":                         {said: spoken(ws.NewTextFrame([]byte("hello")), ws.NewBinaryFrame(nil), ws.NewTextFrame(long))},
		"a message in pieces":           {said: spoken(ws.NewFrame(ws.OpText, false, long[:10]), ws.NewPongFrame(nil), ws.NewFrame(ws.OpContinuation, true, long[:10]), ws.NewTextFrame(long))},
		"a goodbye":                     {said: spoken(ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusGoingAway, "I leave"))), reply: ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusGoingAway, "")), err: errBye},
		"a goodbye without a code":      {said: spoken(ws.NewCloseFrame(nil)), reply: ws.NewCloseFrame(nil), err: errBye},
		"a goodbye that nobody may say": {said: spoken(ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusNoStatusRcvd, ""))), reply: ws.NewCloseFrame(nil), err: errBye},
		"too many words":                {said: spoken(ws.NewTextFrame(append(long, 'x'))), code: ws.StatusMessageTooBig},
		"too many, in pieces":           {said: spoken(ws.NewFrame(ws.OpText, false, long), ws.NewFrame(ws.OpContinuation, true, []byte("x"))), code: ws.StatusMessageTooBig},
		"endless words":                 {said: append(spoken(ws.NewFrame(ws.OpText, false, long[:1])), 0x80, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4), code: ws.StatusMessageTooBig},
		"unmasked words":                {said: ws.MustCompileFrame(ws.NewTextFrame([]byte("hello"))), code: ws.StatusProtocolError},
		"a reserved bit":                {said: spoken(ws.Frame{Header: ws.Header{Fin: true, Rsv: 4, OpCode: ws.OpText}}), code: ws.StatusProtocolError},
		"a reserved op code":            {said: spoken(ws.NewFrame(3, true, nil)), code: ws.StatusProtocolError},
		"a ping in pieces":              {said: spoken(ws.NewFrame(ws.OpPing, false, nil)), code: ws.StatusProtocolError},
		"a piece of nothing":            {said: spoken(ws.NewFrame(ws.OpContinuation, true, nil)), code: ws.StatusProtocolError},
		"a length beyond all":           {said: []byte{0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4}, code: ws.StatusProtocolError},
		"noise":                         {said: []byte("GET / HTTP/1.1\r\n\r\n"), code: ws.StatusProtocolError},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var want []byte
			if c.reply.Header.OpCode != 0 {
				want = ws.MustCompileFrame(c.reply)
			}
			pieces := [][]byte{c.said}
			for range 2 { // at once, and byte by byte
				m, reply, err := heard(pieces...)
				refused, _ := errors.AsType[*misuse](err)
				if !bytes.Equal(reply, want) || c.code == 0 && !errors.Is(err, c.err) || c.code != 0 && (refused == nil || refused.code != c.code) {
					t.Errorf("%d pieces: got %x, %v, want %x, %v %d", len(pieces), reply, err, want, c.err, c.code)
				}
				if err == nil && m.heard != nil {
					t.Errorf("%d bytes are kept", len(m.heard))
				}
				pieces = bytes.Split(c.said, nil)
			}
		})
	}
}

// Whatever is sent, in whatever pieces, is understood alike, and little of it is kept.
func TestNoWordOfAReaderIsTooMuch(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var said []byte
		for range rapid.IntRange(0, 6).Draw(t, "frames") {
			op := rapid.SampledFrom([]ws.OpCode{ws.OpText, ws.OpBinary, ws.OpContinuation, ws.OpPing, ws.OpPong, ws.OpClose}).Draw(t, "op")
			payload := rapid.SliceOfN(rapid.Byte(), 0, rapid.SampledFrom([]int{3, 125, 300, mostSaid + 1}).Draw(t, "most")).Draw(t, "payload")
			said = append(said, spoken(ws.NewFrame(op, rapid.Bool().Draw(t, "fin"), payload))...)
		}
		said = append(said, rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "noise")...)
		_, want, wanted := heard(said)
		m := &messages{}
		var got []byte
		var err error
		for rest := said; len(rest) > 0 && err == nil; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "piece")
			var reply []byte
			reply, err = m.receive(rest[:n])
			got, rest = append(got, reply...), rest[n:]
			if err == nil && len(m.heard) > mostSaid+ws.MaxHeaderSize {
				t.Fatalf("%d bytes are kept", len(m.heard))
			}
		}
		if !bytes.Equal(got, want) || (err == nil) != (wanted == nil) || err != nil && err.Error() != wanted.Error() {
			t.Fatalf("at once: %x, %v; in pieces: %x, %v", want, wanted, got, err)
		}
	})
}

func TestTheHandshakeIsTheStandards(t *testing.T) {
	t.Parallel()
	head := string((&messages{key: "dGhlIHNhbXBsZSBub25jZQ=="}).head(http.Header{})) // RFC 6455, section 1.3
	for _, line := range []string{"HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: websocket", "Sec-Websocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="} {
		if !strings.Contains(head, line+"\r\n") {
			t.Errorf("there is no %s in\n%s", line, head)
		}
	}
}
