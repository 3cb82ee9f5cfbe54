package api

import "net"

// eager takes nothing at once: each reader writes by itself. Of a write that is broken off
// here nobody knows how much has gone.
type eager struct{}

func newEager(net.Conn) eager { return eager{} }

// write tells how much was taken.
func (eager) write([]byte) (n int, err error) { return 0, nil }
