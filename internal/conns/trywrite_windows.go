package conns

import "net"

// A TryWriter takes nothing at once on Windows: if a write is broken off there, nobody knows
// how much of it was sent.
type TryWriter struct{}

// NewTryWriter makes a TryWriter of a connection.
func NewTryWriter(net.Conn) TryWriter { return TryWriter{} }

// TryWrite returns how many bytes were taken.
func (TryWriter) TryWrite([]byte) (n int, err error) { return 0, nil }
