package node

import (
	"context"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/live"
	"github.com/ringback/ringback/internal/store"
)

// loadEarlierFor bounds how long an attempt waits for what earlier ones have left.
const loadEarlierFor = 5 * time.Second

// logWriter is the log of a streamed job in the hands of the attempt that writes it. Nil
// is that of a job that is not streamed.
type logWriter struct {
	log     *live.Log
	attempt int64
	done    func()
	private bool // nobody reads it but this attempt's webhooks, and nobody keeps it
	mute    bool // it has no pieces of the answer
}

// openLog opens the log for an attempt, and says there that it has begun. What earlier
// attempts have left in the store comes first.
func (n *Node) openLog(j *store.Job) *logWriter {
	if !j.Options.Stream {
		return privateLogWriter(j)
	}
	log, done := n.hub.OpenWriter(j.ID)
	f := &logWriter{log: log, attempt: j.Fence, done: done}
	if j.Fence > 1 {
		n.loadEarlierEvents(log, j)
		f.retries(j.Fence, n.clock.Stamped())
	}
	log.Add(j.Fence, ringback.StreamEvent{Type: ringback.EventStarted, Timestamp: ringback.Time{Time: j.StartedAt}, Model: j.Model})
	return f
}

// privateLogWriter is that of a job that is not streamed, but whose caller wants webhooks
// while it runs; nil if none.
func privateLogWriter(j *store.Job) *logWriter {
	progress := j.Options.Wants(ringback.EventProgress)
	if !progress && !j.Options.Wants(ringback.EventStarted) {
		return nil
	}
	f := &logWriter{log: live.NewLog(j.ID.String()), attempt: j.Fence, done: func() {}, private: true, mute: !progress}
	f.log.Add(j.Fence, ringback.StreamEvent{Type: ringback.EventStarted})
	return f
}

// loadEarlierEvents loads what the store has of a job's log. Where it can't be read the
// log goes on without: it is of attempts that are void.
func (n *Node) loadEarlierEvents(log *live.Log, j *store.Job) {
	ctx, cancel := context.WithTimeout(n.calls, loadEarlierFor)
	defer cancel()
	if _, err := n.storedEvents(ctx, log, j, func(int64) error { return nil }); err != nil {
		n.log.Warn("events of earlier attempts can't be read", "job_id", j.ID, "err", err)
	}
}

// delta is what Generate calls for each piece of the answer; nil where nobody wants
// it.
func (f *logWriter) delta() func(ringback.Delta) {
	if f == nil || f.mute {
		return nil
	}
	return func(d ringback.Delta) { f.log.Delta(f.attempt, d) }
}

// packed is the log so far, as it is stored.
func (f *logWriter) packed() store.Blob {
	if f == nil || f.private {
		return store.Blob{}
	}
	return store.Pack(f.log.Encode())
}

// settled says that there will be another attempt, if there will be one. An end is
// said by those who follow the job: they find it in the store.
func (f *logWriter) settled(after *store.Job, at time.Time) {
	switch {
	case f == nil:
	case after.Status == ringback.Queued:
		f.retries(after.Fence+1, at)
	default:
		f.log.Complete()
	}
}

// retries says that what came under earlier attempts is void, once for each attempt.
func (f *logWriter) retries(attempt int64, at time.Time) {
	if f.log.Last().Attempt < attempt {
		at = at.UTC().Truncate(time.Millisecond)
		f.log.Add(attempt, ringback.StreamEvent{Type: ringback.EventRetrying, Timestamp: ringback.Time{Time: at}})
	}
}

// end hands the log over to those who follow the job. It may be called twice.
func (f *logWriter) end() {
	if f != nil {
		f.done()
	}
}
