//go:build !linux

package conns

import (
	"errors"
	"net"
	"time"
)

// SetUserTimeout is not supported here: the system's own timeout applies.
func SetUserTimeout(net.Conn, time.Duration) error { return errors.ErrUnsupported }
