package live

import (
	"context"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/memory"
	"github.com/ringback/ringback/internal/protocol"
	"github.com/ringback/ringback/internal/store"
)

// loadEarlierFor bounds how long an attempt waits for the events of earlier attempts.
const loadEarlierFor = 5 * time.Second

// A Writer writes the log of a job for one attempt. A nil Writer is that of a job that has
// no log.
type Writer struct {
	log     *Log
	attempt int64
	done    func()
	private bool // the log has no readers but the attempt's webhooks, and is not kept
	mute    bool // the log has no pieces of the answer
}

// OpenWriter opens the log of a job for an attempt, and writes that the attempt has begun.
// The events that earlier attempts have left in the store come first.
func (w *Watching) OpenWriter(j *store.Job) *Writer {
	if !j.Options.Stream {
		return privateWriter(j)
	}
	log, done := w.hub.OpenWriter(j.ID)
	f := &Writer{log: log, attempt: j.Fence, done: done}
	if j.Fence > 1 {
		held := w.loadEarlierEvents(log, j)
		f.retries(j.Fence, w.cfg.Clock.Stamped())
		defer func() {
			held.Shrink(log.Size()) // much text is gone once the next attempt has begun
			log.OnForget(held.Release)
		}()
	}
	log.Add(j.Fence, ringback.StreamEvent{Type: ringback.EventStarted, Timestamp: ringback.Time{Time: j.StartedAt}, Model: j.Model})
	return f
}

// privateWriter returns the writer for a job that is not streamed, but whose caller wants
// webhooks while it runs; nil if the caller wants none.
func privateWriter(j *store.Job) *Writer {
	progress := j.Options.Wants(ringback.EventProgress)
	if !progress && !j.Options.Wants(ringback.EventStarted) {
		return nil
	}
	f := &Writer{log: NewLog(j.ID.String()), attempt: j.Fence, done: func() {}, private: true, mute: !progress}
	f.log.Add(j.Fence, ringback.StreamEvent{Type: ringback.EventStarted})
	return f
}

// loadEarlierEvents loads the events of a job that the store has. If they can't be read, or
// there is no memory for them, the log goes on without them: those attempts are void.
func (w *Watching) loadEarlierEvents(log *Log, j *store.Job) (held *memory.Grant) {
	ctx, cancel := context.WithTimeout(w.cfg.Calls, loadEarlierFor)
	defer cancel()
	held, _, err := w.loadEvents(ctx, log, j)
	if err != nil {
		w.log.Warn("events of earlier attempts can't be read", "job_id", j.ID, "err", err)
	}
	return held
}

// Delta returns the function to call with each piece of the answer; nil if nothing needs
// them.
func (f *Writer) Delta() func(ringback.Delta) {
	if f == nil || f.mute {
		return nil
	}
	return func(d ringback.Delta) { f.log.Delta(f.attempt, d) }
}

// Frame returns the function to call with what the provider's own stream has around the
// pieces of the answer; nil if nothing needs it.
func (f *Writer) Frame() func(protocol.Piece) {
	if f == nil || f.private {
		return nil
	}
	return func(p protocol.Piece) { f.log.Frame(f.attempt, p) }
}

// Last returns the id of the last event.
func (f *Writer) Last() ringback.EventID { return f.log.Last() }

// Next waits for events after the given one and returns those that are there.
func (f *Writer) Next(ctx context.Context, after ringback.EventID) ([]ringback.StreamEvent, error) {
	return f.log.Next(ctx, after, false)
}

// Events returns the log so far, as it is stored.
func (f *Writer) Events() store.Blob {
	if f == nil || f.private {
		return store.Blob{}
	}
	return store.Pack(f.log.Encode())
}

// Settled writes that there will be another attempt, if that is so. The end of a job is
// written by its tail, which finds it in the store.
func (f *Writer) Settled(after *store.Job, at time.Time) {
	switch {
	case f == nil:
	case after.Status == ringback.Queued:
		f.retries(after.Fence+1, at)
	default:
		f.log.Complete()
	}
}

// retries writes that the events of earlier attempts are void, once for each attempt.
func (f *Writer) retries(attempt int64, at time.Time) {
	if f.log.Last().Attempt < attempt {
		at = at.UTC().Truncate(time.Millisecond)
		f.log.Add(attempt, ringback.StreamEvent{Type: ringback.EventRetrying, Timestamp: ringback.Time{Time: at}})
	}
}

// End ends the writing: from now on the job's tail fills the log. It may be called twice.
func (f *Writer) End() {
	if f != nil {
		f.done()
	}
}
