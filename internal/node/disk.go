package node

import (
	"errors"
	"time"

	"github.com/ringback/ringback/internal/store"
)

// fullFor is how long the doors stay shut after a write that failed for want of
// space. What has to be written is tried again more often than that, so they
// open only when it succeeds.
const fullFor = 5 * time.Second

// diskFull tells whether nothing may be accepted or claimed: free space is
// below the reserve, or a write has just failed.
func (n *Node) diskFull() bool {
	return n.diskLow.Load() || time.Now().UnixMilli() < n.fullUntil.Load()
}

// noteFull shuts the doors if err says that the disk is full.
func (n *Node) noteFull(err error) bool {
	full := errors.Is(err, store.ErrFull)
	if full {
		n.fullUntil.Store(time.Now().Add(fullFor).UnixMilli())
	}
	return full
}

// checkDisk learns whether enough space is free to accept jobs.
func (n *Node) checkDisk() {
	if n.cfg.DataDir == "" {
		return
	}
	free, err := freeSpace(n.cfg.DataDir)
	if err != nil {
		n.log.Error("free disk space can't be read", "err", err)
		return
	}
	low := free < uint64(n.cfg.DiskReserve)
	if was := n.diskLow.Swap(low); was != low {
		if low {
			n.log.Error("disk nearly full: no jobs are accepted until space is free", "free_bytes", free, "reserve_bytes", n.cfg.DiskReserve)
		} else {
			n.log.Info("disk has space again", "free_bytes", free)
			wake(n.wakeJobs)
		}
	}
}
