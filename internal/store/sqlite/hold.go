package sqlite

import (
	"context"
	"fmt"

	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/column"
	"github.com/ringback/ringback/internal/store/groupcommit"
)

// PutHold implements store.Holds.
func (s *Store) PutHold(ctx context.Context, h store.Hold) error {
	return s.writeHold(ctx, `INSERT OR REPLACE INTO holds (provider, model, until, reason, key, cause) VALUES (?,?,?,?,?,?)`,
		h.Provider, h.Model, column.MS(h.Until), h.Reason, h.Key, h.Cause)
}

// DropHold implements store.Holds.
func (s *Store) DropHold(ctx context.Context, target store.Target) error {
	return s.writeHold(ctx, `DELETE FROM holds WHERE provider = ? AND model = ?`, target.Provider, target.Model)
}

func (s *Store) writeHold(ctx context.Context, query string, args ...any) error {
	op := groupcommit.Op{Name: "store a hold", Bytes: rowBytes}
	return groupcommit.Exec(ctx, s.write, op, func(t *tx) error {
		_, err := t.exec(query, args...)
		return err
	})
}

// Holds implements store.Holds.
func (s *Store) Holds(ctx context.Context) (holds []store.Hold, err error) {
	err = s.read(ctx, func(r *reader) error {
		rows, err := r.rows(`SELECT provider, model, until, reason, key, cause FROM holds ORDER BY provider, model`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var h store.Hold
			var until int64
			if err := rows.Scan(&h.Provider, &h.Model, &until, &h.Reason, &h.Key, &h.Cause); err != nil {
				return err
			}
			h.Until = column.Time(until)
			holds = append(holds, h)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("read holds: %w", err)
	}
	return holds, nil
}
