package api

import "net"

// A tryWriter takes nothing at once on Windows, so each reader writes by itself: of a
// write that is broken off here, nobody knows how much has gone.
type tryWriter struct{}

func newTryWriter(net.Conn) tryWriter { return tryWriter{} }

// write tells how much was taken.
func (tryWriter) write([]byte) (n int, err error) { return 0, nil }
