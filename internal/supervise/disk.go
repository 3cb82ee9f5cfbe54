package supervise

import (
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/ringback/ringback/internal/store"
)

// fullFor is how long nothing is accepted after a write that failed because the disk is
// full. What has to be written is tried again more often than that, so the node accepts
// jobs again only once a write succeeds.
const fullFor = 5 * time.Second

// DiskConfig configures a disk.
type DiskConfig struct {
	// Dir is watched for free space; "" watches nothing.
	Dir string
	// Reserve is the free space in bytes below which the disk counts as full.
	Reserve int64
	Logger  *slog.Logger
	// Freed is called when there is space again.
	Freed func()
}

// Disk knows whether the disk has space.
type Disk struct {
	cfg       DiskConfig
	low       atomic.Bool  // free space is below the reserve
	fullUntil atomic.Int64 // milliseconds since 1970: a write failed because the disk is full
}

// NewDisk returns a disk that has not been checked yet.
func NewDisk(cfg DiskConfig) *Disk { return &Disk{cfg: cfg} }

// Full reports whether nothing may be accepted or claimed: free space is
// below the reserve, or a write has just failed.
func (d *Disk) Full() bool {
	return d.low.Load() || time.Now().UnixMilli() < d.fullUntil.Load()
}

// NoteFull reports whether err says that the disk is full; it counts as full then for a
// while.
func (d *Disk) NoteFull(err error) bool {
	full := errors.Is(err, store.ErrFull)
	if full {
		d.fullUntil.Store(time.Now().Add(fullFor).UnixMilli())
	}
	return full
}

// Check finds out whether enough space is free to accept jobs.
func (d *Disk) Check() {
	if d.cfg.Dir == "" {
		return
	}
	free, err := freeSpace(d.cfg.Dir)
	if err != nil {
		d.cfg.Logger.Error("free disk space can't be read", "err", err)
		return
	}
	low := free < uint64(d.cfg.Reserve)
	if was := d.low.Swap(low); was != low {
		if low {
			d.cfg.Logger.Error("disk nearly full: no jobs are accepted until space is free", "free_bytes", free, "reserve_bytes", d.cfg.Reserve)
		} else {
			d.cfg.Logger.Info("disk has space again", "free_bytes", free)
			d.cfg.Freed()
		}
	}
}
