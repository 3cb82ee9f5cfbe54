package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Commits has the metrics of a store's transactions.
type Commits struct {
	Seconds prometheus.Histogram // from the beginning of a transaction to its fsync
	Size    prometheus.Histogram // members of a transaction
}

// NewCommits registers the metrics of transactions.
func NewCommits(r prometheus.Registerer) Commits {
	f := factory{promauto.With(r)}
	return Commits{
		Seconds: f.histogram("ringback_commit_seconds",
			"Duration of a transaction of the store, from its beginning until it is on stable storage.",
			[]float64{.0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10}),
		Size: f.histogram("ringback_commit_batch_size", "Writes that shared one transaction.", prometheus.ExponentialBuckets(1, 2, 9)),
	}
}

// RegisterStoreSize registers the size of the store.
func RegisterStoreSize(r prometheus.Registerer, bytes func() float64) {
	promauto.With(r).NewGaugeFunc(prometheus.GaugeOpts{
		Name: "ringback_store_bytes", Help: "Size of the database, including its write-ahead log.",
	}, bytes)
}

// Connections reads the metrics of the connections to a database server.
type Connections struct{ Open, Busy, Waits func() float64 }

// RegisterConnections registers the connections to a database server.
func RegisterConnections(r prometheus.Registerer, c Connections) {
	f := promauto.With(r)
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "ringback_database_connections", Help: "Open connections of this node for reads.",
	}, c.Open)
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "ringback_database_connections_busy", Help: "Connections of this node for reads that are in use.",
	}, c.Busy)
	f.NewCounterFunc(prometheus.CounterOpts{
		Name: "ringback_database_connection_waits_total", Help: "Reads that had to wait for a connection.",
	}, c.Waits)
}
