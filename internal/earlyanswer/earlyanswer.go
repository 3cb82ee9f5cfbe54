// Package earlyanswer reads the answer of servers that answer a request before they have
// read all of it, and then close the connection, mostly to refuse its size. net/http would
// return the error of the failed write instead of the answer.
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
	// expectFrom is the size of a body, in bytes, from which a server is asked first
	// (Expect: 100-continue).
	expectFrom = 1 << 20
	// ExpectTimeout is for a transport's ExpectContinueTimeout: many servers do not respond
	// to the question.
	ExpectTimeout = time.Second
)

// RoundTrip calls transport, which dials with [Dial]. It asks the server before it sends a
// large body.
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
	_ = response.Body.Close() // the server does not know Expect
	if r.Body, err = r.GetBody(); err != nil {
		return nil, err
	}
	return transport.RoundTrip(r)
}

// DialFunc opens a connection.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// Dial wraps a dial so that its connections are still read after the other side has stopped
// reading.
func Dial(dial DialFunc) DialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &conn{Conn: c}, nil
	}
}

// Begin tells a connection that a request begins; GotConn of httptrace has the connection.
// If not a byte of the request can be written, net/http sends it over another connection.
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
	lost  atomic.Bool // nothing can be written anymore
}

// Write pretends that bytes the other side refuses to accept have been written, so that its
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
