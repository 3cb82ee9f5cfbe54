//go:build !linux

package api

import (
	"errors"
	"net"
	"time"
)

// setUserTimeout is not available here: the system's own timeout applies.
func setUserTimeout(net.Conn, time.Duration) error { return errors.ErrUnsupported }
