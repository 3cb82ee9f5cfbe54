package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/groupcommit"
)

func open(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(t.Context(), Config{Dir: dir})
	if err != nil {
		t.Fatalf("open the store: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close the store: %v", err)
		}
	})
	if _, err := s.Join(t.Context(), store.Node{ID: "n"}); err != nil {
		t.Fatalf("join: %v", err)
	}
	return s
}

func TestASecondProcessIsTurnedAway(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	if _, err := Open(t.Context(), Config{Dir: dir}); !errors.Is(err, store.ErrLocked) {
		t.Fatalf("second Open: got %v, want ErrLocked", err)
	}
}

func TestAnOlderBinaryLeavesANewerSchemaAlone(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if _, err := s.writer.conn.ExecContext(t.Context(), "PRAGMA user_version = 99"); err != nil {
		t.Fatal(err)
	}
	s.Close()
	open(t, dir).Close() // it records that schema 1 may still use it

	s = open(t, dir)
	if _, err := s.writer.conn.ExecContext(t.Context(), "UPDATE store SET oldest_schema = 98"); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if _, err := Open(t.Context(), Config{Dir: dir}); !errors.Is(err, store.ErrTooNew) {
		t.Fatalf("Open of a newer schema: got %v, want ErrTooNew", err)
	}
}

func TestACorruptFileIsNotTouched(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "ringback.db")
	garbage := []byte("this is not a database, but somebody may still need it: do not overwrite it, not one byte of it")
	if err := os.WriteFile(file, garbage, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Config{Dir: dir}); err == nil {
		t.Fatal("Open of a corrupt file: got nil, want an error")
	}
	after, err := os.ReadFile(file)
	if err != nil || string(after) != string(garbage) {
		t.Fatalf("the corrupt file was changed: %q, %v", after, err)
	}
}

// bound bounds the file's size in pages, never below its present size. It runs as a member
// of the writer's queue, since the connection belongs to the writer.
func (s *Store) bound(pages int) {
	err := s.write(context.Background(), groupcommit.Write[*tx]{Run: func(t *tx) error {
		var now int
		return t.row(fmt.Sprintf("PRAGMA max_page_count = %d", pages)).Scan(&now)
	}})
	if err != nil {
		panic(err)
	}
}

func TestTheFilesAreTheirOwnersAlone(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s: got mode %v, want 0600", e.Name(), info.Mode().Perm())
		}
	}
}
