package storetest

import (
	"bytes"
	"sync"

	"github.com/ringback/ringback/internal/store"
)

func exerciseSigningKey(s suite) {
	s.promise("the key is made once, and survives a crash", func(w *world) {
		key := w.key()
		w.same("length", len(key), store.SigningKeyBytes)
		w.same("made by chance", bytes.Equal(key, make([]byte, len(key))), false)
		w.same("Key again", w.key(), key)
		w.crash()
		w.same("Key after a crash", w.key(), key)
	})

	s.promise("all who ask for the key at once get the same", func(w *world) {
		keys := make([][]byte, 8)
		errs := make([]error, len(keys))
		var asking sync.WaitGroup
		for i := range keys {
			asking.Go(func() { keys[i], errs[i] = w.Store().SigningKey(w.ctx()) })
		}
		asking.Wait()
		for i := range keys {
			w.ok(errs[i])
			w.same("Key", keys[i], keys[0])
		}
	})

	s.promise("a key whose commit is of unknown outcome", func(w *world) {
		w.LoseCommit()
		key := w.key()
		w.crash()
		w.same("Key", w.key(), key)
	})

	s.promise("another store has another key", func(w *world) {
		other := newWorld(w.TB, w.outer, s.open(w.outer))
		w.same("the same key", bytes.Equal(w.key(), other.key()), false)
		other.sound()
	})
}

func (w *world) key() []byte {
	w.Helper()
	key, err := w.Store().SigningKey(w.ctx())
	w.ok(err)
	return key
}
