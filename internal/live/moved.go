package live

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback/internal/backoff"
	"github.com/ringback/ringback/internal/supervise"
)

const (
	// endsEvery is the time between two questions about ends if there is no other node.
	endsEvery = 10 * time.Second
	// jobsAtOnce is how many jobs one question to the store names.
	jobsAtOnce = 1000
	// endsPause is the least time between two questions about ends.
	endsPause = 10 * time.Millisecond
)

// WakeEnds asks now which jobs have ended on other nodes. It does not block.
func (w *Watching) WakeEnds() { supervise.Wake(w.wakeEnds) }

// WatchEnds publishes the ends of watched jobs that other nodes settle, until ctx is done.
func (w *Watching) WatchEnds(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		timer.Reset(w.cfg.Session().Every(endsEvery))
		select {
		case <-ctx.Done():
			return nil
		case <-w.wakeEnds:
		case <-timer.C:
		}
		if w.cfg.Session().HasPeers() { // otherwise all jobs end here
			w.cfg.Supervisor.KeepHouse(ctx, "watch ends", func() error { return w.publishEnds(ctx) })
		}
		if !backoff.Sleep(ctx, endsPause) {
			return nil
		}
	}
}

// publishEnds publishes which of the watched jobs have ended.
func (w *Watching) publishEnds(ctx context.Context) error {
	return w.publish(ctx, slices.Concat(w.hub.Watched(), w.hub.Awaiting(AwaitEnd)), w.cfg.Store.Ended)
}

const (
	// beginsPause is the least time between two questions about waiting jobs that are read:
	// there is no signal when another node begins one.
	beginsPause = 200 * time.Millisecond
	// beginsShare bounds the time that these questions take, when very many jobs wait, to
	// one part in so many.
	beginsShare = 20
)

// WatchBegins publishes the beginnings of watched jobs on other nodes, until ctx is done.
func (w *Watching) WatchBegins(ctx context.Context) error {
	for pause := beginsPause; backoff.Sleep(ctx, pause); {
		asked := time.Now()
		if w.cfg.Session().Alive() > 1 {
			w.cfg.Supervisor.KeepHouse(ctx, "watch begins", func() error {
				return w.publish(ctx, w.hub.Awaiting(AwaitBegin), w.cfg.Store.Begun)
			})
		}
		pause = max(beginsPause, beginsShare*time.Since(asked))
	}
	return nil
}

// publish publishes which of some jobs have moved.
func (w *Watching) publish(ctx context.Context, jobs []uuid.UUID, moved func(context.Context, []uuid.UUID) ([]uuid.UUID, error)) error {
	for ids := range slices.Chunk(jobs, jobsAtOnce) {
		some, err := moved(ctx, ids)
		if err != nil {
			return err
		}
		for _, id := range some {
			w.hub.Publish(id)
		}
	}
	return nil
}
