package node

// checkDisk learns whether enough space is free to accept jobs. It also opens
// the doors again after a write that failed for want of space.
func (n *Node) checkDisk() {
	if n.cfg.DataDir == "" {
		n.diskLow.Store(false)
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
			poke(n.wakeJobs)
		}
	}
}
