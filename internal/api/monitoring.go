package api

import (
	"bytes"
	"context"
	"fmt"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

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

// GET /metrics: what Prometheus scrapes, in its text format.
func (h monitoring) showMetrics(context.Context, *call) (reply, error) {
	families, err := h.metrics.Gather()
	if err != nil {
		return reply{}, fmt.Errorf("gather the metrics: %w", err)
	}
	var text bytes.Buffer
	format := expfmt.NewFormat(expfmt.TypeTextPlain)
	encoder := expfmt.NewEncoder(&text, format)
	for _, family := range families {
		if err := encoder.Encode(family); err != nil {
			return reply{}, fmt.Errorf("write the metrics: %w", err)
		}
	}
	return reply{raw: &rawBody{contentType: string(format), bytes: text.Bytes()}}, nil
}

// GET /api/nodes
func (h monitoring) nodes(ctx context.Context, _ *call) (reply, error) {
	page, err := h.node.Nodes(ctx)
	return pageReply(page), err
}
