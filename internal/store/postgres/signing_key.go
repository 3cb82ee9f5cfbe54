package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/groupcommit"
)

// SigningKey implements store.Maintenance.
func (s *Store) SigningKey(ctx context.Context) ([]byte, error) {
	key, err := s.readKey(ctx)
	if err == nil && key == nil {
		if err = s.makeSigningKey(ctx); err == nil {
			key, err = s.readKey(ctx)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("the store's key: %w", err)
	}
	return key, nil
}

// readKey returns nil if there is no key.
func (s *Store) readKey(ctx context.Context) (key []byte, err error) {
	err = s.read(ctx, question{
		sql:  `SELECT value FROM ringback.secrets WHERE name = 'key'`,
		scan: func(rows pgx.Rows) error { return rows.Scan(&key) },
	})
	return key, err
}

const insertKey = `INSERT INTO ringback.secrets (name, value) VALUES ('key', $1) ON CONFLICT (name) DO NOTHING`

// makeSigningKey stores a key, unless another node has.
func (s *Store) makeSigningKey(ctx context.Context) error {
	key := store.NewSigningKey()
	return groupcommit.Exec(ctx, s.write, groupcommit.Op{Bytes: rowBytes}, func(t *tx) error {
		t.exec(insertKey, key)
		return nil
	})
}
