package node

import (
	"context"
	"time"

	"github.com/ringback/ringback/internal/limit"
	"github.com/ringback/ringback/internal/store"
)

const (
	// storedFrom is how long a hold must last to be worth storing.
	storedFrom = 5 * time.Second
	// holdDrift is by how much a stored hold may differ from the one that stands.
	holdDrift = time.Second
	// holdsAtOnce is how many holds one look stores.
	holdsAtOnce = 50
)

// Hold is a provider's key, or a model of it, that is not called.
type Hold struct {
	Provider string `json:"provider"`
	// Model is "" where the key is held, and with it all models.
	Model  string `json:"model,omitempty"`
	Reason string `json:"reason"`
	// Until is when a probe finds out whether it is over.
	Until time.Time `json:"until"`
}

// Holds are the holds that stand against providers now.
func (n *Node) Holds() []Hold {
	holds := []Hold{}
	for _, h := range n.jobs.holds() {
		holds = append(holds, Hold{h.Provider, h.Model, h.Reason, h.Until.UTC().Truncate(time.Millisecond)})
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
		n.storedHolds[h.Target] = h
		switch {
		case n.keyOf(h.Target) != h.Key: // keepHolds forgets it
			n.log.Info("hold not taken over: the provider has another key, or is gone", "provider", h.Provider)
			continue
		case h.Key != "":
			h.Until = time.Now()
		}
		if n.jobs.hold(h) {
			n.log.Info("hold taken over", "provider", h.Provider, "model", h.Model, "reason", h.Reason, "until", h.Until)
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

// keepHolds stores what holds have begun or changed, and forgets those that are over.
func (n *Node) keepHolds(ctx context.Context, now time.Time) error {
	standing, changes := map[store.Target]bool{}, 0
	for _, h := range n.jobs.holds() {
		standing[h.Target] = true
		h.Key = n.keyOf(h.Target)
		old, known := n.storedHolds[h.Target]
		if known && old.Key == h.Key && old.Reason == h.Reason && h.Until.Sub(old.Until).Abs() < holdDrift {
			continue
		}
		if h.Until.Sub(now) < storedFrom {
			continue // nearly over; what was stored of it is dropped when it is
		}
		if err := n.store.PutHold(ctx, h); err != nil {
			return err
		}
		n.storedHolds[h.Target] = h
		if changes++; changes == holdsAtOnce {
			return nil // the rest at the next look: the sweeper has other things to do
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

// holds are those that stand against keys and models.
func (s *slots) holds() []store.Hold {
	s.mu.Lock()
	defer s.mu.Unlock()
	var holds []store.Hold
	note := func(t store.Target, g *limit.Gate) {
		if until, reason, held := g.Held(); held {
			holds = append(holds, store.Hold{Target: t, Until: until, Reason: reason})
		}
	}
	for provider, g := range s.keys {
		note(store.Target{Provider: provider}, g)
	}
	for t, g := range s.models {
		note(store.Target{Provider: t.provider, Model: t.model}, g)
	}
	return holds
}

// hold begins a hold of a former process; false if its provider is gone.
func (s *slots) hold(h store.Hold) bool {
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
	g.Resume(limit.Report{Verdict: verdict, Until: h.Until, Reason: h.Reason})
	return true
}
