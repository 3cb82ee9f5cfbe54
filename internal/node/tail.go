package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/backoff"
	"github.com/ringback/ringback/internal/live"
	"github.com/ringback/ringback/internal/refusal"
	"github.com/ringback/ringback/internal/store"
)

const (
	// tailMin and tailMax are the pauses between two looks at a job that another
	// node runs, where that one can't be asked, or at a store that can't be read.
	tailMin = 25 * time.Millisecond
	tailMax = time.Second
	// lostEvents is by how much the number of the event that ends a job is higher than
	// the last one known, where the events of its last attempt are lost: it must stand
	// behind them.
	lostEvents = 1_000_000
)

// tailJob writes the log of a job that no attempt of this process writes, for those
// who read it: what the store has, and what the node that runs it says.
func (n *Node) tailJob(ctx context.Context, l *live.Log, project string, job uuid.UUID) live.Await {
	for pause := tailMin; ; pause = min(2*pause, tailMax) {
		moved, leave := n.hub.Watch(job)
		var awaits live.Await
		rests := false
		err := n.supervisor.Guarded("follow a job", func() (err error) {
			awaits, rests, err = n.tailOnce(ctx, l, project, job)
			return err
		}, "job_id", job)
		if rests || ctx.Err() != nil {
			leave()
			return awaits
		}
		n.supervisor.LogLoopError(ctx, "follow a job", err)
		timer := time.NewTimer(backoff.Jitter(pause, backoff.Half))
		select {
		case <-moved:
			pause = tailMin
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		leave()
	}
}

// tailOnce writes what can be known of a job now. rests tells that there will be no more
// before it moves, and awaits what that would be.
func (n *Node) tailOnce(ctx context.Context, l *live.Log, project string, job uuid.UUID) (awaits live.Await, rests bool, err error) {
	j, _, err := n.store.Job(ctx, project, job, 0)
	switch {
	case errors.Is(err, store.ErrGone):
		l.Fail(refusal.Gone(job.String(), j, n.cfg.Retention.Rows))
		return live.AwaitNothing, true, nil
	case errors.Is(err, store.ErrNotFound):
		l.Fail(refusal.NoJob(job.String()))
		return live.AwaitNothing, true, nil
	case err != nil:
		return 0, false, err
	case j.Status.Terminal():
		err := n.sayEnd(ctx, l, project, &j)
		if refused := new(ringback.Error); errors.As(err, &refused) { // or its content went meanwhile
			l.Fail(refused)
			return live.AwaitNothing, true, nil
		}
		return live.AwaitNothing, err == nil, err
	case j.Status == ringback.Running && j.Node != n.ID() && j.Options.Stream:
		n.relay(ctx, l, &j)
		return 0, false, nil
	case j.Status == ringback.Running:
		return live.AwaitEnd, true, nil
	}
	if j.Fence > 0 && j.Options.Stream && l.Last() == (ringback.EventID{}) {
		n.loadEarlierEvents(l, &j) // it waits for its next attempt
	}
	return live.AwaitBegin, true, nil
}

// sayEnd writes what the store has of a job that has ended, and its end.
func (n *Node) sayEnd(ctx context.Context, l *live.Log, project string, j *store.Job) error {
	var last ringback.EventID
	switch {
	case l.Completed(): // an attempt of this process has written it: it is there already
		g := n.memory.Reads.Grant()
		g.Force(l.Size())
		l.OnForget(g.Release)
		last = l.Last()
	case j.Options.Stream:
		var err error
		if last, err = n.loadEvents(ctx, l, j); err != nil {
			return err
		}
	}
	o, err := n.Look(ctx, project, j.ID.String(), false)
	if err != nil {
		return fmt.Errorf("read the end of job %s: %w", j.ID, err)
	}
	o.Response, o.Webhook, o.StreamURL = nil, nil, "" // a token must not renew itself
	end := ringback.StreamEvent{Type: ringback.EventOf(j.Status), EventID: endID(j, last), Timestamp: ringback.Time{Time: j.EndedAt}, Job: &o.Job}
	if o.IsLong() {
		l.EndLong(end)
	} else {
		l.End(end)
	}
	return nil
}

// loggedEvents is what the entries of a log take at most, whose text is gathered when they
// are many.
const loggedEvents = 4 << 20

// loadEvents writes what the last settle has stored of a job's log. Those who read it
// share it; it counts as memory for reads until they have left.
func (n *Node) loadEvents(ctx context.Context, l *live.Log, j *store.Job) (last ringback.EventID, err error) {
	g := n.memory.Reads.Grant()
	if last, err = n.storedEvents(ctx, l, j, g.OrFail(refusal.Read())); err != nil {
		g.Release()
		return last, err
	}
	g.Shrink(l.Size())
	l.OnForget(g.Release)
	return last, nil
}

// storedEvents writes what the last settle has stored of a job's log, piece by piece, and
// returns the last event of it.
func (n *Node) storedEvents(ctx context.Context, l *live.Log, j *store.Job, take func(bytes int64) error) (last ringback.EventID, err error) {
	c, err := n.store.Content(ctx, j.ID, store.PartEvents|store.LeaveLarge)
	if err != nil {
		return last, err
	}
	b := store.Blob{Bytes: c.Events}
	if packed := c.Left[store.PartEvents]; packed > 0 {
		if err := take(2*packed + store.Unpacking + loggedEvents); err != nil {
			return last, err
		}
		if b, err = n.store.Blob(ctx, j.ID, store.PartEvents); err != nil {
			return last, err
		}
		if err := take(b.Size()); err != nil {
			return last, err
		}
	}
	in, err := b.Reader()
	if err != nil {
		return last, err
	}
	defer in.Close()
	return l.Load(in)
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
