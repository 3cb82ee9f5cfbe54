package postgres

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// sizeEvery is how often the size of the tables is asked for at most.
const sizeEvery = 30 * time.Second

// measure registers the store's size and the connections for reads.
func (s *Store) measure(r prometheus.Registerer) {
	size := &size{store: s}
	promauto.With(r).NewGaugeFunc(prometheus.GaugeOpts{
		Name: "ringback_store_bytes",
		Help: "Size of the database, with its write-ahead log.",
	}, size.bytes)
	promauto.With(r).NewGaugeFunc(prometheus.GaugeOpts{
		Name: "ringback_database_connections",
		Help: "Connections of this node for reads that are open.",
	}, func() float64 { return float64(s.reads.Stat().TotalConns()) })
	promauto.With(r).NewGaugeFunc(prometheus.GaugeOpts{
		Name: "ringback_database_connections_busy",
		Help: "Connections of this node for reads that are in use.",
	}, func() float64 { return float64(s.reads.Stat().AcquiredConns()) })
	promauto.With(r).NewCounterFunc(prometheus.CounterOpts{
		Name: "ringback_database_connection_waits_total",
		Help: "Reads that had to wait for a connection.",
	}, func() float64 { return float64(s.reads.Stat().EmptyAcquireCount()) })
}

// size is that of the schema's tables, as it was a moment ago.
type size struct {
	store *Store

	mu    sync.Mutex
	asked time.Time
	last  float64
}

func (z *size) bytes() float64 {
	z.mu.Lock()
	defer z.mu.Unlock()
	if time.Since(z.asked) < sizeEvery {
		return z.last
	}
	z.asked = time.Now()
	_ = z.store.read(context.Background(), question{
		`SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c WHERE c.relnamespace = 'ringback'::regnamespace AND c.relkind = 'r'`, nil,
		func(rows pgx.Rows) error {
			var n int64
			err := rows.Scan(&n)
			z.last = float64(n)
			return err
		},
	})
	return z.last
}
