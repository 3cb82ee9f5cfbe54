package delivery

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/ringback/ringback/internal/store"
)

const (
	// lookEvery is the time between two looks for redeliveries that were requested at
	// another node, and lookPause that between two looks while some are known to wait.
	lookEvery = time.Second
	lookPause = 50 * time.Millisecond
	// lookAtOnce is how many redeliveries one look reads, to find the newest for each host.
	lookAtOnce = 10_000
)

// redeliveries is what is known of redeliveries that wait. They go before everything else
// that waits for their hosts, and do not wait for the end of a hold.
type redeliveries struct {
	some   atomic.Bool // this node knows of some that wait
	looked time.Time   // the loop that claims owns it
}

// RedeliverNow has redeliveries that are stored sent as soon as there are slots.
func (d *Dispatcher) RedeliverNow() {
	d.redeliveries.some.Store(true)
	d.Wake()
}

// takeRedeliveries adds permits for redeliveries to taken, one for each host at a time. It
// returns these redeliveries, and when to look again.
func (d *Dispatcher) takeRedeliveries(ctx context.Context, now time.Time, taken permits) (found []store.DueRedelivery, again time.Time, err error) {
	r := &d.redeliveries
	pause := lookEvery
	if r.some.Load() {
		pause = lookPause
	}
	if since := time.Since(r.looked); since < pause {
		return nil, now.Add(pause - since), nil
	}
	r.some.Store(false)
	due, err := d.store.Redeliveries(ctx, now, lookAtOnce)
	if err != nil {
		r.some.Store(true)
		return nil, time.Time{}, err
	}
	r.looked = time.Now()
	again = now.Add(lookEvery)
	for _, one := range due {
		p, soon := d.scheduler.takeNow(one.Host, d.clock.Local(one.At))
		if p != nil {
			taken[one.Host] = append(taken[one.Host], p)
			found = append(found, one)
		}
		if p != nil || soon { // another one may wait for this host
			r.some.Store(true)
			again = now.Add(lookPause)
		}
	}
	return found, again, nil
}
