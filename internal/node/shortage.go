package node

import (
	"cmp"
	"time"

	"github.com/ringback/ringback/internal/backoff"
	"github.com/ringback/ringback/internal/shortage"
	"github.com/ringback/ringback/internal/store"
)

// shortPause is how long nothing is begun after a call failed for want of descriptors or
// memory: what runs will give some back.
const shortPause = time.Second

// noteShortage notes that a call could not begin since this machine has run short, and
// logs it once per spell.
func (n *Node) noteShortage(err error) {
	what := cmp.Or(shortage.Of(err), shortage.Descriptors)
	n.metrics.shortages.WithLabelValues(string(what)).Inc()
	now := time.Now()
	if n.shortages.note(string(what), now) {
		n.log.Error("this machine has run short: calls and webhooks wait, and none of them loses a try by it", "resource", what, "err", err)
	}
	if what != shortage.Ports { // those towards one address; others are not concerned
		n.shortUntil.Store(now.Add(shortPause).UnixMilli())
	}
}

// short reports whether nothing should be begun that needs descriptors.
func (n *Node) short() bool { return time.Now().UnixMilli() < n.shortUntil.Load() }

// recordShortages logs which shortages are over.
func (n *Node) recordShortages(now time.Time) {
	for _, s := range n.shortages.over(now) {
		n.log.Info("this machine is no longer short", "resource", s.reason, "calls", s.count, "ms", s.last.Sub(s.began).Milliseconds())
	}
}

// afterPause is when something that could not begin is due again.
func (n *Node) afterPause(now time.Time) time.Time {
	return now.Add(backoff.Jitter(n.cfg.RetryDelay, backoff.Half))
}

// postponed gives back a delivery of which no try could be made now.
func (n *Node) postponed(d store.Delivery) store.TryEnd {
	end := n.unbegun(d)
	end.NextAt = n.afterPause(end.At)
	return end
}
