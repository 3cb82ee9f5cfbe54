package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/hub"
	"github.com/ringback/ringback/internal/store"
)

const (
	// followMin and followMax are the pauses between two looks at a job that somebody
	// watches and that no attempt of this process runs. They matter where other nodes
	// run jobs: the moves of this one are told.
	followMin = 25 * time.Millisecond
	followMax = time.Second
	// lostEvents is by how much the number of the event that ends a job is higher than
	// the last one known, where the events of its last attempt are lost: it must stand
	// behind them.
	lostEvents = 1_000_000
)

// followJob writes the log of a job that no attempt of this process writes, for those
// who read it: what the store has, and what the node that runs it says. It returns
// when the log is at its end, or ctx.
func (n *Node) followJob(ctx context.Context, l *hub.Log, project string, job uuid.UUID) {
	for pause := followMin; ; pause = min(2*pause, followMax) {
		moved, leave := n.hub.Watch(job)
		over, err := n.catchUp(ctx, l, project, job)
		if over || ctx.Err() != nil {
			leave()
			return
		}
		n.complain(ctx, "follow a job", err)
		timer := time.NewTimer(jitter(n.followPause(pause)))
		select {
		case <-moved:
			pause = followMin
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		leave()
	}
}

// followPause is a pause where other nodes may move the job; where there are none
// nothing is missed but by a fault.
func (n *Node) followPause(pause time.Duration) time.Duration {
	if n.life.Load().shared() {
		return pause
	}
	return compareEvery
}

// catchUp writes what can be known of a job now. over tells that there will be no
// more.
func (n *Node) catchUp(ctx context.Context, l *hub.Log, project string, job uuid.UUID) (over bool, err error) {
	j, _, err := n.store.Job(ctx, project, job, 0)
	switch {
	case errors.Is(err, store.ErrGone):
		l.Fail(gone(job.String(), j))
		return true, nil
	case errors.Is(err, store.ErrNotFound):
		l.Fail(noSuchJob(job.String()))
		return true, nil
	case err != nil:
		return false, err
	case j.Status.Terminal():
		err := n.sayEnd(ctx, l, project, &j)
		return err == nil, err
	case j.Status == ringback.Running && j.Node != n.ID():
		n.relay(ctx, l, &j)
		return false, nil
	case j.Fence > 0 && l.Last() == ringback.EventID{} && j.Options.Stream:
		n.recall(l, &j) // it waits for its next attempt
	}
	return false, nil
}

// sayEnd writes what the store has of a job that has ended, and its end.
func (n *Node) sayEnd(ctx context.Context, l *hub.Log, project string, j *store.Job) error {
	var last ringback.EventID
	switch {
	case l.Whole():
		last = l.Last()
	case j.Options.Stream:
		events, err := n.storedEvents(ctx, j)
		if err != nil {
			return err
		}
		l.Append(events...)
		if len(events) > 0 {
			last = events[len(events)-1].EventID
		}
	}
	v, err := n.Job(ctx, project, j.ID.String(), false)
	if err != nil {
		return fmt.Errorf("read the end of job %s: %w", j.ID, err)
	}
	v.Response, v.Webhook, v.StreamURL = nil, nil, "" // a token must not renew itself
	l.End(ringback.StreamEvent{Type: ringback.EventOf(j.Status), EventID: endID(j, last), Timestamp: ringback.Time{Time: j.EndedAt}, Job: &v})
	return nil
}

// endID is the id of the event that ends a job, of whose others last is the last that
// is stored. All nodes come to the same one.
func endID(j *store.Job, last ringback.EventID) ringback.EventID {
	id := ringback.EventID{Attempt: j.Fence, Number: max(last.Number, 1) + 1}
	if j.Options.Stream && last.Attempt != j.Fence {
		id.Number += lostEvents
	}
	return id
}
