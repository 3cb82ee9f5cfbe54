package e2e_test

import (
	"context"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// awaitReceived waits until the other side has all that was sent to it. Linux lets it read
// that even behind a reset.
func awaitReceived(ctx context.Context, c net.Conn) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for unacknowledged(c) > 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// unacknowledged returns how many of the bytes that were sent the other side does not have.
func unacknowledged(c net.Conn) (n int) {
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) })
	return n
}
