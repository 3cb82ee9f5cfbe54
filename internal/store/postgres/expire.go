package postgres

import (
	"context"
	"time"

	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/column"
	"github.com/ringback/ringback/internal/store/groupcommit"
)

// Expire implements store.Maintenance. It skips jobs that another process is ending at this
// moment.
func (s *Store) Expire(ctx context.Context, now time.Time, limit int, decide store.Decide) ([]store.Job, error) {
	return s.moveWaiting(ctx, "expire jobs", now, limit, decide, column.IsQueued+` AND t.end_by <= $1`, "ORDER BY t.end_by LIMIT $2 FOR UPDATE SKIP LOCKED")
}

// Hasten implements store.Jobs.
func (s *Store) Hasten(ctx context.Context, now time.Time, limit int, decide store.Decide) ([]store.Job, error) {
	return s.moveWaiting(ctx, "hasten jobs", now, limit, decide,
		column.IsReady+` AND t.run_at > $1 AND t.first_started_at > 0 AND t.failures = 0 AND t.first_refused_at = 0`,
		"ORDER BY t.run_at LIMIT $2 FOR UPDATE SKIP LOCKED")
}

// moveWaiting moves the waiting jobs that match a condition.
func (s *Store) moveWaiting(ctx context.Context, name string, now time.Time, limit int, decide store.Decide, where, tail string) ([]store.Job, error) {
	op := groupcommit.Op{Name: name, Bytes: limit * rowBytes}
	return groupcommit.Commit(ctx, s.write, op, func(t *tx) ([]store.Job, error) {
		found, err := t.lockJobs(where, tail, column.MS(now), limit)
		if err != nil {
			return nil, err
		}
		return t.applyAll(found, decide)
	})
}

// ExpireDeliveries implements store.Maintenance.
func (s *Store) ExpireDeliveries(ctx context.Context, before, now time.Time, limit int) ([]store.Delivery, error) {
	op := groupcommit.Op{Name: "expire deliveries", Bytes: limit * rowBytes}
	return groupcommit.Commit(ctx, s.write, op, func(t *tx) ([]store.Delivery, error) {
		rows, err := t.lockDeliveries(column.IsWaiting+` AND t.made_at < $1 AND NOT t.manual`,
			"ORDER BY t.made_at LIMIT $2 FOR UPDATE SKIP LOCKED", column.MS(before), limit)
		if err != nil {
			return nil, err
		}
		asked, err := t.lockDeliveries(`t.manual AND `+column.IsDue+` AND t.due_at < $1`,
			"ORDER BY t.due_at LIMIT $2 FOR UPDATE SKIP LOCKED", column.MS(before), limit-len(rows))
		if err != nil {
			return nil, err
		}
		return t.expireDeliveries(append(rows, asked...), now), nil
	})
}

func (t *tx) expireDeliveries(rows []*deliveryRow, now time.Time) []store.Delivery {
	expired := make([]store.Delivery, 0, len(rows))
	for _, row := range rows {
		t.deliveriesLeave(row.Key(), 1)
		d := store.Expired(row.Delivery, now)
		t.count(deadDeliveries, store.Deaths(row.Status, d.Status))
		t.updateDelivery(d, time.Time{})
		t.keepContent(&d)
		expired = append(expired, d)
	}
	return expired
}
