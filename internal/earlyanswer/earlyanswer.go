// Package earlyanswer hears servers that answer a request before they have read all of
// it, and then close the connection: with a refusal of its size, mostly. net/http gives
// such an answer up for the error of the write that failed.
package earlyanswer

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// expectFrom is the size of a body, in bytes, from which a server is asked first.
	expectFrom = 1 << 20
	// ExpectTimeout is for a transport's ExpectContinueTimeout: many servers do not
	// answer that question.
	ExpectTimeout = time.Second
)

// RoundTrip is the transport's, which dials with [Dial]. A server is asked before a
// large body is sent to it.
func RoundTrip(transport *http.Transport, r *http.Request) (*http.Response, error) {
	if r.ContentLength < expectFrom {
		return transport.RoundTrip(r)
	}
	asking := r.Clone(r.Context())
	asking.Header.Set("Expect", "100-continue")
	response, err := transport.RoundTrip(asking)
	if err != nil || response.StatusCode != http.StatusExpectationFailed {
		return response, err
	}
	_ = response.Body.Close() // it does not know the question
	if r.Body, err = r.GetBody(); err != nil {
		return nil, err
	}
	return transport.RoundTrip(r)
}

// DialFunc opens a connection.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// Dial makes connections of another dial that go on to be read when the other side has
// stopped reading.
func Dial(dial DialFunc) DialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &conn{Conn: c}, nil
	}
}

// Begin tells a connection that a request begins, which GotConn of httptrace knows.
// Where not a byte of it can be written, net/http sends it over another one.
func Begin(c net.Conn) {
	if over, ok := c.(interface{ NetConn() net.Conn }); ok { // TLS
		c = over.NetConn()
	}
	if c, ok := c.(*conn); ok {
		c.begun.Store(false)
	}
}

type conn struct {
	net.Conn

	begun atomic.Bool // a byte of the request has been written
	lost  atomic.Bool // nothing can be written any more
}

// Write pretends that what the other side refuses to take has been written, so that its
// answer is read, or how it closed the connection.
func (c *conn) Write(p []byte) (int, error) {
	if c.lost.Load() {
		if !c.begun.Load() {
			return 0, syscall.EPIPE
		}
		return len(p), nil
	}
	n, err := c.Conn.Write(p)
	if n > 0 {
		c.begun.Store(true)
	}
	if err == nil || !isReset(err) {
		return n, err
	}
	c.lost.Store(true)
	if !c.begun.Load() {
		return n, err
	}
	return len(p), nil
}

func isReset(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.ECONNABORTED)
}
