package node

import (
	"github.com/ringback/ringback/internal/outcome"
	"github.com/ringback/ringback/internal/store"
)

// quarantined ends a job that can't be decided about. If even its webhook makes us panic,
// it has none.
func (n *Node) quarantined(j store.Job) (o store.Outcome) {
	plain := outcome.Quarantine(j, n.clock.Stamped())
	defer func() {
		if v := recover(); v != nil {
			_ = n.supervisor.Panicked("make the webhook of a job", v, "job_id", j.ID)
			o = plain
		}
	}()
	return n.outbox.Conclude(j, plain)
}
