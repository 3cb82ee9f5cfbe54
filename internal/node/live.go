package node

import (
	"context"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/live"
	"github.com/ringback/ringback/internal/store"
)

// Stream has the events of a job for one reader.
type Stream = live.Stream

// RelayHeader marks a reader that is a node: it wants the events that this node writes
// itself.
const RelayHeader = live.RelayHeader

// initLive makes the parts of the node that let others watch jobs.
func (n *Node) initLive() {
	n.watching = live.New(live.Config{
		Hub: &n.hub, Tokens: n.tokens, Store: n.store, Clock: n.clock, Supervisor: n.supervisor, Logger: n.log,
		Session: func() live.Session { return n.members.Session() },
		Reads:   n.memory.Reads, RowsKept: n.cfg.Retention.Rows, Calls: n.calls, Group: n.group,
		Ended: func(ctx context.Context, project string, job uuid.UUID) (ringback.Job, bool, error) {
			return n.LookAtEnd(ctx, project, job)
		},
		Cancel: func(ctx context.Context, project string, job uuid.UUID) error {
			_, err := n.Cancel(ctx, project, job.String())
			return err
		},
	})
	n.pusher = live.NewPusher(live.PusherConfig{
		Watching: n.watching, Sender: n.cfg.Sender, Secrets: n.cfg.Secrets, Clock: n.clock, Supervisor: n.supervisor, Logger: n.log,
		Metrics: n.metrics.Pushes, Memory: n.memory.Webhooks, Calls: n.calls, Group: n.group,
		OnHold: n.deliveries.OnHold, InFlight: n.jobs.Inflight().Has,
		OpenEnd: func(ctx context.Context, project string, job uuid.UUID) (live.LongText, error) {
			o, err := n.OpenEnd(ctx, project, job)
			if err != nil {
				return nil, err
			}
			return o, nil
		},
	})
}

// Stream opens the events of a job after the given one. The stream must be closed. Errors:
// not found; gone, if the job's content is deleted.
//
// A local stream is for other nodes: it has what an attempt of this process writes, and
// ends with the attempt; not found, if there is no such attempt.
func (n *Node) Stream(ctx context.Context, project, id string, after ringback.EventID, local bool) (*Stream, error) {
	return n.watching.Stream(ctx, project, id, after, local)
}

// HasReaders reports whether a job has readers here, or callers that wait for it.
func (n *Node) HasReaders(id string) bool { return n.watching.HasReaders(id) }

// StreamURL returns the URL at which a job can be watched for one hour, without an API key.
// While the store can't be read it may lack its token: then it takes a key.
func (n *Node) StreamURL(ctx context.Context, job string) string {
	n.supervisor.LogLoopError(ctx, "read the store's key", n.tokens.Learn(ctx))
	return n.tokens.StreamURL(job)
}

// Opens reports whether a token opens the streams of a job now.
func (n *Node) Opens(job, token string) bool { return n.tokens.Opens(job, token) }

// onSignal wakes the loops that a signal of another node concerns. A signal may come late,
// twice or never: each loop also looks from time to time.
func (n *Node) onSignal(s store.Signal) {
	for signal, wake := range map[store.Signal]func(){
		store.SignalJobs:       n.jobs.Wake,
		store.SignalDeliveries: n.deliveries.Wake,
		store.SignalEnded:      n.watching.WakeEnds,
		store.SignalCancel:     n.reconciler.Wake,
		store.SignalHolds:      n.holds.Wake,
		store.SignalNodes:      n.members.Wake,
	} {
		if s&signal != 0 {
			wake()
		}
	}
}
