package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/groupcommit"
)

// SigningKey implements store.Maintenance.
func (s *Store) SigningKey(ctx context.Context) ([]byte, error) {
	key, err := s.StoredSigningKey(ctx)
	if err == nil && key == nil {
		if err = s.makeSigningKey(ctx); err == nil {
			key, err = s.StoredSigningKey(ctx)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("the store's key: %w", err)
	}
	return key, nil
}

// StoredSigningKey returns SigningKey if one was made, otherwise nil: it makes none.
func (s *Store) StoredSigningKey(ctx context.Context) (key []byte, err error) {
	err = s.read(ctx, func(q *reader) error {
		return q.row(`SELECT value FROM secrets WHERE name = 'key'`).Scan(&key)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return key, err
}

// makeSigningKey stores a key, unless another caller has.
func (s *Store) makeSigningKey(ctx context.Context) error {
	key := store.NewSigningKey()
	return groupcommit.Exec(ctx, s.write, groupcommit.Op{Bytes: rowBytes}, func(t *tx) error {
		_, err := t.exec(`INSERT INTO secrets (name, value) VALUES ('key', ?) ON CONFLICT (name) DO NOTHING`, key)
		return err
	})
}
