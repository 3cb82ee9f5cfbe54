//go:build unix

package e2e_test

import (
	"fmt"
	"slices"
	"syscall"
	"testing"

	"github.com/ringback/ringback"
)

// Jobs that a kill or a drain interrupted continue before jobs that were already waiting:
// their callers have waited longest.
func TestWhatWasInterruptedRunsBeforeWhatCameLater(t *testing.T) {
	t.Parallel()
	const slots = 20
	for name, stop := range map[string]func(*server){
		"killed":  (*server).kill,
		"drained": func(s *server) { s.terminate(syscall.SIGTERM) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, setup{barrier: newBarrier(0)})
			flags := []string{"--concurrency", fmt.Sprint(slots), "--drain-timeout", "1ms"}
			s := w.start(flags...)
			w.ready()
			for n := range slots * 10 {
				w.submit(ringback.Request{Prompt: fmt.Sprintf("job %03d", n), Model: "sim/echo"})
			}
			first := w.callsOfProvider(slots)
			stop(s)
			w.start(flags...)
			again := w.callsOfProvider(2 * slots)[slots:]
			slices.Sort(first)
			slices.Sort(again)
			if !slices.Equal(first, again) {
				t.Errorf("called first after the restart:\n%q\nwant those that were interrupted:\n%q", again, first)
			}
		})
	}
}

// callsOfProvider waits for n calls, and returns their prompts in the order in which they
// began.
func (w *world) callsOfProvider(n int) (prompts []string) {
	w.t.Helper()
	eventually(w.t, fmt.Sprint(n, " calls"), func() bool { return len(w.calls.Calls()) >= n })
	for _, c := range w.calls.Calls()[:n] {
		prompts = append(prompts, c.Prompt)
	}
	return prompts
}
