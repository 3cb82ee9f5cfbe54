package api

import (
	"context"
	"net/http"

	"github.com/ringback/ringback/internal/intake"
)

type health struct {
	Status  string `json:"status"`
	Version string `json:"version,omitempty"`
}

// GET /healthz: the process is alive. It touches no disk and no lock.
func (s *Server) healthz(context.Context, *call) (reply, error) {
	return reply{body: health{"ok", s.version}}, nil
}

// GET /readyz: the node accepts jobs, or why not. What providers said about which job, and
// where webhooks go, is only for callers with the key.
func (s *Server) readyz(_ context.Context, c *call) (reply, error) {
	ready := s.node.Readiness()
	if c.caller.Role == intake.Operator {
		ready.Holds = append(ready.Holds, s.node.HostHolds()...)
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
