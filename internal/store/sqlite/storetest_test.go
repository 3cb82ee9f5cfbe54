package sqlite

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/groupcommit"
	"github.com/ringback/ringback/internal/store/storetest"
)

func TestContract(t *testing.T) {
	storetest.Exercise(t, func(t testing.TB) storetest.Harness { return newHarness(t) })
}

// harness is a store in its own directory.
type harness struct {
	dir  string
	lose atomic.Bool

	mu    sync.Mutex
	store *Store
	all   []*Store
}

func newHarness(t testing.TB) *harness {
	h := &harness{dir: t.TempDir()}
	h.start(t)
	t.Cleanup(func() {
		for _, s := range h.all {
			s.Close()
		}
	})
	return h
}

func (h *harness) start(t testing.TB) {
	s, err := Open(t.Context(), Config{Dir: h.dir, Die: func(err error) { t.Errorf("the store died: %v", err) }})
	if err != nil {
		t.Fatalf("open the store: %v", err)
	}
	s.writer.afterCommit = func() error {
		if h.lose.CompareAndSwap(true, false) {
			return errLost
		}
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.store = s
	h.all = append(h.all, s)
}

func (h *harness) Store() store.Store {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.store
}

// Crash opens what is on the disk at this moment: a copy of the files, which nothing that
// the dropped store does later can reach.
func (h *harness) Crash(t testing.TB) {
	dead := h.store
	next := t.TempDir()
	for _, name := range []string{"ringback.db", "ringback.db-wal"} {
		b, err := os.ReadFile(filepath.Join(h.dir, name))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		if err == nil {
			if err := os.WriteFile(filepath.Join(next, name), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	h.dir = next
	h.start(t)
	dead.Close()
}

func (h *harness) LoseCommit() { h.lose.Store(true) }

func (h *harness) TakeLease(node string) {
	n := h.store.nodes
	n.mu.Lock()
	defer n.mu.Unlock()
	if l := n.leases[node]; l != nil {
		l.over = true
	}
}

func (h *harness) LeasesSurvive() bool { return false }

func (h *harness) Plant(table, column string, id uuid.UUID, value string) {
	key := map[string]string{"attempts": "job", "tries": "delivery"}[table]
	err := h.store.write(context.Background(), groupcommit.Write[*tx]{Run: func(t *tx) error {
		_, err := t.exec(`UPDATE `+table+` SET `+column+` = ? WHERE `+cmp.Or(key, "id")+` = ?`, value, id[:])
		return err
	}})
	if err != nil {
		panic(err)
	}
}

// FullDisk bounds the file to its present pages.
func (h *harness) FullDisk() (restore func()) {
	s := h.store
	s.bound(1)
	return func() { s.bound(1 << 30) }
}
