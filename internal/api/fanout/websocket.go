package fanout

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // see acceptKey
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/gobwas/ws"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/longjson"
)

const (
	// mostSaid bounds a message of a reader, which is ignored, in bytes.
	mostSaid = 4 << 10
	// byeFor is how long a reader may take to close its side.
	byeFor = 2 * time.Second
)

// headerKey has the client's key of a handshake.
const headerKey = "Sec-Websocket-Key"

// CheckHandshake refuses a request that is no handshake of a WebSocket.
func CheckHandshake(method string, h http.Header) error {
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(h.Get(headerKey)))
	switch {
	case method != http.MethodGet || !IsUpgrade(h):
		return ringback.Invalid("", "this path speaks WebSocket; GET /api/jobs/{id}/stream has the same events over plain HTTP")
	case h.Get("Sec-Websocket-Version") != "13":
		return ringback.Invalid("Sec-WebSocket-Version", "Sec-WebSocket-Version must be 13")
	case err != nil || len(key) != 16 || len(h.Values(headerKey)) != 1:
		return ringback.Invalid("Sec-WebSocket-Key", "Sec-WebSocket-Key must be 16 bytes as base64")
	}
	return nil
}

// IsUpgrade reports whether a request wants to become a WebSocket.
func IsUpgrade(h http.Header) bool {
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

// messages is a WebSocket, RFC 6455, for one reader: each event is a message.
type messages struct {
	key    string        // of the handshake
	heard  []byte        // of frames that are not complete
	state  ws.State      // whether a message continues
	length int64         // of the message that the reader is sending, so far
	pinged time.Time     // when an unanswered ping was sent; zero: there is none
	grace  time.Duration // for the pong
}

func (m *messages) head(h http.Header) []byte {
	h.Set("Connection", "Upgrade")
	h.Set("Upgrade", "websocket")
	h.Set("Sec-Websocket-Accept", acceptKey(m.key))
	return answerHead(http.StatusSwitchingProtocols, h)
}

// acceptKey returns the answer to a key, see RFC 6455, section 4.2.2.
func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // required by the standard; it protects nothing
	return base64.StdEncoding.EncodeToString(sum[:])
}

func (*messages) of(b *chunk) []byte { return b.events }

// long returns a message, in one frame.
func (*messages) long(_ *ringback.StreamEvent, json longjson.Value) (text func(w io.Writer) error, length int64, err error) {
	if length, err = json.Len(); err != nil {
		return nil, 0, err
	}
	return func(w io.Writer) error {
		if err := ws.WriteHeader(w, ws.Header{Fin: true, OpCode: ws.OpText, Length: length}); err != nil {
			return err
		}
		return json.Write(w)
	}, length, nil
}

// slack is 2: a reader can be told only between two messages why there are no more, so one that
// is late may still take what has begun.
func (*messages) slack() int { return 2 }

var (
	ping    = ws.MustCompileFrame(ws.NewPingFrame(nil))
	errMute = fmt.Errorf("%w: it answers no ping", errReader)
	errBye  = fmt.Errorf("%w: it says goodbye", errGone)
)

func (m *messages) alive() ([]byte, error) {
	switch {
	case m.pinged.IsZero():
		m.pinged = time.Now()
		return ping, nil
	case time.Since(m.pinged) > m.grace:
		return nil, errMute
	default:
		return nil, nil
	}
}

func (m *messages) receive(said []byte) (reply []byte, err error) {
	m.heard = append(m.heard, said...)
	for err == nil {
		var frame ws.Frame
		var whole bool
		if frame, whole, err = m.next(); err != nil || !whole {
			break
		}
		switch frame.Header.OpCode {
		case ws.OpPing:
			reply = append(reply, ws.MustCompileFrame(ws.NewPongFrame(frame.Payload))...)
		case ws.OpPong:
			m.pinged = time.Time{}
		case ws.OpClose:
			code, _ := ws.ParseCloseFrameData(frame.Payload)
			reply, err = append(reply, closeFrame(code, "")...), errBye
		}
	}
	if len(m.heard) == 0 {
		m.heard = nil // most send nothing more
	}
	return reply, err
}

