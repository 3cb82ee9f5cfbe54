package e2e_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ringback/ringback"
)

// A write to a file whose name is gone is synced, and is gone after a restart. So no
// submission is accepted from then on, the process ends with code 6 and says why, and, if
// the files still exist somewhere, nothing accepted is lost.
func TestAMovedDataDirectoryEndsTheServerBeforeItAcceptsMore(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		file   string // "" is the directory
		remove bool   // it is removed instead of moved
	}{
		{"the directory is moved", "", false},
		{"the directory is removed", "", true},
		{"the database is moved", "ringback.db", false},
		{"the database is removed", "ringback.db", true},
		{"the WAL is moved", "ringback.db-wal", false},
		{"the WAL is removed", "ringback.db-wal", true},
		{"the lock is removed", "lock", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, setup{})
			s := w.start()
			w.ready()
			before := w.submit(ringback.Request{Prompt: "before", Model: "sim/echo"})
			w.delivered(before)

			path, aside := filepath.Join(w.dir, c.file), filepath.Join(t.TempDir(), "aside")
			if c.remove {
				must(t, os.RemoveAll(path))
			} else {
				must(t, os.Rename(path, aside))
			}
			for _, wrong := range acceptedFrom(w, s) {
				t.Error(wrong)
			}
			if code := s.ends(); code != 6 {
				t.Errorf("the server ended with %d, want 6", code)
			}
			if log := strings.Join(s.tail(10), "\n"); !strings.Contains(log, w.dir) || !strings.Contains(log, "while the server ran") {
				t.Errorf("the server does not say which file of %s is gone:\n%s", w.dir, log)
			}
			if c.remove {
				return
			}
			must(t, os.Rename(aside, path))
			w.start()
			w.ready()
			if job := w.ended(before); job.Status != ringback.Completed {
				t.Errorf("the job from before is %s", job.Status)
			}
		})
	}
}

// acceptedFrom submits from several callers until the server is dead, or has accepted what
// it must not, and returns that.
func acceptedFrom(w *world, s *server) (accepted []string) {
	answers := make(chan string, 4)
	var all sync.WaitGroup
	for caller := range cap(answers) {
		all.Go(func() {
			for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
				body := fmt.Sprintf(`{"prompt":"job of %d","model":"sim/echo","callback_url":%q}`, caller, w.callback)
				resp, err := w.http.Post("http://127.0.0.1/api/generate", "application/json", strings.NewReader(body))
				if err == nil {
					answer, _ := io.ReadAll(resp.Body)
					resp.Body.Close()
					if resp.StatusCode == http.StatusAccepted {
						answers <- "accepted by a server whose files are gone: " + string(answer)
						return
					}
				}
				select {
				case <-s.dead:
					return
				default:
				}
			}
		})
	}
	all.Wait()
	close(answers)
	for a := range answers {
		accepted = append(accepted, a)
	}
	return accepted
}
