package node

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback/internal/backoff"
	"github.com/ringback/ringback/internal/live"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/supervise"
)

// onSignal wakes whom a signal of another node concerns. It may come late, twice or
// never: each of them looks now and then by itself.
func (n *Node) onSignal(s store.Signal) {
	for signal, wake := range map[store.Signal]func(){
		store.SignalJobs:       func() { supervise.Wake(n.wakeJobs) },
		store.SignalDeliveries: func() { supervise.Wake(n.wakeDeliveries) },
		store.SignalEnded:      func() { supervise.Wake(n.wakeEnds) },
		store.SignalCancel:     n.reconciler.Wake,
		store.SignalHolds:      n.holds.Wake,
		store.SignalNodes:      n.members.Wake,
	} {
		if s&signal != 0 {
			wake()
		}
	}
}

const (
	// endsEvery is the time between two such questions where there is no other node.
	endsEvery = 10 * time.Second
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
		timer.Reset(n.members.Session().Every(endsEvery))
		select {
		case <-ctx.Done():
			return nil
		case <-n.wakeEnds:
		case <-timer.C:
		}
		if n.members.Session().HasPeers() { // else all ends are brought about here
			n.supervisor.KeepHouse(ctx, "watch ends", func() error { return n.publishEnds(ctx) })
		}
		if !backoff.Sleep(ctx, endsPause) {
			return nil
		}
	}
}

// publishEnds publishes which of the jobs that are watched have ended.
func (n *Node) publishEnds(ctx context.Context) error {
	return n.publish(ctx, slices.Concat(n.hub.Watched(), n.hub.Awaiting(live.AwaitEnd)), n.store.Ended)
}

// beginsPause is the time between two questions about jobs that are to be seen growing:
// nothing tells that another node has begun them.
//
// Where very many wait, to ask takes its time too: it is at most one part in beginsShare
// of all time.
const (
	beginsPause = 200 * time.Millisecond
	beginsShare = 20
)

// watchBegins tells those who watch jobs that wait when other nodes begin them.
func (n *Node) watchBegins(ctx context.Context) error {
	for pause := beginsPause; backoff.Sleep(ctx, pause); {
		asked := time.Now()
		if n.members.Session().Alive() > 1 {
			n.supervisor.KeepHouse(ctx, "watch begins", func() error { return n.publish(ctx, n.hub.Awaiting(live.AwaitBegin), n.store.Begun) })
		}
		pause = max(beginsPause, beginsShare*time.Since(asked))
	}
	return nil
}

// publish publishes which of some jobs have moved.
func (n *Node) publish(ctx context.Context, jobs []uuid.UUID, moved func(context.Context, []uuid.UUID) ([]uuid.UUID, error)) error {
	for ids := range slices.Chunk(jobs, endsAtOnce) {
		some, err := moved(ctx, ids)
		if err != nil {
			return err
		}
		for _, id := range some {
			n.hub.Publish(id)
		}
	}
	return nil
}
