package node

import (
	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/delivery"
	"github.com/ringback/ringback/internal/store"
)

// initDelivery makes the parts of the node that render and send webhooks.
func (n *Node) initDelivery() {
	n.outbox = delivery.NewOutbox(delivery.OutboxConfig{Retention: n.cfg.Retention, View: func(j *store.Job) ringback.Job { return n.View(j) }, Logger: n.log})
	n.deliveries = delivery.New(delivery.Config{
		Store: n.store, Outbox: n.outbox, Clock: n.clock, Supervisor: n.supervisor, Logger: n.log,
		Metrics: n.metrics.Delivery, Pushes: n.metrics.Pushes, Tracer: n.cfg.Tracer,
		Session: func() delivery.Session { return n.members.Session() },
		Group:   n.group, Calls: n.calls, Worker: n.cfg.Roles.Has(Worker), Draining: n.draining.Load,
		Sender: n.cfg.Sender, Secrets: n.cfg.Secrets, Schedule: n.cfg.Schedule, HostGate: n.cfg.HostGate,
		Memory: n.memory.Webhooks,
	})
	n.Redeliverer = delivery.NewRedeliverer(delivery.RedelivererConfig{
		Store: n.store, Outbox: n.outbox, Clock: n.clock, Refuser: n.refuser, Logger: n.log,
		Guard: n.cfg.Guard, Schedule: n.cfg.Schedule, Memory: n.memory.Reads,
		Stored: n.deliveries.RedeliverNow, View: func(d *store.Delivery, tries []ringback.Try) ringback.Delivery { return n.ViewDelivery(d, tries) },
	})
}
