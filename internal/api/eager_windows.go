package api

import (
	"errors"
	"net"
	"os"
	"time"
)

// eager writes to a connection what it takes at once, or nearly so.
type eager struct {
	conn net.Conn
}

func newEager(conn net.Conn) eager { return eager{conn} }

// atOnce is how long a connection may take for what it takes at once.
const atOnce = time.Millisecond

// write tells how much was taken.
func (e eager) write(p []byte) (n int, err error) {
	_ = e.conn.SetWriteDeadline(time.Now().Add(atOnce)) // it fails where writing will
	n, err = e.conn.Write(p)
	_ = e.conn.SetWriteDeadline(time.Time{})
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = nil
	}
	return n, err
}
