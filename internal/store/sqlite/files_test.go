package sqlite

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/ringback/ringback/internal/store"
)

// A write to a file without a name is synced, and gone after a restart. So from then on
// nothing may be reported as stored, and the process must end.
func TestAFileThatIsMovedAwayEndsTheProcess(t *testing.T) {
	moves := map[string]func(dir, name string) error{
		"removed":  func(_, name string) error { return os.Remove(name) },
		"moved":    func(_, name string) error { return os.Rename(name, name+".bak") },
		"replaced": func(_, name string) error { return replaceByACopy(name) },
		"with its directory": func(dir, _ string) error {
			return os.Rename(dir, dir+".bak")
		},
	}
	for how, move := range moves {
		for _, file := range []string{"ringback.db", "ringback.db-wal", "lock"} {
			for _, busy := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s %s, busy %t", file, how, busy), func(t *testing.T) {
					t.Parallel()
					dir := filepath.Join(t.TempDir(), "data")
					died := make(chan error, 100)
					s, err := Open(t.Context(), Config{Dir: dir, Die: func(err error) { died <- err }})
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() { _ = s.Close() }) // its files are no longer there
					if _, err := s.Join(t.Context(), store.Node{ID: "n"}); err != nil {
						t.Fatal(err)
					}
					if err := move(dir, filepath.Join(dir, file)); err != nil {
						t.Fatal(err)
					}
					if busy {
						if _, _, err := s.Submit(t.Context(), running(t, 10)); err == nil {
							t.Error("Submit afterwards: got nil, want an error")
						}
					}
					if err := <-died; !strings.Contains(err.Error(), file) && !strings.Contains(err.Error(), "ringback.db") {
						t.Errorf("the process ends for %q, want the file's name in it", err)
					}
				})
			}
		}
	}
}

func replaceByACopy(name string) error {
	content, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if err := os.WriteFile(name+".new", content, 0o600); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}

func TestADatabaseHeldFromOutsideKeepsWritersForOneTimeOutOnly(t *testing.T) {
	s := open(t, t.TempDir())
	outside, err := sql.Open("sqlite", "file:"+s.file)
	if err != nil {
		t.Fatal(err)
	}
	defer outside.Close()
	conn, err := outside.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	// Two batches at most: the first write alone, and all the others. Each has the
	// database's timeout. Waiting one after another they would need minutes.
	var group sync.WaitGroup
	for range 50 {
		group.Go(func() {
			if _, _, err := s.Submit(t.Context(), running(t, 10)); !errors.Is(err, store.ErrBusy) {
				t.Errorf("Submit: got %v, want ErrBusy", err)
			}
		})
	}
	group.Wait()
	if _, err := conn.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Submit(t.Context(), running(t, 10)); err != nil {
		t.Errorf("Submit once it is free: %v", err)
	}
}
