package api

import (
	"context"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ringback/ringback/internal/intake"
	"github.com/ringback/ringback/internal/node"
)

type health struct {
	Status  string `json:"status"`
	Version string `json:"version,omitempty"`
}

// monitoring serves what monitoring reads.
type monitoring struct {
	node    *node.Node
	version string
	metrics *prometheus.Registry
}

// GET /healthz: the process is alive. It touches no disk and no lock.
func (h monitoring) healthz(context.Context, *call) (reply, error) {
	return reply{body: health{"ok", h.version}}, nil
}

// GET /readyz: the node accepts jobs, or why not. What providers said about which job, and
// where webhooks go, is only for callers with the key.
func (h monitoring) readyz(_ context.Context, c *call) (reply, error) {
	ready := h.node.Readiness()
	if c.caller.Role == intake.Operator {
		ready.Holds = append(ready.Holds, h.node.HostHolds()...)
	} else {
		for i := range ready.Holds {
			ready.Holds[i].HeldBy = nil
		}
	}
	if !ready.Ready {
		return reply{status: http.StatusServiceUnavailable, body: ready}, nil
	}
	return reply{body: ready}, nil
}
