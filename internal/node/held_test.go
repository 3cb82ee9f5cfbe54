package node_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/node"
	"github.com/ringback/ringback/internal/reading"
	"github.com/ringback/ringback/internal/refusal"
)

// syncBuffer is a log that is read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) count(text string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Count(b.b.String(), text)
}

func TestEachCallSaysThatAnotherProgramHoldsTheDatabaseWhichComesBackByItself(t *testing.T) {
	t.Parallel()
	log := &syncBuffer{}
	w := start(t, setup{node: func(c *node.Config) { c.Logger = slog.New(slog.NewTextHandler(log, nil)) }})
	ended := w.end(w.ask("sim/echo", "before").ID)
	w.settledDelivery(ended.ID)
	later := w.submit(ringback.Request{Prompt: "waits", CallbackURL: w.callback, RunAt: &ringback.Time{Time: time.Now().Add(time.Hour)}})
	release := w.holdDatabase()

	w.eventually("unready", func() bool {
		r := w.node.Readiness()
		return !r.Ready && strings.HasPrefix(r.Checks["database"], "held by another program since")
	})
	all := ringback.DeadAction{DeadFilter: ringback.DeadFilter{Kind: ringback.DeadJob}, All: true}
	moves := map[string]func(context.Context) error{
		"submit": func(context.Context) error {
			_, err := w.try(ringback.Request{Prompt: "now", CallbackURL: w.callback})
			return err
		},
		"cancel": func(ctx context.Context) error { _, err := w.node.Cancel(ctx, "default", later.ID); return err },
		"erase":  func(ctx context.Context) error { return w.node.Erase(ctx, "default", ended.ID) },
		"redeliver": func(ctx context.Context) error {
			_, err := w.node.Redeliver(ctx, "default", ended.ID, ringback.Redelivery{})
			return err
		},
	}
	var asking sync.WaitGroup
	for name, move := range moves {
		asking.Go(func() {
			began := time.Now()
			err := move(context.Background())
			refusal := refusal.Unavailable(err)
			if known := new(ringback.Error); errors.As(err, &known) {
				refusal = known
			}
			if refusal == nil || refusal.Code != ringback.Unavailable || refusal.RetryAfterSeconds == 0 {
				t.Errorf("%s: got %v, want unavailable, and when to retry", name, err)
			}
			if took := time.Since(began); took > 15*time.Second {
				t.Errorf("%s: the error came after %s", name, took)
			}
		})
	}
	asking.Wait()
	// Reads go on.
	if j := w.job(ended.ID); j.Status != ringback.Completed {
		t.Errorf("a read: got %s", j.Status)
	}
	if _, err := w.node.DeadJobs(t.Context(), "default", reading.DeadPage{Filter: all.DeadFilter, Limit: 10}); err != nil {
		t.Errorf("a list: %v", err)
	}
	release()
	w.eventually("ready again", func() bool { return w.node.Readiness().Ready })
	if j := w.end(w.ask("sim/echo", "after").ID); j.Status != ringback.Completed {
		t.Errorf("after it all: %s", j.Status)
	}
	for text, most := range map[string]int{"another program holds the database": 1, "the database is not held any more": 1, "level=ERROR": 0} {
		if n := log.count(text); n > most {
			t.Errorf("%d lines with %q, want at most %d", n, text, most)
		}
	}
}

// holdDatabase locks the store for writing, as another program might.
func (w *world) holdDatabase() (release func()) {
	w.t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(w.dir, "ringback.db"))
	must(w.t, err)
	db.SetMaxOpenConns(1)
	release = sync.OnceFunc(func() { must(w.t, db.Close()) })
	w.t.Cleanup(release)
	w.eventually("the lock", func() bool {
		_, err := db.ExecContext(w.t.Context(), "BEGIN IMMEDIATE")
		return err == nil
	})
	return release
}
