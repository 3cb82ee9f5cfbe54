//go:build !linux

package api

import (
	"errors"
	"net"
	"time"
)

// missAfter can't be had here: the system's own patience holds.
func missAfter(net.Conn, time.Duration) error { return errors.ErrUnsupported }
