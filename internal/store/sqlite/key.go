package sqlite

import (
	"context"

	"github.com/ringback/ringback/internal/store"
)

// Key implements store.Keeper.
func (s *Store) Key(context.Context) ([]byte, error) { return nil, store.ErrClosed }
