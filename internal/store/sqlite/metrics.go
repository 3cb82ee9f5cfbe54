package sqlite

import (
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// measure registers the store's size. A file that is not there has none.
func (s *Store) measure(r prometheus.Registerer) {
	promauto.With(r).NewGaugeFunc(prometheus.GaugeOpts{
		Name: "ringback_store_bytes",
		Help: "Size of the database, with its write-ahead log.",
	}, func() float64 {
		var bytes int64
		for _, suffix := range []string{"", "-wal", "-shm"} {
			if info, err := os.Stat(s.file + suffix); err == nil {
				bytes += info.Size()
			}
		}
		return float64(bytes)
	})
}
