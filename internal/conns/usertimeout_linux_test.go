package conns

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestTheSystemMissesWhoIsSilent(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := SetUserTimeout(conn, 30*time.Second); err != nil {
		t.Fatal(err)
	}
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var after int
	_ = raw.Control(func(fd uintptr) { after, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT) })
	if after != 30_000 || err != nil {
		t.Errorf("it is missed after %d ms, %v", after, err)
	}
}
