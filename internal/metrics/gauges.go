package metrics

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Gauge is a value of a node that is read when it is collected.
type Gauge struct{ desc *prometheus.Desc }

func gauge(name, help string, labels ...string) Gauge {
	return Gauge{prometheus.NewDesc(name, help, labels, nil)}
}

// The gauges of a node.
var (
	Ready       = gauge("ringback_ready", "1 if the node accepts jobs, as /readyz reports.")
	Jobs        = gauge("ringback_jobs", "Jobs that are waiting or running.", "state")
	Oldest      = gauge("ringback_queue_oldest_seconds", "How long the oldest due job has been due; 0 if none is.")
	Pending     = gauge("ringback_deliveries_pending", "Webhooks that have not arrived: waiting or being sent, including redeliveries.")
	PendingAge  = gauge("ringback_deliveries_pending_oldest_seconds", "Age of the oldest pending webhook; 0 if there is none.")
	DeadLetters = gauge("ringback_dead_letters", "Dead letters that are kept.", "kind")
	HeldBack    = gauge("ringback_held_back", "Current holds of a provider's models, or of its key (model *).", "provider", "model")
	BreakerOpen = gauge("ringback_breaker_open", "Receivers' hosts that are on hold.", "host_class")
	LeaseAge    = gauge("ringback_lease_age_seconds", "Time since the node renewed its lease; 0 if the lease lasts as long as the process.")
	Nodes       = gauge("ringback_nodes", "Live nodes, as of this node's last renewal.")
	Streams     = gauge("ringback_pushed_streams", "Streams that are being pushed to a stream_to.")
	Memory      = gauge("ringback_memory_bytes", "Memory charged to a budget.", "budget")
	MemoryLimit = gauge("ringback_memory_limit_bytes", "Size of a memory budget.", "budget")
)

var gauges = []Gauge{
	Ready, Jobs, Oldest, Pending, PendingAge, DeadLetters, HeldBack, BreakerOpen, LeaseAge, Nodes, Streams, Memory, MemoryLimit,
}

// Set sets the value of a gauge for its labels.
type Set func(of Gauge, value float64, labels ...string)

// ReadGauges sets the gauges that it can read now, and leaves out the others.
type ReadGauges func(ctx context.Context, set Set)

// readFor bounds a read.
const readFor = 5 * time.Second

// Describe implements prometheus.Collector.
func (ReadGauges) Describe(out chan<- *prometheus.Desc) {
	for _, g := range gauges {
		out <- g.desc
	}
}

// Collect implements prometheus.Collector.
func (read ReadGauges) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), readFor)
	defer cancel()
	read(ctx, func(of Gauge, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(of.desc, prometheus.GaugeValue, value, labels...)
	})
}
