package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/ringback/ringback/internal/metrics"
)

// Build identifies what is running.
type Build struct{ Version, Revision, Go string }

// NewRegistry makes a registry with the metrics of the process and its build. Each package
// registers its own metrics on it.
func NewRegistry(b Build) *prometheus.Registry {
	r := prometheus.NewRegistry()
	metrics.RegisterBuild(r, b.Version, b.Revision, b.Go)
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}
