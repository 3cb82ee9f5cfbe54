package groupcommit

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics are of the transactions that were committed.
type metrics struct {
	seconds prometheus.Histogram // from the beginning of a transaction to its fsync
	size    prometheus.Histogram // members of a transaction
}

func newMetrics(r prometheus.Registerer) metrics {
	auto := promauto.With(r)
	return metrics{
		seconds: auto.NewHistogram(prometheus.HistogramOpts{
			Name:    "ringback_commit_seconds",
			Help:    "Time that a transaction of the store took, from its beginning until it was on stable storage.",
			Buckets: []float64{.0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10},
		}),
		size: auto.NewHistogram(prometheus.HistogramOpts{
			Name:    "ringback_commit_batch_size",
			Help:    "Writes that shared one transaction.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 9),
		}),
	}
}

func (m *metrics) committed(members int, took time.Duration) {
	m.seconds.Observe(took.Seconds())
	m.size.Observe(float64(members))
}
