//go:build !linux

package e2e_test

import (
	"context"
	"net"
	"time"
)

// awaitReceived waits until the other side has read all that was sent to it, very likely.
func awaitReceived(ctx context.Context, _ net.Conn) { sleep(ctx, 100*time.Millisecond) }
