package webhook

import (
	"context"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // see accepts
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// A socket is our end of a WebSocket (RFC 6455), over a connection that net/http has
// upgraded. One goroutine writes and another one reads.
type socket struct {
	conn io.ReadWriteCloser
	pong chan struct{} // has a value when a pong has arrived that nobody waited for

	writing sync.Mutex // our pongs are sent between two messages
}

// closedError is the other side's close frame, with its code.
type closedError struct{ code ws.StatusCode }

func (e closedError) Error() string { return "the receiver closed the WebSocket" }

// upgrade asks for a WebSocket. If the server does not want one, the error is nil and the
// response says why.
func upgrade(ctx context.Context, transport http.RoundTripper, url string, header http.Header) (*socket, *http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http"+strings.TrimPrefix(url, "ws"), nil)
	if err != nil {
		return nil, nil, err
	}
	nonce := make([]byte, 16)
	rand.Read(nonce) // never fails
	key := base64.StdEncoding.EncodeToString(nonce)
	req.Header = header.Clone()
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "websocket")
	req.Header.Set("Sec-Websocket-Version", "13")
	req.Header.Set("Sec-Websocket-Key", key)
	resp, err := transport.RoundTrip(req)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		return nil, resp, err
	}
	conn, writable := resp.Body.(io.ReadWriteCloser)
	if !writable || !accepts(resp.Header, key) {
		resp.Body.Close()
		return nil, nil, errors.New("the receiver switched to a protocol other than WebSocket")
	}
	return &socket{conn: conn, pong: make(chan struct{}, 1)}, nil, nil
}

// accepts reports whether a server accepted our handshake, by RFC 6455, section 4.1.
func accepts(header http.Header, key string) bool {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // required by the standard; it protects nothing
	return strings.EqualFold(header.Get("Upgrade"), "websocket") &&
		header.Get("Sec-Websocket-Accept") == base64.StdEncoding.EncodeToString(sum[:])
}

// within runs do on the connection, which is closed if ctx ends first.
func (s *socket) within(ctx context.Context, do func() error) error {
	stop := context.AfterFunc(ctx, func() { s.conn.Close() })
	err := do()
	if !stop() {
		return context.Cause(ctx)
	}
	return err
}

// write writes one frame, or one message of one frame.
func (s *socket) write(op ws.OpCode, payload []byte) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	return wsutil.WriteClientMessage(s.conn, op, payload)
}

// text sends one message.
func (s *socket) text(ctx context.Context, message []byte) error {
	return s.within(ctx, func() error { return s.write(ws.OpText, message) })
}

// ping sends a ping, and waits for the pong.
func (s *socket) ping(ctx context.Context) error {
	return s.within(ctx, func() error {
		if err := s.write(ws.OpPing, nil); err != nil {
			return err
		}
		select {
		case <-s.pong:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
}

// goodbye sends a close frame. The other side's answer is left to read.
func (s *socket) goodbye(ctx context.Context) error {
	return s.within(ctx, func() error { return s.write(ws.OpClose, ws.NewCloseFrameBody(ws.StatusNormalClosure, "")) })
}

// read reads until the connection ends, and answers pings. It discards messages. It returns
// a closedError after a close frame.
func (s *socket) read() error {
	frames := wsutil.Reader{Source: s.conn, State: ws.StateClientSide, OnIntermediate: s.control}
	for {
		h, err := frames.NextFrame()
		switch {
		case err != nil:
			return err
		case h.OpCode.IsControl():
			err = s.control(h, &frames)
		default:
			err = frames.Discard()
		}
		if err != nil {
			return err
		}
	}
}

// control handles frames between messages.
func (s *socket) control(h ws.Header, body io.Reader) error {
	payload := make([]byte, h.Length) // at most 125, as the reader has checked
	if _, err := io.ReadFull(body, payload); err != nil {
		return err
	}
	switch h.OpCode {
	case ws.OpPing:
		return s.write(ws.OpPong, payload)
	case ws.OpPong:
		select {
		case s.pong <- struct{}{}:
		default:
		}
	case ws.OpClose:
		code, _ := ws.ParseCloseFrameData(payload)
		if code.IsProtocolReserved() || code == 0 {
			_ = s.write(ws.OpClose, nil)
		} else {
			_ = s.write(ws.OpClose, ws.NewCloseFrameBody(code, ""))
		}
		return closedError{code}
	}
	return nil
}
