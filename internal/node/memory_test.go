package node_test

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/node"
	"github.com/ringback/ringback/internal/simulate"
)

func TestABodyThatMemoryHasNoRoomForIsRefused(t *testing.T) {
	t.Parallel()
	w := start(t, setup{node: func(c *node.Config) { c.Memory.Bodies = 1 << 20 }})
	body := w.node.BodiesMemory().Grant()
	body.Force(1 << 20)
	if w.node.BodiesMemory().Take(1) {
		t.Error("a full pool gave a byte")
	}
	if e := fault(t, w.node.NoRoomForBody(), ringback.Unavailable); e.RetryAfterSeconds < 1 {
		t.Errorf("Retry-After: got %d, want some seconds", e.RetryAfterSeconds)
	}
	if r := w.node.Readiness(); r.Ready || r.Checks["memory"] == "ok" {
		t.Errorf("readiness: got %+v, want not ready for memory", r)
	}
	body.Release()
	if used := w.node.MemoryUsed(); used != 0 {
		t.Errorf("after the release: %d bytes are taken", used)
	}
	w.wantJobs(0)
}

func TestWhileMemoryIsUsedUpNoJobStarts(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	release := w.node.FillAnswers()
	j := w.ask("sim/echo", "waits for memory")
	at := ringback.Time{Time: time.Now().Add(300 * time.Millisecond)}
	until := w.submit(ringback.Request{Prompt: "waits in vain", ExpiresAt: &at})
	if got := w.end(until.ID); got.Status != ringback.Expired {
		t.Errorf("got %s, want expired", got.Status)
	}
	w.wantCalls("waits for memory", 0)
	release()
	if got := w.end(j.ID); got.Status != ringback.Completed {
		t.Errorf("got %s, want completed", got.Status)
	}
}

// Each answer alone takes more than all the memory there is: one at a time may take more
// than its pool, or all would wait for each other.
func TestAnswersThatAreTooMuchTogetherComeOneAfterTheOther(t *testing.T) {
	t.Parallel()
	w := start(t, setup{node: func(c *node.Config) { c.Memory.Answers = 16 << 10 }})
	var ids []string
	for i := range 8 {
		ids = append(ids, w.ask("sim/echo?words=6000", fmt.Sprint("large ", i)).ID)
	}
	for _, id := range ids {
		if got := w.end(id); got.Status != ringback.Completed || len(*got.Result) < 20_000 {
			t.Errorf("got %s, want completed", got.Status)
		}
	}
	w.eventually("the memory to be free", func() bool { return w.node.MemoryUsed() == 0 })
}

// Large requests that wait for memory leave most slots to small ones, for which there is
// room.
func TestSmallJobsFindASlotWhileLargeOnesWaitForMemory(t *testing.T) {
	t.Parallel()
	w := start(t, setup{node: func(c *node.Config) { c.Concurrency, c.Memory.Answers = 4, 1<<20 }})
	noise := make([]byte, 200<<10)
	_, _ = rand.Read(noise)
	var large []ringback.Job
	for range 8 {
		large = append(large, w.ask("sim/mute", hex.EncodeToString(noise)))
	}
	w.eventually("a large job that is put back", func() bool {
		return slices.ContainsFunc(large, func(j ringback.Job) bool {
			attempts := w.ledger(j.ID)
			return len(attempts) > 0 && attempts[0].Outcome == ringback.AttemptReleased
		})
	})
	if got := w.end(w.ask("sim/echo", "small").ID); got.Status != ringback.Completed {
		t.Errorf("a small job: got %s, want completed", got.Status)
	}
	for _, j := range large {
		w.cancel(j.ID)
		if got := w.end(j.ID); got.Status != ringback.Cancelled {
			t.Errorf("a large job: got %s, want cancelled", got.Status)
		}
	}
	w.eventually("the memory to be free", func() bool { return w.node.MemoryUsed() == 0 })
}

func TestAnAnswerThatWaitsForMemoryCanBeCancelled(t *testing.T) {
	t.Parallel()
	const memory = 10 << 10
	held := make(chan struct{})
	w := start(t, setup{
		node: func(c *node.Config) { c.Memory.Answers = memory },
		hold: func(c simulate.Call) <-chan struct{} {
			if c.Prompt == "waits" {
				return held
			}
			return nil
		},
	})
	waits := w.ask("sim/echo?words=6000", "waits")
	w.called("waits", 1)
	overdraws := w.ask("sim/silent-5000?words=6000", "overdraws")
	w.eventually("the overdraft", func() bool { return w.node.MemoryUsed() > memory })
	close(held)
	w.call(func(c simulate.Call) bool { return c.Prompt == "waits" && c.Words > 0 })
	for _, j := range []ringback.Job{waits, overdraws} {
		w.cancel(j.ID)
		if got := w.end(j.ID); got.Status != ringback.Cancelled {
			t.Errorf("got %s, want cancelled", got.Status)
		}
	}
	w.eventually("the memory to be free", func() bool { return w.node.MemoryUsed() == 0 })
}
