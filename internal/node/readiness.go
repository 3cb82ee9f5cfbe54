package node

import (
	"context"
	"time"

	"github.com/ringback/ringback/internal/clock"
	"github.com/ringback/ringback/internal/cluster"
)

// Readiness reports whether this node takes jobs, and if not, why.
type Readiness struct {
	Ready  bool              `json:"ready"`
	Checks map[string]string `json:"checks"`
	// Holds on providers and, for callers with the key, on receivers' hosts. They don't
	// make the node unready: jobs are accepted, and wait.
	Holds []Hold `json:"holds"`
}

// Readiness returns that of the node. It waits for the store for a second at most.
func (n *Node) Readiness() Readiness {
	r := Readiness{Ready: true, Checks: map[string]string{"doors": "ok", "disk": "ok", "queue": "ok", "memory": "ok"}, Holds: n.Holds()}
	note := func(check string, bad bool, why string) {
		if bad {
			r.Ready, r.Checks[check] = false, why
		}
	}
	note("doors", !n.recovered.Load(), "starting")
	note("doors", n.draining.Load(), "stopping")
	note("disk", n.disk.Full(), "free space is below the reserve")
	note("memory", n.memory.Bodies.Full(), "as much is being read as memory allows")
	if since := n.supervisor.HeldSince(); !since.IsZero() {
		note("database", true, "held by another program since "+since.UTC().Format(time.RFC3339))
	}
	l := n.members.Session()
	if l.HasPeers() && r.Checks["database"] == "" {
		r.Checks["database"] = "ok"
		if why := lost(l.Health(), n.clock); why != "" && !n.draining.Load() {
			r.Checks["database"], r.Checks["queue"] = why, "unknown"
			r.Ready = r.Ready && !n.cfg.Roles.Has(API) // what takes no requests need not be taken off a balancer
			return r
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	queued, err := n.store.Queued(ctx)
	note("queue", err != nil, "unknown")
	note("queue", err == nil && queued >= n.cfg.MaxQueued, "full")
	return r
}

// lost describes why the lease can't be renewed, and since when; "" if it can.
func lost(h cluster.Health, c *clock.Clock) string {
	at := func(t time.Time) string { return c.Shared(t).UTC().Format(time.RFC3339) }
	switch {
	case h.Swept:
		return "the node was swept, and has not joined again yet"
	case time.Now().After(h.ExpiresAt):
		return "the lease has run out at " + at(h.ExpiresAt)
	case !h.FailingSince.IsZero():
		return "out of reach since " + at(h.FailingSince)
	}
	return ""
}
