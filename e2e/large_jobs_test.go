//go:build siege && unix

package e2e_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"github.com/ringback/ringback"
)

// Sixteen honest callers with prompts of 31 MiB at a server in 1 GiB: what does not fit is
// refused with a 503 that says when to retry, the server keeps to its memory, and gets at
// least half as much done as for a single caller. Everything accepted is answered.
func TestHonestLargeJobsAreServedWithinTheMemory(t *testing.T) {
	// Not parallel: it measures times.
	phase := 8 * time.Second
	if long {
		phase = time.Minute
	}
	limit := newMemoryLimit(t, 1<<30)
	w := newWorld(t, setup{provider: goodAnswers()})
	w.command = limit.around(w.command)
	w.env = append(w.env, limit.env...)
	s := w.start()
	w.ready()
	watch, stop := limit.watch(s, func() string { return "large prompts" })
	defer stop()

	var slow error
	for range attacks { // the machine may give one of the phases less than the other
		if slow = halfAsGood(t, w, phase); slow == nil || t.Failed() || watch.fault() != "" {
			break
		}
		t.Log(slow)
	}
	t.Log(watch.figures())
	if fault := watch.fault(); fault != "" {
		t.Fatal(fault)
	}
	if slow != nil {
		t.Errorf("%d times in a row: %v", attacks, slow)
	}
	stop()
	s.terminate(syscall.SIGTERM)
}

// halfAsGood fails the test if a job went wrong. Its error means that 16 callers get less
// done than half of what one does.
func halfAsGood(t *testing.T, w *world, phase time.Duration) error {
	t.Helper()
	alone := largeCallers(t, w, 1, phase)
	together := largeCallers(t, w, 16, phase)
	t.Logf("alone: %s; 16 callers: %s", alone, together)
	for _, wrong := range append(alone.wrong, together.wrong...) {
		t.Error(wrong)
	}
	if 2*together.rate() < alone.rate() {
		return fmt.Errorf("16 callers get %.2f jobs a second done, want at least half of the %.2f of one", together.rate(), alone.rate())
	}
	return nil
}

// goodput is the outcome of some callers' large jobs.
type goodput struct {
	mu       sync.Mutex
	accepted []string
	refused  int
	wrong    []string
	took     time.Duration // until the last of them was answered
}

func (o *goodput) rate() float64 { return float64(len(o.accepted)) / o.took.Seconds() }

func (o *goodput) String() string {
	return fmt.Sprintf("%d accepted, %d refused for a while, all answered within %s: %.2f jobs/s", len(o.accepted), o.refused, o.took, o.rate())
}

func largeCallers(t *testing.T, w *world, callers int, d time.Duration) *goodput {
	t.Helper()
	o := &goodput{}
	begin := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for ctx.Err() == nil {
				if !sleep(ctx, o.submit(t.Context(), w)) {
					return
				}
			}
		})
	}
	all.Wait()
	for _, id := range o.accepted {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		job, err := w.api.Wait(ctx, id)
		cancel()
		if err != nil || job.Status != ringback.Completed {
			o.wrong = append(o.wrong, fmt.Sprintf("large job %s: %s %v", id, job.Status, err))
			break // the others are as bad
		}
	}
	o.took = time.Since(begin)
	return o
}

// submit submits one job, and returns how long to wait before the next.
func (o *goodput) submit(ctx context.Context, w *world) time.Duration {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	prompt := shape{"", `{"model":"sim/good","events":[],"prompt":"`, "all work and no play ", `"}`}
	body, length := prompt.body(31 << 20)
	req, _ := http.NewRequestWithContext(ctx, http.MethodPost, "http://127.0.0.1/api/generate", body)
	req.ContentLength = length
	req.Header.Set("Content-Type", "application/json")
	resp, err := w.http.Do(req)
	if err != nil {
		return o.note("", fmt.Sprintf("a large job: %v", err), time.Second)
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(resp.Body)
	after, _ := strconv.Atoi(resp.Header.Get("Retry-After")) // 0 if there is none
	switch {
	case resp.StatusCode == http.StatusAccepted:
		return o.note(gjson.GetBytes(answer, "job_id").Str, "", 0)
	case resp.StatusCode == http.StatusServiceUnavailable && after > 0:
		return o.note("", "", time.Duration(after)*time.Second)
	}
	return o.note("", fmt.Sprintf("a large job got %s, Retry-After %q: %.200s", resp.Status, resp.Header.Get("Retry-After"), answer), time.Second)
}

func (o *goodput) note(job, wrong string, pause time.Duration) time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case job != "":
		o.accepted = append(o.accepted, job)
	case wrong != "":
		o.wrong = append(o.wrong, wrong)
	default:
		o.refused++
	}
	return pause
}
