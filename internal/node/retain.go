package node

import (
	"context"
	"time"

	"github.com/ringback/ringback/internal/backoff"
)

const (
	retainEvery = 10 * time.Second
	// retainBatch is how many jobs a step deletes: small, so that no submit waits
	// long behind it.
	retainBatch = 50
	retainPause = 20 * time.Millisecond
)

// retain deletes content, and later rows, whose time is over. It goes in small
// steps with pauses: a million jobs that expire at once must not stall the writer.
func (n *Node) retain(ctx context.Context) error {
	timer := time.NewTimer(retainPause)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
			touched := 0
			n.keepHouse(ctx, "delete content", func() (err error) {
				touched, err = n.store.Retain(ctx, n.now(), retainBatch)
				return err
			})
			pause := backoff.Jitter(retainEvery, backoff.Half)
			if touched == retainBatch {
				pause = retainPause
			}
			timer.Reset(pause)
		}
	}
}
