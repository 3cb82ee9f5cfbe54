package node

import (
	"context"
	"slices"
	"time"

	"github.com/ringback/ringback/internal/store"
)

// hear wakes whom a signal of another node concerns. It may come late, twice or
// never: each of them looks now and then by itself.
func (n *Node) hear(s store.Signal) {
	for signal, wake := range map[store.Signal]chan struct{}{
		store.SignalJobs:       n.wakeJobs,
		store.SignalDeliveries: n.wakeDeliveries,
		store.SignalEnded:      n.wakeEnds,
		store.SignalCancel:     n.wakeCancels,
		store.SignalHolds:      n.wakeHolds,
		store.SignalNodes:      n.wakeMember,
	} {
		if s&signal != 0 {
			poke(wake)
		}
	}
}

const (
	// endsAtOnce is how many jobs one question about ends names.
	endsAtOnce = 1000
	// endsPause is the least time between two such questions.
	endsPause = 10 * time.Millisecond
)

// watchEnds tells those who watch jobs here of the ends that other nodes bring about.
func (n *Node) watchEnds(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		timer.Reset(n.life.Load().every(compareEvery))
		select {
		case <-ctx.Done():
			return nil
		case <-n.wakeEnds:
		case <-timer.C:
		}
		if n.life.Load().shared() { // else all ends are brought about here
			n.complain(ctx, "watch ends", n.publishEnds(ctx))
		}
		if !sleep(ctx, endsPause) {
			return nil
		}
	}
}

// publishEnds publishes which of the jobs that are watched have ended.
func (n *Node) publishEnds(ctx context.Context) error {
	for ids := range slices.Chunk(n.hub.Watched(), endsAtOnce) {
		ended, err := n.store.Ended(ctx, ids)
		if err != nil {
			return err
		}
		for _, id := range ended {
			n.hub.Publish(id)
		}
	}
	return nil
}
