package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/groupcommit"
)

// Key implements store.Keeper.
func (s *Store) Key(ctx context.Context) ([]byte, error) {
	key, err := s.StoredKey(ctx)
	if err == nil && key == nil {
		if err = s.makeKey(ctx); err == nil {
			key, err = s.StoredKey(ctx)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("the store's key: %w", err)
	}
	return key, nil
}

// StoredKey is Key where one was made, else nil: it makes none.
func (s *Store) StoredKey(ctx context.Context) (key []byte, err error) {
	err = s.read(ctx, func(q *reader) error {
		return q.row(`SELECT value FROM secrets WHERE name = 'key'`).Scan(&key)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return key, err
}

// makeKey stores a key, unless another caller has.
func (s *Store) makeKey(ctx context.Context) error {
	key := store.NewKey()
	return s.write(ctx, groupcommit.Write[*tx]{
		Bytes: rowBytes,
		Run: func(t *tx) error {
			_, err := t.exec(`INSERT INTO secrets (name, value) VALUES ('key', ?) ON CONFLICT (name) DO NOTHING`, key)
			return err
		},
	})
}
