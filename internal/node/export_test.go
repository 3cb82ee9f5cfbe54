package node

import (
	"bytes"
	"context"
	"encoding/json"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/live"
	"github.com/ringback/ringback/internal/longjson"
	"github.com/ringback/ringback/internal/reading"
	"github.com/ringback/ringback/internal/store"
)

// Careful returns a Decide as the node passes it to the store.
func (n *Node) Careful(d store.Decide) store.Decide { return n.supervisor.Careful(d) }

// Remembered returns how many attempts the node still knows: none when all are settled.
func (n *Node) Remembered() int { return n.jobs.Inflight().Remembered() }

// Job returns a whole job, from OpenJob.
func (n *Node) Job(ctx context.Context, project, id string, includeRequest bool) (ringback.Job, error) {
	return whole(n.OpenJob(ctx, project, id, includeRequest))
}

// Wait returns a whole job, from WaitJob.
func (n *Node) Wait(ctx context.Context, project, id string, d time.Duration, includeRequest bool) (ringback.Job, error) {
	return whole(n.WaitJob(ctx, project, id, d, includeRequest))
}

// whole returns a job including its long parts.
func whole(o *reading.Opened, err error) (j ringback.Job, _ error) {
	if err != nil {
		return j, err
	}
	defer o.Close()
	short, err := json.Marshal(o.Job)
	if err != nil {
		return j, err
	}
	var b bytes.Buffer
	if err := longjson.Object(short, o.Long()).Write(&b); err != nil {
		return j, err
	}
	return j, json.Unmarshal(b.Bytes(), &j)
}

// MemoryUsed returns how many bytes of all pools are taken.
func (n *Node) MemoryUsed() int64 {
	all := int64(0)
	for _, b := range n.memory.ByName() {
		all += b.Used()
	}
	return all
}

// FillAnswers takes all memory for answers, so that no job starts.
func (n *Node) FillAnswers() (release func()) {
	g := n.memory.Answers.Grant()
	g.Force(n.memory.Answers.Size())
	return func() { g.Release(); n.jobs.Wake() }
}

// RecordRefusals logs the refusals that are over by now.
func (n *Node) RecordRefusals(now time.Time) { n.refuser.Record(now) }

// Queued returns how many deliveries are claimed ahead.
func (n *Node) Queued() int { return n.deliveries.Queued() }

// ForgetHowLongTriesTook lets all hosts count as quick, until their next tries end.
func (n *Node) ForgetHowLongTriesTook() { n.deliveries.ForgetPace() }

// Alive returns how many nodes the last renewal found.
func (n *Node) Alive() int { return n.members.Session().Alive() }

// Now returns the time of the shared clock.
func (n *Node) Now() time.Time { return n.clock.Now() }

// Leased reports whether the node may claim anything.
func (n *Node) Leased() bool { return n.members.Session().Leased() }

// Watched returns how many jobs have somebody waiting for them.
func (n *Node) Watched() int { return len(n.hub.Watched()) }

// AwaitsBegin returns how many jobs have readers that wait for them to begin.
func (n *Node) AwaitsBegin() int { return len(n.hub.Awaiting(live.AwaitBegin)) }

// Pushed returns how often something was pushed, by kind and outcome.
func (n *Node) Pushed(kind, outcome string) int {
	var m dto.Metric
	if err := n.metrics.Pushes.Of(kind, outcome).Write(&m); err != nil {
		return -1
	}
	return int(m.GetCounter().GetValue())
}

// Streams returns how many streams are being pushed.
func (n *Node) Streams() int { return n.pusher.Count() }

// Lingering returns how many streams wait for a further attempt.
func (n *Node) Lingering() int { return n.pusher.Lingering() }
