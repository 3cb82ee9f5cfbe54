package node

import (
	"context"
	"encoding/json"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/limit"
	"github.com/ringback/ringback/internal/outcome"
	"github.com/ringback/ringback/internal/store"
)

const (
	// storedFrom is how long a hold must last to be worth storing for the next start,
	// and sharedFrom for other nodes.
	storedFrom = 5 * time.Second
	sharedFrom = time.Second
	// holdsEvery is the time between two looks at holds that nobody asked for.
	holdsEvery = time.Second
	// holdDrift is by how much the hold that stands may be longer than the stored one.
	holdDrift = time.Second
	// hastenBatch is how many jobs one transaction hastens.
	hastenBatch = 200
	// holdsAtOnce is how many holds one look stores.
	holdsAtOnce = 50
)

// Hold is a provider's key, or a model of it, that is not called; or a receiver's host.
type Hold struct {
	Provider string `json:"provider,omitempty"`
	// Host is that of a receiver: scheme, name and port.
	Host string `json:"host,omitempty"`
	// Model is "" where the key is held, and with it all models.
	Model  string `json:"model,omitempty"`
	Reason string `json:"reason"`
	// Until is when a probe finds out whether it is over.
	Until time.Time `json:"until"`
	// JobOnly: the key is in doubt, since all calls since the last answer were refused.
	// Until different jobs were, only the refused ones wait.
	JobOnly bool `json:"job_only,omitempty"`
	// HeldBy is the call that was refused or failed, for those who may see jobs.
	HeldBy *ringback.HeldBy `json:"held_by,omitempty"`
}

// Holds are the holds that stand against providers now.
func (n *Node) Holds() []Hold {
	holds := []Hold{}
	for _, h := range n.jobs.holds() {
		shown := Hold{Provider: h.Provider, Model: h.Model, Reason: h.Reason, Until: n.clock.Shared(h.Until).UTC().Truncate(time.Millisecond)}
		if c, known := unpackCause(h.Cause); known {
			shown.HeldBy = c.show(c.Project)
		}
		holds = append(holds, shown)
	}
	for _, d := range n.jobs.doubted() {
		holds = append(holds, Hold{
			Provider: d.provider, Reason: reasonKey, Until: n.clock.Shared(d.until).UTC().Truncate(time.Millisecond),
			JobOnly: true, HeldBy: d.cause.show(d.cause.Project),
		})
	}
	return holds
}

// shownHosts is how many held hosts are shown.
const shownHosts = 100

// HostHolds are the holds of receivers' hosts that this node knows of.
func (n *Node) HostHolds() []Hold {
	holds := []Hold{}
	for _, h := range n.deliveries.heldHosts(shownHosts) {
		holds = append(holds, Hold{Host: h.host.Host, Reason: h.reason, Until: n.clock.Shared(h.until).UTC().Truncate(time.Millisecond)})
	}
	return holds
}

// restoreHolds begins again the holds that a former process knew of. A provider
// that asked us to stay away is not called before its time. A key is another
// matter: a restart is what an operator does who has mended something, so a new
// key is free, and the old one is probed at once.
func (n *Node) restoreHolds(ctx context.Context) error {
	stored, err := n.store.Holds(ctx)
	if err != nil {
		return err
	}
	for _, h := range stored {
		if n.keyOf(h.Target) != h.Key {
			n.log.Info("hold not taken over: the provider has another key, or is gone", "provider", h.Provider)
			if !n.members.Session().HasPeers() {
				n.storedHolds[h.Target] = h // keepHolds forgets it
			}
			continue
		}
		n.storedHolds[h.Target] = h
		if h.Key != "" {
			h.Until = n.clock.Now()
		}
		n.takeHold(h)
	}
	return nil
}

// hasten lets jobs that a key refused come again at once: whoever restarts has mended
// something.
func (n *Node) hasten(ctx context.Context) error {
	for {
		now := n.clock.Stamped()
		jobs, err := n.store.Hasten(ctx, now, hastenBatch, func(store.Job) store.Outcome {
			return outcome.Hasten(now)
		})
		if err != nil || len(jobs) < hastenBatch {
			return err
		}
	}
}

// takeHold begins a hold that the store has, or lengthens the one that stands.
func (n *Node) takeHold(h store.Hold) {
	until := h.Until
	h.Until = n.clock.Local(until)
	if n.jobs.hold(h) {
		n.log.Info("hold taken over", "provider", h.Provider, "model", h.Model, "reason", h.Reason, "until", until)
	}
}

// syncHolds keeps the holds here and those in the store alike: every second, and
// where other nodes may live as soon as one has changed here or there.
func (n *Node) syncHolds(ctx context.Context) error {
	tick := time.NewTicker(holdsEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-n.wakeHolds:
		}
		from := storedFrom
		if n.members.Session().HasPeers() {
			from = sharedFrom
			n.keepHouse(ctx, "read holds", func() error { return n.learnHolds(ctx) })
		}
		n.keepHouse(ctx, "store holds", func() error { return n.keepHolds(ctx, from) })
	}
}

// foreignHoldFor is how long a hold that concerns no provider or key of this node is
// left to those whom it concerns, after it is over.
const foreignHoldFor = time.Hour

