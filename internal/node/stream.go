package node

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/backoff"
	"github.com/ringback/ringback/internal/live"
	"github.com/ringback/ringback/internal/reading"
	"github.com/ringback/ringback/internal/refusal"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/supervise"
)

// Stream is the events of a job, for one reader.
type Stream struct {
	node    *Node
	project string
	job     uuid.UUID
	cancels bool // the job is not wanted when nobody watches it

	log   *live.Log
	leave func() (left int)
	local bool
	first []ringback.StreamEvent // job.queued, which stands in no log; nil: it was read
	after ringback.EventID
	ended bool
	over  bool // it had ended when the stream was opened
}

// Stream opens the events of a job behind after, also one that has ended: it gives
// the same ones then. The stream must be closed. Errors: not found; gone, when its
// content is deleted.
//
// Local is for other nodes: it gives what an attempt of this process writes, and
// ends with it; not found, if none does.
func (n *Node) Stream(ctx context.Context, project, id string, after ringback.EventID, local bool) (*Stream, error) {
	job, err := refusal.JobID(id)
	if err != nil {
		return nil, err
	}
	j, _, err := n.store.Job(ctx, project, job, 0)
	if errors.Is(err, store.ErrGone) {
		return nil, refusal.Gone(id, j, n.cfg.Retention.Rows)
	}
	if err != nil {
		return nil, refusal.OfJob(id, err)
	}
	s := &Stream{node: n, project: project, job: job, cancels: j.Options.OnDisconnect == ringback.DisconnectCancel, local: local, after: after, over: j.Status.Terminal()}
	if local {
		if s.log, s.leave = n.hub.OpenLocal(job); s.log == nil {
			return nil, refusal.NoJob(id)
		}
		return s, nil
	}
	s.log, s.leave = n.hub.Open(job, func(ctx context.Context, l *live.Log) live.Await { return n.tailJob(ctx, l, project, job) })
	queued := ringback.StreamEvent{
		Type: ringback.EventQueued, JobID: id, EventID: ringback.EventID{Number: 1}, Timestamp: ringback.Time{Time: j.CreatedAt},
	}
	if queued.Compare(after) > 0 {
		s.first = []ringback.StreamEvent{queued}
	}
	return s, nil
}

// Ready are the events behind the one that the reader has passed, some hundred at most;
// none, if there are none yet. Behind the one that ends the job it gives io.EOF.
func (s *Stream) Ready() ([]ringback.StreamEvent, error) {
	if s.first != nil {
		return s.first, nil
	}
	events, err := s.ReadyBehind(s.after)
	s.ended = s.ended || errors.Is(err, io.EOF)
	return events, err
}

// ReadyBehind is Ready for one who has passed the event with this id.
func (s *Stream) ReadyBehind(after ringback.EventID) ([]ringback.StreamEvent, error) {
	return s.log.Ready(after, s.local)
}

// Wait waits until Ready gives something.
func (s *Stream) Wait(ctx context.Context) error {
	if s.first != nil {
		return nil
	}
	err := s.log.Wait(ctx, s.after, s.local)
	s.ended = s.ended || errors.Is(err, io.EOF)
	return err
}

// Advance goes on behind an event, which the reader has.
func (s *Stream) Advance(e *ringback.StreamEvent) {
	s.first, s.after, s.ended = nil, e.EventID, e.Job != nil
}

// After is the id of the event that the reader has passed.
func (s *Stream) After() ringback.EventID { return s.after }

// A Waiter is woken, in a goroutine of its own, when there is more of a job.
type Waiter = live.Waiter

// Await has w woken once, as soon as ReadyBehind gives something, or before in vain.
func (s *Stream) Await(after ringback.EventID, w *Waiter) { s.log.Await(after, s.local, w) }

// Forget takes back an Await, of any stream of the job that is open. The waiter may be
// on its way.
func (s *Stream) Forget(w *Waiter) { s.log.Forget(w) }

// IsLong reports whether an event ends a job whose answer is long: it is not in the event,
// but in what OpenEnd gives.
func (s *Stream) IsLong(e *ringback.StreamEvent) bool { return e.Job != nil && s.log.Long() }

