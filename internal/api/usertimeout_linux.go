package api

import (
	"errors"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// setUserTimeout makes the kernel end a connection whose other side has not acknowledged
// what was sent for that long. By default it would try for a quarter of an hour.
func setUserTimeout(conn net.Conn, silence time.Duration) error {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return errors.ErrUnsupported
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var wrong error
	err = raw.Control(func(fd uintptr) {
		wrong = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(silence.Milliseconds()))
	})
	return errors.Join(err, wrong)
}
