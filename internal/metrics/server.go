package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Readers has the metrics of clients that watch jobs through the API.
type Readers struct {
	Now *prometheus.GaugeVec   // transport
	Cut *prometheus.CounterVec // transport
}

// NewReaders registers the metrics of readers over transports.
func NewReaders(r prometheus.Registerer, transports ...string) Readers {
	f := factory{promauto.With(r)}
	m := Readers{
		Now: f.NewGaugeVec(prometheus.GaugeOpts{Name: "ringback_stream_readers", Help: "Readers that are watching jobs."}, []string{"transport"}),
		Cut: f.counters("ringback_stream_readers_cut_total", "Readers that were cut off because they did not read their events in time.", "transport"),
	}
	for _, t := range transports {
		m.Now.WithLabelValues(t)
		m.Cut.WithLabelValues(t)
	}
	return m
}

// Listener has the metrics of a listener.
type Listener struct {
	Open    prometheus.Gauge
	Evicted prometheus.Counter
	Failed  *prometheus.CounterVec // reason
}

// NewListener registers the metrics of a listener.
func NewListener(r prometheus.Registerer) *Listener {
	f := factory{promauto.With(r)}
	return &Listener{
		Open:    f.NewGauge(prometheus.GaugeOpts{Name: "ringback_connections", Help: "Open connections of clients."}),
		Evicted: f.counter("ringback_connections_evicted_total", "Connections that were closed to make room for others."),
		Failed:  f.counters("ringback_accept_errors_total", "Connections that could not be accepted at first.", "reason"),
	}
}

// RegisterBuild registers what is running.
func RegisterBuild(r prometheus.Registerer, version, revision, toolchain string) {
	promauto.With(r).NewGaugeVec(prometheus.GaugeOpts{
		Name: "ringback_build_info", Help: "1; its labels say what is running.",
	}, []string{"version", "revision", "go"}).WithLabelValues(version, revision, toolchain).Set(1)
}
