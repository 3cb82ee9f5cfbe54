package live

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/backoff"
	"github.com/ringback/ringback/internal/memory"
	"github.com/ringback/ringback/internal/refusal"
	"github.com/ringback/ringback/internal/store"
)

const (
	// tailMin and tailMax bound the pause between two looks at a job whose node can't be
	// asked, or at a store that can't be read.
	tailMin = 25 * time.Millisecond
	tailMax = time.Second
	// lostEvents is added to the number of the event that ends a job if the events of the
	// job's last attempt are lost: it must come after them.
	lostEvents = 1_000_000
)

// tail fills the log of a job that no attempt of this process writes: with what the store
// has, and what the node that runs the job relays.
func (w *Watching) tail(ctx context.Context, l *Log, project string, job uuid.UUID) Await {
	for pause := tailMin; ; pause = min(2*pause, tailMax) {
		moved, leave := w.hub.Watch(job)
		var awaits Await
		rests := false
		err := w.cfg.Supervisor.Guarded("tail a job", func() (err error) {
			awaits, rests, err = w.tailOnce(ctx, l, project, job)
			return err
		}, "job_id", job)
		if rests || ctx.Err() != nil {
			leave()
			return awaits
		}
		w.cfg.Supervisor.LogLoopError(ctx, "tail a job", err)
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

// tailOnce writes what is known of a job now. rests reports that there is nothing more to
// write before the job moves; awaits is that move.
func (w *Watching) tailOnce(ctx context.Context, l *Log, project string, job uuid.UUID) (awaits Await, rests bool, err error) {
	j, _, err := w.cfg.Store.Job(ctx, project, job, 0)
	switch {
	case errors.Is(err, store.ErrGone):
		l.Fail(refusal.Gone(job.String(), j, w.cfg.RowsKept))
		return AwaitNothing, true, nil
	case errors.Is(err, store.ErrNotFound):
		l.Fail(refusal.NoJob(job.String()))
		return AwaitNothing, true, nil
	case err != nil:
		return 0, false, err
	case j.Status.Terminal():
		err := w.writeEnd(ctx, l, project, &j)
		if refused := new(ringback.Error); errors.As(err, &refused) { // or its content was deleted meanwhile
			l.Fail(refused)
			return AwaitNothing, true, nil
		}
		return AwaitNothing, err == nil, err
	case j.Status == ringback.Running && j.Node != w.cfg.Session().ID() && j.Options.Stream:
		w.relay(ctx, l, &j)
		return 0, false, nil
	case j.Status == ringback.Running:
		return AwaitEnd, true, nil
	}
	if j.Fence > 0 && j.Options.Stream && l.Last() == (ringback.EventID{}) {
		l.OnForget(w.loadEarlierEvents(l, &j).Release) // it waits for its next attempt
	}
	return AwaitBegin, true, nil
}

// writeEnd writes what the store has of a job that has ended, and its end.
func (w *Watching) writeEnd(ctx context.Context, l *Log, project string, j *store.Job) error {
	var last ringback.EventID
	held := w.cfg.Reads.Grant()
	switch {
	case l.Completed(): // the events are here: an attempt of this process has written them
		held.Force(l.Size())
		last = l.Last()
	case j.Options.Stream:
		var err error
		if held, last, err = w.loadEvents(ctx, l, j); err != nil {
			return err
		}
	}
	job, long, err := w.cfg.Ended(ctx, project, j.ID)
	if err != nil {
		held.Release() // the next look charges the log again
		return fmt.Errorf("read the end of job %s: %w", j.ID, err)
	}
	l.OnForget(held.Release)
	end := ringback.StreamEvent{Type: ringback.EventOf(j.Status), EventID: endID(j, last), Timestamp: ringback.Time{Time: j.EndedAt}, Job: &job}
	if long {
		l.EndLong(end)
	} else {
		l.End(end)
	}
	return nil
}

// loggedEvents bounds the memory of a log's entries, whose text is gathered if there are
// many of them.
const loggedEvents = 4 << 20

// loadEvents loads the events that the last settle of a job has stored. The readers of the
// log share them; they count as memory for reads until held is released, which must be when
// all readers have left.
func (w *Watching) loadEvents(ctx context.Context, l *Log, j *store.Job) (held *memory.Grant, last ringback.EventID, err error) {
	held = w.cfg.Reads.Grant()
	if last, err = w.storedEvents(ctx, l, j, held.OrFail(refusal.Read())); err != nil {
		held.Release()
		return held, last, err
	}
	held.Shrink(l.Size())
	return held, last, nil
}

// storedEvents loads the events that the last settle of a job has stored, piece by piece,
// and returns the id of the last one.
func (w *Watching) storedEvents(ctx context.Context, l *Log, j *store.Job, take func(bytes int64) error) (last ringback.EventID, err error) {
	c, err := w.cfg.Store.Content(ctx, j.ID, store.PartEvents|store.LeaveLarge)
	if err != nil {
		return last, err
	}
	b := store.Blob{Bytes: c.Events}
	if packed := c.Left[store.PartEvents]; packed > 0 {
		if err := take(2*packed + store.Unpacking + loggedEvents); err != nil {
			return last, err
		}
		if b, err = w.cfg.Store.Blob(ctx, j.ID, store.PartEvents); err != nil {
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

// endID returns the id of the event that ends a job; last is the id of the last event that
// is stored. All nodes come to the same id.
func endID(j *store.Job, last ringback.EventID) ringback.EventID {
	id := ringback.EventID{Attempt: j.Fence, Number: max(last.Number, 1) + 1}
	if j.Options.Stream && last.Attempt != j.Fence {
		id.Number += lostEvents
	}
	return id
}
