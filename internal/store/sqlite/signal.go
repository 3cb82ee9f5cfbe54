package sqlite

import (
	"github.com/ringback/ringback/internal/store"
)

// Watch implements store.Signals. There is no other process that could have moved
// something.
func (s *Store) Watch(func(store.Signal)) {}
