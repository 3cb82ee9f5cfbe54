package postgres

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/postgrestest"
	"github.com/ringback/ringback/internal/store"
)

// lock has another program run a statement in a transaction that stays open until release.
func lock(t *testing.T, url, sql string, args ...any) (release func()) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	release = sync.OnceFunc(func() { _ = conn.Close(context.Background()) })
	t.Cleanup(release)
	for _, s := range []struct {
		sql  string
		args []any
	}{{"BEGIN", nil}, {sql, args}} {
		if _, err := conn.Exec(t.Context(), s.sql, s.args...); err != nil {
			t.Fatal(err)
		}
	}
	return release
}

func TestARowThatAnotherProgramLocksKeepsNobodyElseWaitingForLong(t *testing.T) {
	t.Parallel()
	url := postgrestest.Database(t)
	s := open(t, Config{URL: url})
	join(t, s, "here")
	locked := submit(t, s, "here")
	release := lock(t, url, `SELECT 1 FROM ringback.jobs WHERE id = $1 FOR UPDATE`, locked.ID)

	settled := make(chan error, 1)
	go func() { // like a node
		pause := time.NewTicker(200 * time.Millisecond)
		defer pause.Stop()
		for {
			_, err := s.Settle(context.Background(), locked.Ref(), answered(now()))
			if !errors.Is(err, store.ErrBusy) {
				settled <- err
				return
			}
			<-pause.C
		}
	}()
	slow, slowest := 0, time.Duration(0)
	pace := time.NewTicker(10 * time.Millisecond)
	defer pace.Stop()
	for began := time.Now(); time.Since(began) < 4*time.Second; <-pace.C {
		asked := time.Now()
		submit(t, s, "")
		took := time.Since(asked)
		slowest = max(slowest, took)
		if took > time.Second {
			slow++
		}
	}
	t.Logf("the slowest of the others took %s", slowest)
	if slowest > 3*time.Second || slow > 3 {
		t.Errorf("%d of the others took longer than a second, the slowest %s", slow, slowest)
	}
	release()
	if err := <-settled; err != nil {
		t.Errorf("settle after the release: %v", err)
	}
	j, _, err := s.Job(t.Context(), "default", locked.ID, 0)
	if err != nil || j.Status != ringback.Completed {
		t.Errorf("got %s, %v, want completed", j.Status, err)
	}
}

func TestATableThatAnotherProgramLocksIsToldToAllWhoWait(t *testing.T) {
	t.Parallel()
	url := postgrestest.Database(t)
	s := open(t, Config{URL: url})
	release := lock(t, url, `LOCK TABLE ringback.jobs IN ACCESS EXCLUSIVE MODE`)
	const callers = 200
	var all sync.WaitGroup
	errs := make([]error, callers)
	began := time.Now()
	for i := range callers {
		n := newJob(t, "")
		all.Go(func() { _, _, errs[i] = s.Submit(context.Background(), n) })
	}
	all.Wait()
	if took := time.Since(began); took > 20*time.Second { // one by one they would wait for minutes
		t.Errorf("the errors came after %s, want a few seconds", took)
	}
	for i, err := range errs {
		if !errors.Is(err, store.ErrBusy) {
			t.Fatalf("caller %d: got %v, want ErrBusy", i, err)
		}
	}
	if _, _, err := s.Job(t.Context(), "default", newJob(t, "").Job.ID, 0); !errors.Is(err, store.ErrBusy) {
		t.Errorf("a read: got %v, want ErrBusy", err)
	}
	release()
	submit(t, s, "")
}
