package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/simulate"
)

// The server's descriptors are used up, except those that it has: no call and no webhook
// that needs a new one can be made. That counts against nobody but the server.
func TestWhenDescriptorsRunOutNoJobAndNoWebhookLosesATry(t *testing.T) {
	t.Parallel()
	const jobs = 20
	const held = "answered while descriptors are out"
	halfway := newBarrier(1, held)
	w := newWorld(t, setup{barrier: halfway})
	s := w.start()
	var ids []string
	w.delivered(w.submit(ringback.Request{Prompt: "opens the connection that this test submits by", Model: "sim/echo"}))
	sockets := s.sockets()
	w.hangUp() // the next call and the next webhook need new ones
	eventually(t, "the server has closed the connections to provider and receiver", func() bool { return s.sockets() <= sockets-2 })
	ids = append(ids, w.submit(ringback.Request{Prompt: held, Model: "sim/echo"}))
	w.call(func(c simulate.Call) bool { return c.Prompt == held })

	restore := takeDescriptors(t, s.cmd.Process.Pid)
	for i := range jobs {
		ids = append(ids, w.submit(ringback.Request{Prompt: fmt.Sprintf("job %d to models that are called anew", i), Model: "sim/echo"}))
	}
	s.says("this machine has run short")
	halfway.lift() // its webhook finds no descriptor, either
	w.ended(ids[0])
	tried := w.measures(t)[shortOfDescriptors]
	eventually(t, "what waits has been tried again", func() bool { return w.measures(t)[shortOfDescriptors] > tried+jobs })
	select {
	case <-s.dead:
		t.Fatal("the server has ended")
	default:
	}
	if code := w.readiness(); code != http.StatusOK {
		t.Errorf("/readyz answers %d, want 200: jobs are taken, and wait", code)
	}
	restore()
	for _, id := range ids {
		job := w.delivered(id)
		if job.Status != ringback.Completed || job.Attempts != 1 {
			t.Errorf("job %s: %s after %d attempts, want completed by the first", id, job.Status, job.Attempts)
		}
		for _, o := range w.outcomes(id) {
			if o != ringback.AttemptReleased && o != ringback.AttemptAnswered {
				t.Errorf("job %s: an attempt is %s: our own shortage was counted against it", id, o)
			}
		}
		if d := job.Webhook; d.Tries != 1 || d.LastStatusCode != http.StatusOK {
			t.Errorf("job %s: got %+v, want the one try that arrived", id, d)
		}
	}
	if lines := s.lines("this machine has run short"); lines > 3 {
		t.Errorf("%d lines say that descriptors are out, want one for each spell", lines)
	}
	for _, hold := range []string{"provider_failing", "receiver_failing"} {
		if s.lines(hold) > 0 {
			t.Errorf("our own shortage began a hold: %s", hold)
		}
	}
}

// lines counts the lines of the log that contain text.
func (s *server) lines(text string) (n int) {
	for _, line := range s.tail(1 << 20) {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// shortOfDescriptors counts the calls and webhooks that found no descriptor.
const shortOfDescriptors = `ringback_shortages_total{resource="descriptors"}`

// sockets returns how many sockets the server has open.
func (s *server) sockets() (n int) {
	s.t.Helper()
	dir := filepath.Join("/proc", strconv.Itoa(s.cmd.Process.Pid), "fd")
	open, err := os.ReadDir(dir)
	must(s.t, err)
	for _, fd := range open {
		if to, err := os.Readlink(filepath.Join(dir, fd.Name())); err == nil && strings.HasPrefix(to, "socket:") {
			n++
		}
	}
	return n
}

// takeDescriptors leaves a process only the descriptors that it has, until restore is
// called.
func takeDescriptors(t *testing.T, pid int) (restore func()) {
	t.Helper()
	var before unix.Rlimit
	must(t, unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &before))
	highest := 0
	open, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(pid), "fd"))
	must(t, err)
	taken := map[int]bool{}
	for _, fd := range open {
		n, err := strconv.Atoi(fd.Name())
		must(t, err)
		taken[n] = true
		highest = max(highest, n)
	}
	lowest := 0
	for taken[lowest] {
		lowest++
	}
	short := before
	short.Cur = uint64(lowest) // no number below it is free
	must(t, unix.Prlimit(pid, unix.RLIMIT_NOFILE, &short, nil))
	return func() { must(t, unix.Prlimit(pid, unix.RLIMIT_NOFILE, &before, nil)) }
}
