package api

import "net"

// A tryWriter accepts nothing at once on Windows, so each reader writes by itself: after a
// write that is broken off here, nobody knows how much was sent.
type tryWriter struct{}

func newTryWriter(net.Conn) tryWriter { return tryWriter{} }

// write returns how much was accepted.
func (tryWriter) write([]byte) (n int, err error) { return 0, nil }
