package node

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/supervise"
)

const (
	// askedEvery is the time between two looks for redeliveries that were asked for at
	// another node, and askedPause that between two looks where some are known to wait.
	askedEvery = time.Second
	askedPause = 50 * time.Millisecond
	// askedAtOnce is how many redeliveries one look reads, to find the newest for each host.
	askedAtOnce = 10_000
)

// asked is what is known of redeliveries that wait. They go before all else that waits
// for their hosts, and do not wait for the end of a hold.
type asked struct {
	some   atomic.Bool // wait, by all that this node knows
	looked time.Time   // owned by the loop that claims deliveries
}

// askNow has redeliveries that are stored sent as soon as there are slots.
func (n *Node) askNow() {
	n.asked.some.Store(true)
	supervise.Wake(n.wakeDeliveries)
}

// takeAsked adds passes for redeliveries, one for each host at a time. It returns these
// redeliveries, and when to look again.
func (n *Node) takeAsked(ctx context.Context, now time.Time, permits map[store.Host][]*sendPermit) (taken []store.DueRedelivery, again time.Time, err error) {
	pause := askedEvery
	if n.asked.some.Load() {
		pause = askedPause
	}
	if since := time.Since(n.asked.looked); since < pause {
		return nil, now.Add(pause - since), nil
	}
	n.asked.some.Store(false)
	due, err := n.store.Redeliveries(ctx, now, askedAtOnce)
	if err != nil {
		n.asked.some.Store(true)
		return nil, time.Time{}, err
	}
	n.asked.looked = time.Now()
	again = now.Add(askedEvery)
	for _, r := range due {
		p, soon := n.deliveries.takeNow(r.Host, n.clock.Local(r.At))
		if p != nil {
			permits[r.Host] = append(permits[r.Host], p)
			taken = append(taken, r)
		}
		if p != nil || soon { // another one may wait for this host
			n.asked.some.Store(true)
			again = now.Add(askedPause)
		}
	}
	return taken, again, nil
}
