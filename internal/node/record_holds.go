package node

import (
	"log/slog"
	"sync"
	"time"

	"github.com/ringback/ringback/internal/limit"
	"github.com/ringback/ringback/internal/store"
)

// holdLog tells when holds begin and end. Gates are silent: many calls report to
// one at the same time, so what has been told is compared with how it stands.
type holdLog struct {
	mu    sync.Mutex
	since map[any]time.Time // of the holds that were told: a target, or a store.Host
}

// record compares and logs. g is nil where the gate is gone, and its hold with it.
func (h *holdLog) record(log *slog.Logger, of any, g *limit.Gate, attrs ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var until time.Time
	var reason string
	var held bool
	if g != nil {
		until, reason, held = g.Held()
	}
	since, recorded := h.since[of]
	switch {
	case held && !recorded:
		if h.since == nil {
			h.since = map[any]time.Time{}
		}
		h.since[of] = time.Now()
		log.Warn("calls are held back", append(attrs, "reason", reason, "until", until)...)
	case recorded && !held:
		delete(h.since, of)
		log.Info("calls are no longer held back", append(attrs, "ms", time.Since(since).Milliseconds())...)
	}
}

// nothingFor says that a gate needs no comparing: it holds nothing back, and nothing
// was told. So it is nearly always, and this costs next to nothing.
func (h *holdLog) nothingFor(g *limit.Gate) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if g == nil {
		return len(h.since) == 0
	}
	_, _, held := g.Held()
	return !held && len(h.since) == 0
}

// recorded are the holds of which the end is still to be told.
func (h *holdLog) recorded() (all []any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for of := range h.since {
		all = append(all, of)
	}
	return all
}

// recordHolds logs what a call of a lane's model has changed.
func (n *Node) recordHolds(l store.Lane) {
	n.recordTarget(target{l.Provider, anyModel})
	n.recordTarget(target{l.Provider, l.Model})
}

func (n *Node) recordHold(of any) {
	switch of := of.(type) {
	case target:
		n.recordTarget(of)
	case store.Host:
		n.recordHost(of)
	}
}

func (n *Node) recordTarget(t target) {
	if g := n.jobs.gateOf(t); !n.holdLog.nothingFor(g) {
		n.holdLog.record(n.log, t, g, "provider", t.provider, "model", t.model)
	}
}

func (n *Node) recordHost(h store.Host) {
	if g := n.deliveries.gateOf(h); !n.holdLog.nothingFor(g) {
		n.holdLog.record(n.log, h, g, "host", h.Host)
	}
}

// recordHoldsOver logs of holds that ended without a call: their gates are gone.
func (n *Node) recordHoldsOver() {
	for _, of := range n.holdLog.recorded() {
		n.recordHold(of)
	}
}

// recordProbe logs that a call is to find out whether a hold is over.
func (n *Node) recordProbe(attrs ...any) {
	n.log.Info("a call finds out whether the hold is over", attrs...)
}

// probes tells whether the call finds out whether a hold is over.
func (t *callPermit) probes() bool { return t.model != nil && (t.model.Probe() || t.key.Probe()) }

// gateOf gives the gate of a model, or with anyModel that of the provider's key; nil if there is none.
func (s *callScheduler) gateOf(t target) *limit.Gate {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.model == anyModel {
		return s.keys[t.provider]
	}
	return s.gates[t]
}

// gateOf is a host's gate, nil if there is none.
func (s *sendScheduler) gateOf(h store.Host) *limit.Gate {
	s.mu.Lock()
	defer s.mu.Unlock()
	if to := s.hosts[h]; to != nil {
		return to.gate
	}
	return nil
}
