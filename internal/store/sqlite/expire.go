package sqlite

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/column"
	"github.com/ringback/ringback/internal/store/groupcommit"
)

// Expire implements store.Maintenance.
func (s *Store) Expire(ctx context.Context, now time.Time, limit int, decide store.Decide) ([]store.Job, error) {
	return s.moveWaiting(ctx, "expire jobs", decide, limit, `WHERE `+column.IsQueued+` AND end_by <= ? ORDER BY end_by LIMIT ?`, column.MS(now), limit)
}

// Hasten implements store.Jobs.
func (s *Store) Hasten(ctx context.Context, now time.Time, limit int, decide store.Decide) ([]store.Job, error) {
	return s.moveWaiting(ctx, "hasten jobs", decide, limit, `
		WHERE `+column.IsReady+` AND run_at > ? AND first_started_at > 0 AND failures = 0 AND first_refused_at = 0
		ORDER BY run_at LIMIT ?`, column.MS(now), limit)
}

// moveWaiting moves the waiting jobs that match a condition.
func (s *Store) moveWaiting(ctx context.Context, name string, decide store.Decide, limit int, where string, args ...any) ([]store.Job, error) {
	op := groupcommit.Op{Name: name, Bytes: limit * rowBytes}
	return groupcommit.Commit(ctx, s.write, op, func(t *tx) ([]store.Job, error) {
		found, err := selectJobs(t, `SELECT `+jobColumns+` FROM jobs `+where, args...)
		if err != nil {
			return nil, err
		}
		return s.decideAll(t, found, decide)
	})
}

// ExpireDeliveries implements store.Maintenance.
func (s *Store) ExpireDeliveries(ctx context.Context, before, now time.Time, limit int) ([]store.Delivery, error) {
	op := groupcommit.Op{Name: "expire deliveries", Bytes: limit * rowBytes}
	return groupcommit.Commit(ctx, s.write, op, func(t *tx) ([]store.Delivery, error) {
		ids, err := selectIDs(t, `
			SELECT id FROM deliveries WHERE `+column.IsWaiting+` AND made_at < ? AND manual = 0
			ORDER BY made_at LIMIT ?`, column.MS(before), limit)
		if err != nil {
			return nil, err
		}
		asked, err := selectIDs(t, `
			SELECT id FROM deliveries WHERE manual = 1 AND `+column.IsDue+` AND due_at < ?
			ORDER BY due_at LIMIT ?`, column.MS(before), limit-len(ids))
		if err != nil {
			return nil, err
		}
		return s.expireAll(t, append(ids, asked...), now)
	})
}

func (s *Store) expireAll(t *tx, ids []uuid.UUID, now time.Time) ([]store.Delivery, error) {
	expired := make([]store.Delivery, 0, len(ids))
	for _, id := range ids {
		d, err := selectDelivery(t, id)
		if err != nil {
			return nil, err
		}
		s.deliveriesLeave(t, d.Key(), 1)
		before := d.Status
		d = store.Expired(d, now)
		s.countDead(t, 0, store.Deaths(before, d.Status))
		if err := s.updateDelivery(t, &d, time.Time{}); err != nil {
			return nil, err
		}
		if err := s.keepContent(t, &d); err != nil {
			return nil, err
		}
		expired = append(expired, d)
	}
	return expired, nil
}
