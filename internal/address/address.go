// Package address deals with the addresses that a server listens on: which machines reach
// them, under which URL, and why one cannot be listened on.
package address

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"strings"
	"syscall"

	"github.com/ringback/ringback/internal/exit"
)

// IsLoopback reports whether only this machine can reach a server that listens on addr, a
// HOST:PORT.
func IsLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// URL returns the URL under which this machine reaches a listener.
func URL(addr net.Addr) string {
	a, err := netip.ParseAddrPort(addr.String())
	if err == nil && a.Addr().IsUnspecified() {
		return fmt.Sprintf("http://127.0.0.1:%d", a.Port())
	}
	return "http://" + addr.String()
}

// Explain returns an [exit.Error] that says why addr cannot be listened on, and what to do.
// err is that of [net.Listen].
func Explain(err error, addr string) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return exit.Errorf(exit.Port, "%s is in use by another program; stop that, or listen elsewhere with --addr", addr)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return exit.Errorf(exit.Port, "%s is not an address of this machine; correct --addr", addr)
	case errors.Is(err, fs.ErrPermission):
		return exit.Errorf(exit.Port, "this user may not listen on %s; choose port 1024 or higher with --addr", addr)
	default:
		return exit.Errorf(exit.Port, "%s cannot be listened on: %w; correct --addr", addr, err)
	}
}
