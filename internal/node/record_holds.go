package node

import (
	"github.com/ringback/ringback/internal/limit"
	"github.com/ringback/ringback/internal/store"
)

// recordHolds logs what a call of a lane's model has changed.
func (n *Node) recordHolds(l store.Lane) {
	n.recordTarget(target{l.Provider, anyModel})
	n.recordTarget(target{l.Provider, l.Model})
}

func (n *Node) recordTarget(t target) {
	if g := n.jobs.gateOf(t); !n.holdLog.NothingFor(g) {
		n.holdLog.Record(n.log, t, g, "provider", t.provider, "model", t.model)
	}
}

// recordHoldsOver logs of holds that ended without a call: their gates are gone.
func (n *Node) recordHoldsOver() {
	for _, t := range n.holdLog.Begun() {
		n.recordTarget(t)
	}
	n.deliveries.RecordHoldsOver()
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
