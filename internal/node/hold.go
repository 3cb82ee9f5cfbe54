package node

import (
	"time"

	"github.com/ringback/ringback"
)

// Hold is a provider's key, or a model of it, that is not called; or a receiver's host.
type Hold struct {
	Provider string `json:"provider,omitempty"`
	// Host is that of a receiver: scheme, name and port.
	Host string `json:"host,omitempty"`
	// Model is "" if the key is held, and with it all models.
	Model  string `json:"model,omitempty"`
	Reason string `json:"reason"`
	// Until is when a probe finds out whether it is over.
	Until time.Time `json:"until"`
	// JobOnly reports that the key is in doubt: all calls since the last answer were
	// refused. Until different jobs were, only the refused ones wait.
	JobOnly bool `json:"job_only,omitempty"`
	// HeldBy is the call that was refused or failed, for those who may see jobs.
	HeldBy *ringback.HeldBy `json:"held_by,omitempty"`
}

// Holds lists the holds on providers that are in effect.
func (n *Node) Holds() []Hold {
	holds := []Hold{}
	for _, h := range n.jobs.Holds() {
		holds = append(holds, Hold{
			Provider: h.Provider, Model: h.Model, Reason: h.Reason, Until: h.Until, JobOnly: h.JobOnly, HeldBy: h.HeldBy,
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
