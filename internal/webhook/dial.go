package webhook

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"syscall"
	"time"
)

// dialer opens connections that the guard allows.
type dialer struct {
	resolver *net.Resolver
	control  func(network, address string, c syscall.RawConn) error
}

var errUnreachable = errors.New("some addresses of the host are closed and the others could not be reached")

func newDialer(g *Guard, resolver *net.Resolver) *dialer {
	return &dialer{resolver: orGo(resolver), control: g.Control}
}

// orGo returns Go's own resolver where none is given: a lookup of the C library cannot be
// cancelled.
func orGo(r *net.Resolver) *net.Resolver {
	if r == nil {
		return &net.Resolver{PreferGo: true}
	}
	return r
}

// DialContext opens a connection to the first address of a host that the guard allows and
// that answers. It returns a *[BlockedError] only if the guard refused every address that
// was tried.
func (d *dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	var blocked atomic.Pointer[BlockedError] // addresses of both families are tried at once
	var passed atomic.Bool
	c, err := (&net.Dialer{
		Timeout:   connectTimeout, // including the lookup
		KeepAlive: 30 * time.Second,
		Resolver:  d.resolver,
		Control: func(network, address string, c syscall.RawConn) error {
			err := d.control(network, address, c)
			if b, ok := errors.AsType[*BlockedError](err); ok {
				blocked.Store(b)
			} else {
				passed.Store(true)
			}
			return err
		},
	}).DialContext(ctx, network, address)
	switch b := blocked.Load(); {
	case err == nil:
		return c, nil
	case b == nil:
		return nil, err
	case !passed.Load():
		return nil, b
	default:
		// net.Dialer returns the error of the first address, which may be the refusal.
		return nil, errUnreachable
	}
}
