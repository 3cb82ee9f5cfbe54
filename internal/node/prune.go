package node

import (
	"context"
	"time"

	"github.com/ringback/ringback/internal/backoff"
)

const (
	pruneEvery = 10 * time.Second
	// pruneBatch is how many jobs a step deletes: few, so that no submit waits for it long.
	pruneBatch = 50
	prunePause = 20 * time.Millisecond
)

// prune deletes content, and later rows, when their time is over. It goes in small steps
// with pauses: a million jobs that expire at once must not block the writer.
func (n *Node) prune(ctx context.Context) error {
	timer := time.NewTimer(prunePause)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
			touched := 0
			n.supervisor.KeepHouse(ctx, "delete content", func() (err error) {
				touched, err = n.store.Prune(ctx, n.clock.Now(), pruneBatch)
				return err
			})
			pause := backoff.Jitter(pruneEvery, backoff.Half)
			if touched == pruneBatch {
				pause = prunePause
			}
			timer.Reset(pause)
		}
	}
}
