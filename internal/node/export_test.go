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

// Careful is a Decide as the node gives it to the store.
func (n *Node) Careful(d store.Decide) store.Decide { return n.supervisor.Careful(d) }

// Remembered is how many attempts the node still knows: none when all are settled.
func (n *Node) Remembered() int { return n.jobs.Inflight().Remembered() }

// Job gives a whole job, as OpenJob does.
func (n *Node) Job(ctx context.Context, project, id string, includeRequest bool) (ringback.Job, error) {
	return whole(n.OpenJob(ctx, project, id, includeRequest))
}

// Wait gives a whole job, as WaitJob does.
func (n *Node) Wait(ctx context.Context, project, id string, d time.Duration, includeRequest bool) (ringback.Job, error) {
	return whole(n.WaitJob(ctx, project, id, d, includeRequest))
}

// whole is a job with what is long of it.
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

// MemoryUsed is how much of all budgets is taken, in bytes.
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

// TellRefusals tells what is over at a time.
func (n *Node) RecordRefusals(now time.Time) { n.refuser.Record(now) }

// Queued is how many deliveries are claimed ahead.
func (n *Node) Queued() int { return n.deliveries.Queued() }

// ForgetHowLongTriesTook lets all hosts count as quick, until their next tries end.
func (n *Node) ForgetHowLongTriesTook() { n.deliveries.ForgetPace() }

// Alive is how many nodes the last renewal showed.
func (n *Node) Alive() int { return n.members.Session().Alive() }

// Now is the time on the one clock.
func (n *Node) Now() time.Time { return n.clock.Now() }

// Leased tells whether the node may claim anything.
func (n *Node) Leased() bool { return n.members.Session().Leased() }

// Watched is how many jobs somebody waits for.
func (n *Node) Watched() int { return len(n.hub.Watched()) }

// AwaitsBegin is how many jobs are read of which nothing is to be had before they begin.
func (n *Node) AwaitsBegin() int { return len(n.hub.Awaiting(live.AwaitBegin)) }

// Pushed is how often something was pushed, by kind and outcome.
func (n *Node) Pushed(kind, outcome string) int {
	var m dto.Metric
	if err := n.metrics.Pushes.Of(kind, outcome).Write(&m); err != nil {
		return -1
	}
	return int(m.GetCounter().GetValue())
}

// Streams is how many streams are being pushed.
func (n *Node) Streams() int { return n.pusher.Count() }

// Lingering is how many streams wait for a further attempt.
func (n *Node) Lingering() int { return n.pusher.Lingering() }
