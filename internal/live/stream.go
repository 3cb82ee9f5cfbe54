package live

import (
	"context"
	"errors"
	"io"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/refusal"
	"github.com/ringback/ringback/internal/store"
)

// Stream has the events of a job for one reader.
type Stream struct {
	watching *Watching
	project  string
	job      uuid.UUID
	cancels  bool // the job is cancelled when its last reader leaves

	log   *Log
	leave func() (left int)
	local bool
	first []ringback.StreamEvent // job.queued, which is in no log; nil once it was read
	after ringback.EventID
	ended bool
	over  bool // the job had ended when the stream was opened
}

// Stream opens the events of a job after the given one. A job that has ended has the same
// events as before. The stream must be closed. Errors: not found; gone, if the job's
// content is deleted.
//
// A local stream is for other nodes: it has what an attempt of this process writes, and
// ends with the attempt; not found, if there is no such attempt.
func (w *Watching) Stream(ctx context.Context, project, id string, after ringback.EventID, local bool) (*Stream, error) {
	job, err := refusal.JobID(id)
	if err != nil {
		return nil, err
	}
	j, _, err := w.cfg.Store.Job(ctx, project, job, 0)
	if errors.Is(err, store.ErrGone) {
		return nil, refusal.Gone(id, j, w.cfg.RowsKept)
	}
	if err != nil {
		return nil, refusal.OfJob(id, err)
	}
	s := &Stream{
		watching: w, project: project, job: job, local: local, after: after,
		cancels: j.Options.OnDisconnect == ringback.DisconnectCancel, over: j.Status.Terminal(),
	}
	if local {
		if s.log, s.leave = w.hub.OpenLocal(job); s.log == nil {
			return nil, refusal.NoJob(id)
		}
		return s, nil
	}
	s.log, s.leave = w.Open(project, job)
	if queued := queuedEvent(&j); queued.Compare(after) > 0 {
		s.first = []ringback.StreamEvent{queued}
	}
	return s, nil
}

// queuedEvent returns the first event of a job, which is in no log.
func queuedEvent(j *store.Job) ringback.StreamEvent {
	return ringback.StreamEvent{
		Type: ringback.EventQueued, JobID: j.ID.String(), EventID: ringback.EventID{Number: 1}, Timestamp: ringback.Time{Time: j.CreatedAt},
	}
}

// Ready returns the events after the last one that the reader has, a few hundred at most;
// none, if there are none yet. After the event that ends the job it returns io.EOF.
func (s *Stream) Ready() ([]ringback.StreamEvent, error) {
	if s.first != nil {
		return s.first, nil
	}
	events, err := s.ReadyBehind(s.after)
	s.ended = s.ended || errors.Is(err, io.EOF)
	return events, err
}

// ReadyBehind is Ready for a reader whose last event has the given id.
func (s *Stream) ReadyBehind(after ringback.EventID) ([]ringback.StreamEvent, error) {
	return s.log.Ready(after, s.local)
}

// Wait waits until Ready returns something.
func (s *Stream) Wait(ctx context.Context) error {
	if s.first != nil {
		return nil
	}
	err := s.log.Wait(ctx, s.after, s.local)
	s.ended = s.ended || errors.Is(err, io.EOF)
	return err
}

// Advance records that the reader has an event.
func (s *Stream) Advance(e *ringback.StreamEvent) {
	s.first, s.after, s.ended = nil, e.EventID, e.Job != nil
}

// After returns the id of the last event that the reader has.
func (s *Stream) After() ringback.EventID { return s.after }

// Await has w woken once, as soon as ReadyBehind returns something, or before that.
func (s *Stream) Await(after ringback.EventID, w *Waiter) { s.log.Await(after, s.local, w) }

// Forget cancels an Await, of any open stream of the job. The waiter may already have been
// woken.
func (s *Stream) Forget(w *Waiter) { s.log.Forget(w) }

// IsLong reports whether an event ends a job whose answer is too long to be in the event:
// the job has to be opened for it.
func (s *Stream) IsLong(e *ringback.StreamEvent) bool { return e.Job != nil && s.log.Long() }

// Project returns the project of the job.
func (s *Stream) Project() string { return s.project }

// Job returns the id of the job.
func (s *Stream) Job() uuid.UUID { return s.job }

// Over reports whether the job had ended when the stream was opened: then Wait waits for
// nothing but the store.
func (s *Stream) Over() bool { return s.over }

// Close must be called once. A reader that closes its stream before the end has left: see
// [ringback.DisconnectCancel].
func (s *Stream) Close() {
	if left := s.leave(); left == 0 && s.cancels && !s.ended {
		s.watching.Abandoned(s.project, s.job)
	}
}

// HasReaders reports whether a job has readers here, or callers that wait for it.
func (w *Watching) HasReaders(id string) bool {
	job, err := refusal.JobID(id)
	return err == nil && w.hub.Readers(job) > 0
}
