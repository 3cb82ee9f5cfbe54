package shortage_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/ringback/ringback/internal/shortage"
)

func TestAnErrorOfThisMachineIsToldFromOneOfTheOtherSide(t *testing.T) {
	t.Parallel()
	dial := func(errno syscall.Errno, addr net.Addr) error {
		return fmt.Errorf("post: %w", &net.OpError{Op: "dial", Net: "tcp", Addr: addr, Err: os.NewSyscallError("connect", errno)})
	}
	here := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80}
	nowhere := &net.TCPAddr{IP: net.ParseIP("fe80::1"), Port: 80, Zone: "no-such-interface"}
	for _, c := range []struct {
		err  error
		want shortage.Resource
	}{
		{dial(syscall.EMFILE, here), shortage.Descriptors},
		{dial(syscall.ENFILE, here), shortage.Descriptors},
		{dial(syscall.ENOBUFS, here), shortage.Memory},
		{dial(syscall.ENOMEM, here), shortage.Memory},
		{dial(syscall.EADDRNOTAVAIL, here), shortage.Ports},
		{dial(syscall.EADDRNOTAVAIL, nowhere), ""}, // no route of its own: waiting changes nothing
		{dial(syscall.EADDRNOTAVAIL, nil), ""},
		{dial(syscall.ECONNREFUSED, here), ""},
		{&net.DNSError{Err: "dial udp 127.0.0.53:53: socket: " + syscall.EMFILE.Error(), Name: "a.example"}, shortage.Descriptors},
		{&net.DNSError{Err: "no such host", Name: "a.example", IsNotFound: true}, ""},
		{context.DeadlineExceeded, ""},
		{nil, ""},
	} {
		if got := shortage.Of(c.err); got != c.want {
			t.Errorf("%v: got %q, want %q", c.err, got, c.want)
		}
	}
}