// learnHolds takes over what other nodes have stored: holds that are new or longer,
// and that others are over, since a probe went well there.
func (n *Node) learnHolds(ctx context.Context) error {
	stored, err := n.store.Holds(ctx)
	if err != nil {
		return err
	}
	there := map[store.Target]bool{}
	for _, h := range stored {
		if n.keyOf(h.Target) != h.Key || !n.jobs.knows(h.Provider) {
			if n.clock.Now().Sub(h.Until) > foreignHoldFor {
				if err := n.store.DropHold(ctx, h.Target); err != nil {
					return err
				}
			}
			continue
		}
		there[h.Target] = true
		if old, known := n.storedHolds[h.Target]; !known || !old.Until.Equal(h.Until) {
			n.storedHolds[h.Target] = h
			n.takeHold(h)
		}
	}
	for t, old := range n.storedHolds {
		if there[t] {
			continue
		}
		delete(n.storedHolds, t)
		if n.jobs.free(t, n.clock.Local(old.Until.Add(holdDrift))) {
			n.log.Info("hold is over: another node has found out", "provider", t.Provider, "model", t.Model)
			wake(n.wakeJobs)
		}
	}
	return nil
}

// keyOf is what the store knows a target's key by; "" of a model.
func (n *Node) keyOf(t store.Target) string {
	p, ok := n.cfg.Providers[t.Provider]
	if t.Model != "" || !ok {
		return ""
	}
	return p.Client.KeyHash()
}

// keepHolds stores what holds have begun or changed, as far as they last so long,
// and forgets those that are over.
func (n *Node) keepHolds(ctx context.Context, from time.Duration) error {
	now := n.clock.Now()
	standing, changes := map[store.Target]bool{}, 0
	for _, h := range n.jobs.holds() {
		standing[h.Target] = true
		h.Key, h.Until = n.keyOf(h.Target), n.clock.Shared(h.Until).Truncate(time.Millisecond)
		old, known := n.storedHolds[h.Target]
		if known && old.Key == h.Key && h.Until.Sub(old.Until) < holdDrift {
			continue // no longer than what is stored: nodes must not outdo each other for ever
		}
		if h.Until.Sub(now) < from {
			continue // nearly over; what was stored of it is dropped when it is
		}
		if err := n.store.PutHold(ctx, h); err != nil {
			return err
		}
		n.storedHolds[h.Target] = h
		if changes++; changes == holdsAtOnce {
			return nil // the rest at the next look
		}
	}
	for t := range n.storedHolds {
		if standing[t] {
			continue
		}
		if err := n.store.DropHold(ctx, t); err != nil {
			return err
		}
		delete(n.storedHolds, t)
	}
	return nil
}

// holds are those that stand against keys and models, in local time.
func (s *callScheduler) holds() []store.Hold {
	s.mu.Lock()
	defer s.mu.Unlock()
	var holds []store.Hold
	note := func(t store.Target, g *limit.Gate) {
		if until, reason, held := g.Held(); held {
			holds = append(holds, store.Hold{Target: t, Until: until, Reason: reason, Cause: packCause(g.Cause())})
		}
	}
	for provider, g := range s.keys {
		note(store.Target{Provider: provider}, g)
	}
	for t, g := range s.gates {
		note(store.Target{Provider: t.provider, Model: t.model}, g)
	}
	return holds
}

// packCause is what the store keeps of a gate's cause; "" where there is none.
func packCause(c any) string {
	known, ok := c.(cause)
	if !ok {
		return ""
	}
	packed, err := json.Marshal(known)
	if err != nil {
		return ""
	}
	return string(packed)
}

// unpackCause reads what packCause wrote; an older version stored none.
func unpackCause(packed string) (c cause, known bool) {
	return c, packed != "" && json.Unmarshal([]byte(packed), &c) == nil
}

// knows tells whether a provider is set up.
func (s *callScheduler) knows(provider string) bool { return s.keys[provider] != nil }

// free ends the hold of a target, unless it lasts longer than the one that is over.
func (s *callScheduler) free(t store.Target, until time.Time) bool {
	g := s.gateOf(target{t.Provider, t.Model})
	if t.Model == "" {
		g = s.gateOf(target{t.Provider, anyModel})
	}
	if g == nil {
		return false
	}
	stands, _, held := g.Held()
	if !held || stands.After(until) {
		return false
	}
	g.Free()
	if t.Model == "" {
		s.answeredElsewhere(t.Provider)
	}
	return true
}

// hold begins a hold of another process, or lengthens the one that stands; false if
// that is longer, or its provider is gone.
func (s *callScheduler) hold(h store.Hold) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.keys[h.Provider]
	if g == nil {
		return false
	}
	if h.Model != "" {
		g = s.modelGate(store.Lane{Provider: h.Provider, Model: h.Model})
	}
	verdict := limit.Refused
	if h.Reason == reasonFailing {
		verdict = limit.Failed
	}
	before, _, _ := g.Held()
	r := limit.Report{Verdict: verdict, Until: h.Until, Reason: h.Reason}
	if c, known := unpackCause(h.Cause); known {
		r.Cause = c
	}
	g.Resume(r)
	after, _, _ := g.Held()
	return after.After(before)
}
