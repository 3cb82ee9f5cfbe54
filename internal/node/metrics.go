package node

import (
	"context"
	"time"

	"github.com/tidwall/gjson"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/limit"
	"github.com/ringback/ringback/internal/metrics"
	"github.com/ringback/ringback/internal/store"
)

// countAttempt counts an attempt that began as j says.
func countAttempt(m *metrics.Dispatch, j *store.Job, model string, a *ringback.Attempt, at time.Time) {
	m.Attempts.WithLabelValues(j.Provider, model, string(a.Outcome)).Inc()
	if a.Outcome != ringback.AttemptUncertain { // of which nobody knows when it ended
		m.Attempt.WithLabelValues(j.Provider, model).Observe(at.Sub(j.StartedAt).Seconds())
	}
	if !a.FirstTokenAt.IsZero() {
		m.FirstToken.WithLabelValues(j.Provider, model).Observe(max(0, a.FirstTokenAt.Sub(j.StartedAt).Seconds()))
	}
	for _, kind := range []string{"input", "output"} {
		if n := gjson.GetBytes(a.Usage, kind+"_tokens").Float(); n > 0 {
			m.Tokens.WithLabelValues(j.Provider, model, kind).Add(n)
		}
	}
}

// modelLabel is a job's model as a label, of which there is a bounded number.
func (n *Node) modelLabel(l store.Lane) string { return n.names.name(l.Model) }

// anyModel stands for all models of a provider: its key is held back.
const anyModel = "*"

// readGauges sets the gauges. What can't be read is left out.
func (n *Node) readGauges(ctx context.Context, set metrics.Set) {
	ready := 0.0
	if n.Readiness().Ready {
		ready = 1
	}
	set(metrics.Ready, ready)
	l := n.members.Session()
	set(metrics.LeaseAge, l.Age().Seconds())
	set(metrics.Nodes, float64(l.Alive()))
	set(metrics.Streams, float64(n.pusher.Count()))
	for name, b := range n.memory.ByName() {
		set(metrics.Memory, float64(b.Used()), name)
		set(metrics.MemoryLimit, float64(b.Size()), name)
	}
	set(metrics.Jobs, float64(n.inflight.count()), string(ringback.Running))
	if queued, err := n.store.Queued(ctx); err == nil {
		set(metrics.Jobs, float64(queued), string(ringback.Queued))
	}
	if oldest, err := n.oldest(ctx, n.clock.Now()); err == nil {
		set(metrics.Oldest, oldest.Seconds())
	}
	if p, err := n.store.PendingDeliveries(ctx); err == nil {
		set(metrics.Pending, float64(p.Count))
		set(metrics.PendingAge, age(p.Oldest, n.clock.Now()).Seconds())
	}
	if dead, err := n.store.DeadLetters(ctx); err == nil {
		set(metrics.DeadLetters, float64(dead.Jobs), "job")
		set(metrics.DeadLetters, float64(dead.Deliveries), "delivery")
	}
	for t, count := range n.jobs.heldBack() {
		set(metrics.HeldBack, float64(count), t.provider, t.model)
	}
	for class, count := range n.deliveries.HeldByClass() {
		set(metrics.BreakerOpen, float64(count), class)
	}
}

// age is the time since something was made; 0 for the zero time.
func age(made, now time.Time) time.Duration {
	if made.IsZero() {
		return 0
	}
	return max(0, now.Sub(made))
}

// oldest is for how long the oldest job that is due has been due.
func (n *Node) oldest(ctx context.Context, now time.Time) (time.Duration, error) {
	w, err := n.store.DueJobs(ctx, now)
	if err != nil {
		return 0, err
	}
	first := now
	if w.Suspects.Count > 0 && w.Suspects.Due.Before(first) {
		first = w.Suspects.Due
	}
	for _, l := range w.Lanes {
		if l.Count > 0 && l.Due.Before(first) {
			first = l.Due
		}
	}
	return now.Sub(first), nil
}

// heldBack counts the holds that stand, by provider and by the label of the model.
// Keys, and models that are called, count 0 when they are not. A key counts too while
// every call since the last answer was refused.
func (s *callScheduler) heldBack() map[target]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := map[target]int{}
	for provider, g := range s.keys {
		held[target{provider, anyModel}] = max(isHeld(g), min(1, len(s.records[provider].refused)))
	}
	for t, g := range s.gates {
		held[target{t.provider, s.names.name(t.model)}] += isHeld(g)
	}
	return held
}

func isHeld(g *limit.Gate) int {
	if _, _, held := g.Held(); held {
		return 1
	}
	return 0
}
