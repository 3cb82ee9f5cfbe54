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

// hastenBatch is how many jobs one transaction hastens.
const hastenBatch = 200

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

// Holds lists the holds on providers that are in effect.
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

// HostHolds lists the holds on receivers' hosts that this node knows of.
func (n *Node) HostHolds() []Hold {
	holds := []Hold{}
	for _, h := range n.deliveries.Holds(shownHosts) {
		holds = append(holds, Hold{Host: h.Host.Host, Reason: h.Reason, Until: n.clock.Shared(h.Until).UTC().Truncate(time.Millisecond)})
	}
	return holds
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

// providerGates are the gates of the providers' keys and models.
type providerGates struct{ node *Node }

func (g providerGates) Holds() []store.Hold { return g.node.jobs.holds() }

func (g providerGates) Hold(h store.Hold) bool { return g.node.jobs.hold(h) }

func (g providerGates) Free(t store.Target, until time.Time) bool { return g.node.jobs.free(t, until) }

func (g providerGates) Knows(provider string) bool { return g.node.jobs.knows(provider) }

// KeyHash returns what the store knows the key of a target by; "" of a model.
func (g providerGates) KeyHash(t store.Target) string {
	p, ok := g.node.cfg.Providers[t.Provider]
	if t.Model != "" || !ok {
		return ""
	}
	return p.Client.KeyHash()
}

// holds lists those in effect on keys and models, in local time.
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
