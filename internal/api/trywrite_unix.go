//go:build unix

package api

import (
	"errors"
	"net"
	"syscall"

	"github.com/ringback/ringback/internal/conns"
)

// A tryWriter writes as much to a connection as it accepts at once, and never blocks.
type tryWriter struct {
	raw syscall.RawConn // nil: it accepts nothing at once
}

func newTryWriter(conn net.Conn) (e tryWriter) {
	if g, ok := conn.(*conns.Conn); ok {
		conn = g.Conn
	}
	if c, ok := conn.(syscall.Conn); ok {
		e.raw, _ = c.SyscallConn() // nil, if there is none
	}
	return e
}

// write returns how much was accepted.
func (e tryWriter) write(p []byte) (n int, err error) {
	if e.raw == nil {
		return 0, nil
	}
	var wrong error
	err = e.raw.Write(func(fd uintptr) bool {
		n, wrong = syscall.Write(int(fd), p)
		return true
	})
	switch {
	case err != nil:
		return 0, err
	case errors.Is(wrong, syscall.EAGAIN), errors.Is(wrong, syscall.EINTR):
		return 0, nil
	case wrong != nil:
		return 0, wrong
	}
	return n, nil
}
