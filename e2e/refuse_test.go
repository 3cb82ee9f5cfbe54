package e2e_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/ringback/ringback"
)

// rush is clients that submit as fast as they can, and the responses.
type rush struct {
	mu       sync.Mutex
	accepted []string
	refused  map[string]int // sentence → how often
}

// submitAll submits requests concurrently. A refusal must be a 503 with a time to retry;
// anything else ends the test.
func (w *world) submitAll(n int, request func(i int) ringback.Request) *rush {
	w.t.Helper()
	l := &rush{refused: map[string]int{}}
	var g errgroup.Group
	g.SetLimit(48)
	for i := range n {
		g.Go(func() error {
			r := request(i)
			r.CallbackURL = w.callback
			accepted, err := w.api.Submit(w.t.Context(), r)
			l.mu.Lock()
			defer l.mu.Unlock()
			e, told := errors.AsType[*ringback.Error](err)
			switch {
			case err == nil:
				l.accepted = append(l.accepted, accepted.JobID)
			case told && e.Code == ringback.Unavailable && e.RetryAfterSeconds > 0:
				l.refused[e.Message]++
			default:
				return fmt.Errorf("request %d: %w", i, err)
			}
			return nil
		})
	}
	must(w.t, g.Wait())
	return l
}

// allDelivered checks that the answer of each accepted job is delivered.
func (w *world) allDelivered(l *rush) {
	w.t.Helper()
	for _, id := range l.accepted {
		if job := w.delivered(id); job.Status != ringback.Completed {
			w.t.Fatalf("job %s, which was accepted: got %s: %s", id, job.Status, job.Error)
		}
	}
}

// wantSome checks that some were accepted, and others refused in these words.
func (l *rush) wantSome(t *testing.T, sentence string) {
	t.Helper()
	n := 0
	for said, times := range l.refused {
		if !strings.Contains(said, sentence) {
			t.Errorf("refused %d times: %q, want %q", times, said, sentence)
		}
		n += times
	}
	if n == 0 || len(l.accepted) == 0 {
		t.Errorf("%d accepted and %d refused, want some of both", len(l.accepted), n)
	}
	t.Logf("%d accepted, %d refused", len(l.accepted), n)
}

func TestUnderLoadAFullQueueRefusesNewJobsAlone(t *testing.T) {
	w := newWorld(t, setup{})
	w.start("--concurrency", "4", "--max-queued", "50")
	w.ready()
	l := w.submitAll(400, func(i int) ringback.Request {
		return ringback.Request{Prompt: fmt.Sprint("job ", i), Model: "sim/echo?first=50ms"}
	})
	l.wantSome(t, "jobs are waiting, which is all that the server takes")
	w.allDelivered(l)
}

func TestUnderLoadFullMemoryRefusesNewJobsAlone(t *testing.T) {
	w := newWorld(t, setup{})
	w.env = append(w.env, "GOMEMLIMIT=64MiB") // a quarter of it for bodies and answers
	w.start()
	w.ready()
	large := strings.Repeat("all work and no play ", 4<<20/21)
	l := w.submitAll(20, func(i int) ringback.Request {
		return ringback.Request{Prompt: fmt.Sprint(i, large), Model: "sim/slow?words=5&pace=10ms", WebhookBody: ringback.WebhookThin}
	})
	l.wantSome(t, "as much as its memory allows")
	w.allDelivered(l)
}

func TestUnderLoadAFullDiskRefusesNewJobsAlone(t *testing.T) {
	w := newWorld(t, setup{})
	disk := newDisk(t, w)
	w.start("--concurrency", "8")
	w.ready()
	request := func(i int) ringback.Request {
		return ringback.Request{Prompt: fmt.Sprint("job ", i), Model: "sim/echo?first=20ms"}
	}
	before := w.submitAll(200, request) // many of them are waiting or running when the disk is full
	disk.fill()
	during := w.submitAll(200, request)
	if len(during.refused) == 0 {
		t.Error("nothing was refused on a full disk")
	}
	for said := range during.refused {
		if !strings.Contains(said, "disk is") {
			t.Errorf("refused: %q, want it to mention the disk", said)
		}
	}
	disk.empty()
	w.ready()
	w.allDelivered(before)
	w.allDelivered(during)
}
