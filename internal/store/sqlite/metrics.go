package sqlite

import (
	"os"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ringback/ringback/internal/metrics"
)

// measure registers the store's size. A missing file has none.
func (s *Store) measure(r prometheus.Registerer) {
	metrics.RegisterStoreSize(r, func() float64 {
		var bytes int64
		for _, suffix := range []string{"", "-wal", "-shm"} {
			if info, err := os.Stat(s.file + suffix); err == nil {
				bytes += info.Size()
			}
		}
		return float64(bytes)
	})
}
