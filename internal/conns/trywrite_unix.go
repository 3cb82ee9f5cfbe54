//go:build unix

package conns

import (
	"errors"
	"net"
	"syscall"
)

// A TryWriter writes to a connection what it takes at once, and never blocks.
type TryWriter struct {
	raw syscall.RawConn // nil: it takes nothing at once
}

// NewTryWriter makes a TryWriter of a connection, such as a [Conn].
func NewTryWriter(conn net.Conn) (w TryWriter) {
	if c, ok := conn.(*Conn); ok {
		conn = c.Conn
	}
	if c, ok := conn.(syscall.Conn); ok {
		w.raw, _ = c.SyscallConn() // nil, if there is none
	}
	return w
}

// TryWrite returns how many bytes were taken. If that is not all of p, there need be no error.
func (w TryWriter) TryWrite(p []byte) (n int, err error) {
	if w.raw == nil {
		return 0, nil
	}
	var wrong error
	err = w.raw.Write(func(fd uintptr) bool {
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
