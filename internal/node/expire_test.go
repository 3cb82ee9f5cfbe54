package node_test

import (
	"errors"
	"testing"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/node"
	"github.com/ringback/ringback/internal/store"
)

func TestAJobThatStillWaitsWhenItExpiresIsExpired(t *testing.T) {
	t.Parallel()
	w := start(t, setup{node: func(c *node.Config) {
		impatient(c)
		c.Concurrency = 1
	}})
	w.ask("sim/mute", "takes the slot")
	w.called("takes the slot", 1)
	at := time.Now().Add(2 * time.Second) // submitting may take some time
	j := w.submit(ringback.Request{Prompt: "waits", ExpiresAt: &ringback.Time{Time: at}})
	got := w.end(j.ID)
	if got.Status != ringback.Expired || got.EndedAt.Before(at.Truncate(time.Millisecond)) || got.Error == "" || got.ErrorDetail != nil {
		t.Errorf("got %+v, want expired not before %s", got, at)
	}
	if e := event(t, w.webhook(j.ID)); e.Type != ringback.EventExpired || e.Error != got.Error {
		t.Errorf("webhook: got %s %q", e.Type, e.Error)
	}
	w.wantCalls("waits", 0)
}

// expires_at bounds waiting: a call that runs by then may end.
func TestAJobThatRunsWhenItExpiresMayEnd(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	at := ringback.Time{Time: time.Now().Add(200 * time.Millisecond)}
	j := w.submit(ringback.Request{Model: "sim/echo?first=1500ms", ExpiresAt: &at})
	if got := w.end(j.ID); got.Status != ringback.Completed || !got.EndedAt.After(at.Time) {
		t.Errorf("got %s at %s, want completed after %s", got.Status, got.EndedAt, at)
	}
}

// A paid answer waits for space, and so do new jobs.
func TestAnAnswerIsKeptWhileTheDiskIsFull(t *testing.T) {
	t.Parallel()
	failing := &failingStore{err: store.ErrFull}
	failing.left.Store(2)
	w := start(t, setup{node: func(c *node.Config) { failing.Store, c.Store = c.Store, failing }})
	j := w.ask("sim/echo", "paid")
	w.eventually("that it is not ready", func() bool { return !w.node.Readiness().Ready })
	_, err := w.try(ringback.Request{Prompt: "meanwhile"})
	if err != nil { // the sweeper may have looked at the disk in between
		fault(t, err, ringback.Unavailable)
	}
	if used := w.node.MemoryUsed(); used == 0 {
		t.Error("an answer that is kept takes no memory")
	}
	got := w.end(j.ID)
	if got.Status != ringback.Completed || got.Attempts != 1 {
		t.Errorf("got %s after %d attempts, want completed by the first", got.Status, got.Attempts)
	}
	w.wantCalls("paid", 1)
	w.eventually("that it is ready", func() bool { return w.node.Readiness().Ready })
	w.webhook(j.ID)
}

// Whatever error the store returns: a job that is running here is settled by nobody else.
func TestASettleThatFailsIsTriedAgain(t *testing.T) {
	t.Parallel()
	failing := &failingStore{err: errors.New("database is locked")}
	failing.left.Store(2)
	w := start(t, setup{node: func(c *node.Config) { failing.Store, c.Store = c.Store, failing }})
	j := w.end(w.ask("sim/echo", "locked").ID)
	if j.Status != ringback.Completed || j.Attempts != 1 {
		t.Errorf("got %s after %d attempts, want completed by the first", j.Status, j.Attempts)
	}
	w.wantCalls("locked", 1)
	w.webhook(j.ID)
}
