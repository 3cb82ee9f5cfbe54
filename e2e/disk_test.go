package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/simulate"
)

// disk is where a data directory is. fill leaves no space on it, empty frees it again.
type disk struct {
	fill, empty func()
	// full means that writes then fail. Otherwise the server only reads that nothing is
	// free.
	full bool
}

// newDisk makes a disk for the world's data directory: a separate file system if this user
// may mount one, shrunk to make it full. Otherwise the directory is named by a link that is
// redirected to where no space is free: the server keeps its files open, and the system
// then tells it that the disk is full.
func newDisk(t *testing.T, w *world) disk {
	t.Helper()
	mounted := t.TempDir()
	if exec.CommandContext(t.Context(), "mount", "-t", "tmpfs", "-o", "size=1g", "ringback-e2e", mounted).Run() == nil {
		t.Cleanup(func() { _ = exec.Command("umount", "-l", mounted).Run() }) // otherwise TempDir's cleanup would fail
		w.dir = filepath.Join(mounted, "data")
		resize := func(size string) error {
			return exec.CommandContext(t.Context(), "mount", "-o", "remount,size="+size, mounted).Run()
		}
		return disk{
			// A size of 0 would mean no bound, and one below the used size is refused: more
			// may be written meanwhile.
			fill: func() {
				t.Helper()
				eventually(t, "a file system of no more than is used", func() bool {
					return resize(fmt.Sprint(max(4096, usedBytes(t, mounted)))) == nil
				})
			},
			empty: func() {
				t.Helper()
				must(t, resize("1g"))
			},
			full: true,
		}
	}
	target, link := filepath.Join(t.TempDir(), "real"), filepath.Join(t.TempDir(), "data")
	must(t, os.Mkdir(target, 0o700))
	w.dir = link
	lead := func(to string) func() {
		return func() {
			t.Helper()
			must(t, os.Symlink(to, link+".new"))
			must(t, os.Rename(link+".new", link))
		}
	}
	lead(target)()
	return disk{fill: lead(withoutSpace(t)), empty: lead(target)}
}

// withoutSpace returns a file system that never has space: that of the devices or of the
// processes.
func withoutSpace(t *testing.T) string {
	t.Helper()
	for _, dir := range []string{"/proc", "/dev"} {
		if n, err := freeBytes(dir); err == nil && n == 0 {
			return dir
		}
	}
	t.Fatal("neither a file system can be mounted here, nor is there one without space")
	return ""
}

// A full disk: submissions get a 503 and when to retry, an answer that arrives meanwhile is
// not lost, and everything continues when there is space again.
func TestAFullDiskRefusesAndLosesNothing(t *testing.T) {
	t.Parallel()
	halfway := newBarrier(10)
	w := newWorld(t, setup{barrier: halfway})
	disk := newDisk(t, w)
	s := w.start()
	w.ready()
	before := w.submit(ringback.Request{Prompt: "in the middle", Model: "sim/slow?words=2000&pace=0s"})
	w.call(func(c simulate.Call) bool { return c.Words >= 10 })

	disk.fill()
	request := `{"prompt":"no room","model":"sim/echo","callback_url":"` + w.callback + `"}`
	eventually(t, "unready for want of space", func() bool { return w.readiness() == http.StatusServiceUnavailable })
	wantUnavailable(t, w, request)
	halfway.lift()
	w.call(func(c simulate.Call) bool { return c.End == simulate.Answered })
	if disk.full {
		s.says("trying again")
		if n := len(w.receiver.Deliveries()); n != 0 {
			t.Errorf("%d webhooks of an answer that is not stored", n)
		}
	}
	wantUnavailable(t, w, request)

	disk.empty()
	w.ready()
	if job := w.delivered(before); job.Status != ringback.Completed {
		t.Errorf("the job that ran when the disk was full is %s: %s", job.Status, job.Error)
	}
	after := w.submit(ringback.Request{Prompt: "room again", Model: "sim/echo"})
	w.delivered(after)
	s.terminate(syscall.SIGTERM)

	w.start()
	w.ready()
	for _, id := range []string{before, after} {
		if diff := cmp.Diff([]ringback.AttemptOutcome{ringback.AttemptAnswered}, w.outcomes(id)); diff != "" {
			t.Errorf("the ledger of %s (-want +got):\n%s", id, diff)
		}
	}
	if n := len(w.calls.Calls()); n != 2 {
		t.Errorf("%d calls of the provider, want 2", n)
	}
}

// A start on a full disk ends with one sentence.
func TestAStartOnAFullDiskSaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{})
	disk := newDisk(t, w)
	disk.fill()
	if disk.full {
		got := startFails(t, w.env, "--addr", "127.0.0.1:0", "--data", w.dir, "--config", w.config)
		wantRefusal(t, got, 5, `the disk of data directory .* is full; free up space, or use another with --data`)
		return
	}
	got := startFails(t, w.env, "--addr", "127.0.0.1:0", "--data", w.dir, "--config", w.config)
	wantRefusal(t, got, 5, `cannot be used|may not be read and written|read-only`)
}
