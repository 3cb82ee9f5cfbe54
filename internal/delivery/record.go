package delivery

import (
	"context"
	"log/slog"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/metrics"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/telemetry"
	"github.com/ringback/ringback/internal/webhook"
)

// recordTry logs and counts a try that is over.
func (d *Dispatcher) recordTry(c *Claim, res webhook.Result) {
	row := c.delivery
	d.metrics.Try.Observe(res.Took.Seconds())
	if !d.log.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	attrs := []any{"delivery_id", row.ID, "job_id", row.JobID, "status_code", res.StatusCode, "ms", res.Took.Milliseconds()}
	if id := telemetry.TraceID(c.payload.TraceParent); id != "" {
		attrs = append(attrs, "trace_id", id)
	}
	if res.Verdict == webhook.Delivered {
		d.log.Debug("webhook delivered", attrs...)
		return
	}
	d.log.Debug("webhook not delivered", append(attrs, "host", row.Host, "error", res.Class, "remote", res.Remote, "err", res.Cause)...)
}

// recordSettled logs and counts what a try has led to, once that is stored.
func (d *Dispatcher) recordSettled(before, after store.Delivery, end store.TryEnd) {
	d.countSettled(&before, &after, end)
	switch {
	case after.Status == ringback.DeliveryDead && !before.Manual:
		d.log.Warn("webhook is a dead letter", "delivery_id", after.ID, "job_id", after.JobID, "tries", after.Sent)
	case after.Status == ringback.DeliveryPending && d.log.Enabled(context.Background(), slog.LevelDebug):
		d.log.Debug("webhook waits for its next try", "delivery_id", after.ID, "job_id", after.JobID, "next_at", after.NextAt.Truncate(time.Millisecond))
	}
}

// countSettled counts a try that is stored, and what it led to.
func (d *Dispatcher) countSettled(before, after *store.Delivery, end store.TryEnd) {
	switch {
	case end.Free: // no try was made
	case end.Status == ringback.DeliveryDelivered:
		d.metrics.Tries.WithLabelValues(metrics.TryDelivered).Inc()
		if !before.Manual {
			d.metrics.Lag.Observe(end.At.Sub(before.MadeAt).Seconds())
		}
	case after.Status == ringback.DeliveryDead && !before.Manual:
		d.metrics.Tries.WithLabelValues(metrics.TryDead).Inc()
	default:
		d.metrics.Tries.WithLabelValues(metrics.TryFailed).Inc()
	}
}

// recordExpired logs and counts a delivery whose time is over.
func (d *Dispatcher) recordExpired(row *store.Delivery) {
	d.metrics.Tries.WithLabelValues(metrics.TryDead).Inc()
	d.log.Warn("webhook is a dead letter: its time is over", "delivery_id", row.ID, "job_id", row.JobID, "tries", row.Sent)
}
