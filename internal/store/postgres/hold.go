package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/column"
	"github.com/ringback/ringback/internal/store/groupcommit"
)

// PutHold implements store.Holds.
func (s *Store) PutHold(ctx context.Context, h store.Hold) error {
	return s.writeHold(ctx, `
		INSERT INTO ringback.holds (provider, model, until, reason, key, cause) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (provider, model) DO UPDATE SET until = excluded.until, reason = excluded.reason, key = excluded.key, cause = excluded.cause`,
		h.Provider, h.Model, column.MS(h.Until), h.Reason, h.Key, h.Cause)
}

// DropHold implements store.Holds.
func (s *Store) DropHold(ctx context.Context, target store.Target) error {
	return s.writeHold(ctx, `DELETE FROM ringback.holds WHERE provider = $1 AND model = $2`, target.Provider, target.Model)
}

func (s *Store) writeHold(ctx context.Context, query string, args ...any) error {
	op := groupcommit.Op{Name: "store a hold", Bytes: rowBytes}
	return groupcommit.Exec(ctx, s.write, op, func(t *tx) error {
		t.exec(query, args...)
		t.signals(store.SignalHolds)
		return nil
	})
}

// Holds implements store.Holds.
func (s *Store) Holds(ctx context.Context) (holds []store.Hold, err error) {
	err = s.read(ctx, question{
		sql: `SELECT provider, model, until, reason, key, cause FROM ringback.holds ORDER BY provider, model`,
		scan: func(rows pgx.Rows) error {
			var h store.Hold
			var until int64
			err := rows.Scan(&h.Provider, &h.Model, &until, &h.Reason, &h.Key, &h.Cause)
			h.Until = column.Time(until)
			holds = append(holds, h)
			return err
		},
	})
	if err != nil {
		return nil, fmt.Errorf("read holds: %w", err)
	}
	return holds, nil
}
