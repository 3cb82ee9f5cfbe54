package delivery

import (
	"context"
	"errors"

	"github.com/ringback/ringback/internal/backoff"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/supervise"
)

// settle stores how a try ended. It is tried again until it is stored, the delivery has
// moved on, or the drain's time is over.
func (d *Dispatcher) settle(row store.Delivery, end store.TryEnd) {
	for tries := 1; ; tries++ {
		after, err := d.settleOnce(row, end)
		unreached := d.cfg.Supervisor.OutOfReach(supervise.StepSettle, err)
		if err == nil {
			d.recordSettled(row, after, end)
			return
		}
		if errors.Is(err, store.ErrFenced) {
			d.metrics.Fenced.Inc()
			d.log.Warn("try settled too late: the delivery has moved on", "delivery_id", row.ID)
		}
		if !d.cfg.Supervisor.TryAgain(err) {
			return
		}
		if !unreached && d.cfg.Supervisor.WorthLogging(tries, err) {
			d.log.Error("try not stored, trying again", "delivery_id", row.ID, "err", err)
		}
		if !backoff.Sleep(d.cfg.Calls, supervise.SettlePause(tries, err)) {
			return
		}
		if tries == supervise.SettleTries && !supervise.IsTransient(err) { // the receiver's response can't be stored
			end.Try.Response = ""
		}
	}
}

func (d *Dispatcher) settleOnce(row store.Delivery, end store.TryEnd) (after store.Delivery, err error) {
	err = d.cfg.Supervisor.Guarded(supervise.StepSettle, func() (err error) {
		after, err = d.store.SettleDelivery(context.Background(), row.Ref(), end)
		return err
	}, "delivery_id", row.ID)
	return after, err
}
