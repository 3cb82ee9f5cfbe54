// Package supervise keeps the loops and goroutines of a node going when a step of them
// fails.
//
//	supervise.go  the supervisor
//	panic.go      ends a step that panics, and nothing else
//	loop.go       runs loops, and logs the errors of their steps
//	outage.go     the store is out of reach, or another program holds it
//	settle.go     repeats what must be stored in the end
//	shortage.go   calls that this machine could not begin
//	disk.go       whether the disk has space (disk_unix.go, disk_windows.go)
//	spells.go     logs what happens often once when it begins, and once when it is over
//
// A loop outlives its failures. So each failure is logged here, and those that many
// loops meet at the same time (the store is out of reach, another program holds it, this
// machine has run short) are logged once per spell, however often the loops try meanwhile.
package supervise

import (
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ringback/ringback/internal/clock"
	"github.com/ringback/ringback/internal/shortage"
	"github.com/ringback/ringback/internal/store"
)

// Config configures a supervisor. All fields are required.
type Config struct {
	Logger *slog.Logger
	Clock  *clock.Clock
	Disk   *Disk
	// Panics counts panics.
	Panics prometheus.Counter
	// Shortages counts what could not begin, by resource.
	Shortages *prometheus.CounterVec
	// RetryDelay is the pause before something that could not begin is due again.
	RetryDelay time.Duration
	// NoLease reports whether an error means that the node has no lease.
	NoLease func(error) bool
	// Quarantine ends a job whose Decide has panicked.
	Quarantine func(store.Job) store.Outcome
}

// Supervisor runs the steps of a node's loops and goroutines.
type Supervisor struct {
	cfg    Config
	log    *slog.Logger
	outage outage
	held   heldDatabase

	shortages  Spells
	shortUntil atomic.Int64 // milliseconds since 1970: until then nothing is begun
}

// New returns a supervisor.
func New(cfg Config) *Supervisor {
	for _, resource := range shortage.All {
		cfg.Shortages.WithLabelValues(string(resource)) // begins at 0, so that the first one is a rise
	}
	return &Supervisor{cfg: cfg, log: cfg.Logger}
}
