package groupcommit

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are of the transactions that were committed.
type metrics struct {
	seconds prometheus.Histogram // from the beginning of a transaction to its fsync
	size    prometheus.Histogram // members of a transaction
}

func newMetrics(r prometheus.Registerer) metrics {
	return metrics{
		seconds: histogram(r, prometheus.HistogramOpts{
			Name:    "ringback_commit_seconds",
			Help:    "Time that a transaction of the store took, from its beginning until it was on stable storage.",
			Buckets: []float64{.0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10},
		}),
		size: histogram(r, prometheus.HistogramOpts{
			Name:    "ringback_commit_batch_size",
			Help:    "Writes that shared one transaction.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 9),
		}),
	}
}

// histogram registers a histogram, or gives the one that another queue of the same
// store has registered.
func histogram(r prometheus.Registerer, o prometheus.HistogramOpts) prometheus.Histogram {
	h := prometheus.NewHistogram(o)
	if r == nil {
		return h
	}
	err := r.Register(h)
	if known, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		return known.ExistingCollector.(prometheus.Histogram) //nolint:forcetypeassert // by its name
	}
	if err != nil {
		panic(err) // as everywhere: two metrics of one name
	}
	return h
}

func (m *metrics) committed(members int, took time.Duration) {
	m.seconds.Observe(took.Seconds())
	m.size.Observe(float64(members))
}