// OpenEnd opens the job at its end, and waits for memory if need be.
func (s *Stream) OpenEnd(ctx context.Context) (*reading.Opened, error) {
	return s.node.OpenEnd(ctx, s.project, s.job)
}

// Job is the id of the job.
func (s *Stream) Job() uuid.UUID { return s.job }

// Over tells whether the job had ended when the stream was opened: Wait then waits for
// nothing but the store.
func (s *Stream) Over() bool { return s.over }

// Close must be called once. Who closes it before the end has left: see
// ringback.DisconnectCancel.
func (s *Stream) Close() {
	if left := s.leave(); left == 0 && s.cancels && !s.ended {
		s.node.abandoned(s.project, s.job)
	}
}

// goneFor is for how long nobody may watch a job that is cancelled when all have
// left: who resumes has not left.
const goneFor = 5 * time.Second

// HasReaders tells whether anybody watches a job here, or waits for it.
func (n *Node) HasReaders(id string) bool {
	job, err := refusal.JobID(id)
	return err == nil && n.hub.Readers(job) > 0
}

// isSeenElsewhere reports whether other nodes have readers of a job. The node that runs it
// need not ask, since the node of each reader is a reader there. Any other node asks all:
// it may be that a reader left before its node knew that the job had begun, and where.
func (n *Node) isSeenElsewhere(ctx context.Context, project string, job uuid.UUID) (bool, error) {
	j, _, err := n.store.Job(ctx, project, job, 0)
	if err != nil {
		return false, err
	}
	if j.Status == ringback.Running && j.Node == n.ID() {
		return false, nil
	}
	return slices.ContainsFunc(n.members.Session().PeerURLs(), func(url string) bool { return n.isWatchedAt(ctx, url, job) }), nil
}

// abandoned cancels a job if nobody comes back to it in time.
func (n *Node) abandoned(project string, job uuid.UUID) {
	n.admission.RLock()
	defer n.admission.RUnlock()
	if n.draining.Load() { // it is we who leave
		return
	}
	n.group.Go(func() error {
		_ = n.supervisor.Guarded("cancel a job that nobody watches", func() error { n.cancelAbandoned(project, job); return nil }, "job_id", job)
		return nil
	})
}

// cancelAbandoned waits for somebody to come back to a job, and cancels it if nobody
// does. A store that can't be asked now is asked again: its caller wanted it so.
func (n *Node) cancelAbandoned(project string, job uuid.UUID) {
	for pause := goneFor; n.pause(pause); pause = backoff.Jitter(supervise.Idle, backoff.Half) {
		if n.draining.Load() || n.hub.Readers(job) > 0 {
			return
		}
		err := n.cancelUnseen(project, job)
		if supervise.IsTransient(err) || errors.Is(err, context.DeadlineExceeded) {
			continue
		}
		if ended := new(ringback.Error); err != nil && !errors.As(err, &ended) {
			n.log.Warn("job that nobody watches is not cancelled", "job_id", job, "err", err)
		}
		return
	}
}

// unseenFor bounds the question whether other nodes have readers of a job, and its cancel.
const unseenFor = 10 * time.Second

// cancelUnseen cancels a job unless another node has readers of it.
func (n *Node) cancelUnseen(project string, job uuid.UUID) error {
	ctx, cancel := context.WithTimeout(n.calls, unseenFor)
	defer cancel()
	seen, err := n.isSeenElsewhere(ctx, project, job)
	if seen || errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrGone) {
		return nil
	}
	if err != nil {
		return err
	}
	n.log.Info("job is cancelled, since all who watched it have left", "job_id", job)
	_, err = n.Cancel(ctx, project, job.String())
	return err
}

// StreamURL returns the URL at which anyone who has it can watch a job, for one hour. While
// the store can't be read it may lack its token: then it takes an API key.
func (n *Node) StreamURL(ctx context.Context, job string) string {
	n.supervisor.LogLoopError(ctx, "read the store's key", n.tokens.Learn(ctx))
	return n.tokens.StreamURL(job)
}

// Opens reports whether a token opens the streams of a job now.
func (n *Node) Opens(job, token string) bool { return n.tokens.Opens(job, token) }
