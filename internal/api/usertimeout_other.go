//go:build !linux

package api

import (
	"errors"
	"net"
	"time"
)

// setUserTimeout can't be had here: the system's own patience holds.
func setUserTimeout(net.Conn, time.Duration) error { return errors.ErrUnsupported }
