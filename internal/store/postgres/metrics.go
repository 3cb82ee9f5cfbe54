package postgres

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/ringback/ringback/internal/metrics"
)

// sizeEvery is how often the size of the tables is read at most.
const sizeEvery = 30 * time.Second

// measure registers the store's size and the connections for reads.
func (s *Store) measure(r prometheus.Registerer) {
	size := &size{store: s}
	metrics.RegisterStoreSize(r, size.bytes)
	metrics.RegisterConnections(r, metrics.Connections{
		Open:  func() float64 { return float64(s.reads.Stat().TotalConns()) },
		Busy:  func() float64 { return float64(s.reads.Stat().AcquiredConns()) },
		Waits: func() float64 { return float64(s.reads.Stat().EmptyAcquireCount()) },
	})
}

// size is the size of the schema's tables, as it was a moment ago.
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