// next takes a frame from what was received, if it is complete.
func (m *messages) next() (frame ws.Frame, whole bool, err error) {
	in := bytes.NewReader(m.heard)
	h, err := ws.ReadHeader(in)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return frame, false, nil
	case err != nil:
		return frame, false, &misuse{ws.StatusProtocolError, err.Error()}
	}
	if err := m.check(h); err != nil {
		return frame, false, err
	}
	if int64(in.Len()) < h.Length {
		return frame, false, nil
	}
	begin := len(m.heard) - in.Len()
	end := begin + int(h.Length)
	frame = ws.UnmaskFrameInPlace(ws.Frame{Header: h, Payload: m.heard[begin:end:end]})
	m.heard = m.heard[end:]
	if h.OpCode.IsData() {
		m.length, m.state = m.length+h.Length, ws.StateFragmented
		if h.Fin {
			m.length, m.state = 0, 0
		}
	}
	return frame, true, nil
}

// check refuses what is not a frame of a client, or too long.
func (m *messages) check(h ws.Header) error {
	if err := ws.CheckHeader(h, m.state.Set(ws.StateServerSide)); err != nil {
		return &misuse{ws.StatusProtocolError, err.Error()}
	}
	if h.OpCode.IsData() && h.Length > mostSaid-m.length { // a sum could overflow
		return &misuse{ws.StatusMessageTooBig, fmt.Sprintf("a message may have %d bytes, and is not heard", mostSaid)}
	}
	return nil
}

// misuse is why a WebSocket is closed that its reader has misused.
type misuse struct {
	code   ws.StatusCode
	reason string
}

func (m *misuse) Error() string { return m.reason }
func (*misuse) Unwrap() error   { return errReader }

// closeFrame has no code if the given one may not be sent: the other side gave none, or
// nonsense.
func closeFrame(code ws.StatusCode, reason string) []byte {
	if code < 1000 || code > 4999 || code.IsProtocolReserved() {
		return ws.MustCompileFrame(ws.NewCloseFrame(nil))
	}
	return ws.MustCompileFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(code, reason)))
}

// end closes the WebSocket with a code that says why there are no more events, and waits for
// the reader to close its side.
func (m *messages) end(t *subscriber, why error) (again bool) {
	if errors.Is(why, errGone) {
		return false
	}
	if t.write(closeFrame(closing(why, t.all.UserError(why), t.After()))) != nil {
		return false
	}
	_ = t.conn.SetReadDeadline(time.Now().Add(byeFor)) // fails where reading will
	for {
		n, err := t.conn.Read(t.word[:])
		if err == nil {
			_, err = m.receive(t.word[:n])
		}
		if errors.As(err, new(*misuse)) { // what it sends is ignored, but unread it would break the connection
			_, err = io.Copy(io.Discard, t.conn)
		}
		if err != nil || n == 0 {
			return false
		}
	}
}

const (
	// statusTryAgainLater is in the registry of RFC 6455.
	statusTryAgainLater ws.StatusCode = 1013
	// mostReason bounds the reason of a close, in bytes.
	mostReason = 123
)

// closing returns why there are no more events after the given one. known is the error for
// users that why has, if any.
func closing(why error, known *ringback.Error, after ringback.EventID) (code ws.StatusCode, reason string) {
	resume := "resume with ?after=" + after.String()
	refused := new(misuse)
	switch {
	case errors.Is(why, io.EOF):
		return ws.StatusNormalClosure, ""
	case errors.Is(why, ErrClosing):
		return ws.StatusGoingAway, "the server is stopping; " + resume
	case errors.As(why, &refused):
		return refused.code, refused.reason
	case errors.Is(why, errReader), known != nil && known.Code == ringback.Unavailable:
		return statusTryAgainLater, resume
	case known != nil:
		return ws.StatusPolicyViolation, strings.ToValidUTF8(known.Message[:min(len(known.Message), mostReason)], "")
	default:
		return ws.StatusInternalServerError, "internal error"
	}
}
