package postgres

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/ringback/ringback/internal/postgrestest"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/storetest"
)

func TestContract(t *testing.T) {
	storetest.Exercise(t, func(t testing.TB) storetest.Harness { return newHarness(t, postgrestest.Database(t)) })
}

// harness is a store in its own database.
type harness struct {
	t     testing.TB
	url   string
	mu    sync.Mutex
	store *Store
	all   []*Store
}

func newHarness(t testing.TB, url string) *harness {
	h := &harness{t: t, url: url}
	t.Cleanup(func() {
		for _, s := range h.all {
			s.Close()
		}
	})
	h.start(t)
	h.execute(invariants)
	return h
}

// invariants are what holds for the rows at all times. PostgreSQL parses checks for every
// statement that writes, so only tests have them.
const invariants = `
	ALTER TABLE ringback.jobs
		ADD CHECK (status BETWEEN 0 AND 5), ADD CHECK (priority BETWEEN 0 AND 9),
		ADD CHECK ((status >= 2) = (ended_at > 0)), ADD CHECK ((status = 1) = (node <> '')),
		ADD CHECK (NOT (cancel_requested AND status IN (0, 5)));
	ALTER TABLE ringback.deliveries
		ADD CHECK (status BETWEEN 0 AND 2), ADD CHECK (NOT (in_flight AND due_at IS NOT NULL)),
		ADD CHECK (in_flight = (node <> '')), ADD CHECK ((status > 0) = (ended_at > 0))`

func (h *harness) start(t testing.TB) {
	s, err := Open(context.Background(), Config{URL: h.url, Connections: 2})
	if err != nil {
		t.Fatalf("open the store: %v", err)
	}
	s.leases.lasts = time.Hour // the contract's clock is not the real one
	h.mu.Lock()
	defer h.mu.Unlock()
	h.store = s
	h.all = append(h.all, s)
}

func (h *harness) Store() store.Store {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.store
}

// Crash opens the database once more, with nothing that the dropped store had in memory.
func (h *harness) Crash(t testing.TB) {
	dead := h.store
	h.start(t)
	dead.Close()
}

func (h *harness) LoseCommit() {
	w := h.store.writer
	lose := func() error {
		w.afterCommit.Store(nil)
		return errors.New("the answer was lost")
	}
	w.afterCommit.Store(&lose)
}

func (h *harness) TakeLease(node string) {
	h.execute(`UPDATE ringback.nodes SET expires_at = clock_timestamp() - interval '1 second' WHERE id = $1`, node)
}

func (h *harness) LeasesSurvive() bool { return true }

func (h *harness) Plant(table, column string, id uuid.UUID, value string) {
	key := map[string]string{"attempts": "job", "tries": "delivery"}[table]
	h.execute(`UPDATE ringback.`+table+` SET `+column+` = $2 WHERE `+cmp.Or(key, "id")+` = $1`, id, value)
}

// FullDisk makes the server return the errors of a full disk.
func (h *harness) FullDisk() (restore func()) {
	h.execute(`CREATE OR REPLACE FUNCTION disk_full() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$`)
	tables := []string{"jobs", "attempts", "deliveries", "tries", "bodies", "holds", "counters"}
	for _, table := range tables {
		h.execute(`CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON ringback.` + table + ` FOR EACH STATEMENT EXECUTE FUNCTION disk_full()`)
	}
	return func() {
		for _, table := range tables {
			h.execute(`DROP TRIGGER full_disk ON ringback.` + table)
		}
	}
}

func (h *harness) execute(sql string, args ...any) {
	h.t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, h.url)
	if err != nil {
		h.t.Fatal(err)
	}
	defer conn.Close(ctx)
	if len(args) == 0 { // perhaps more than one statement
		args = []any{pgx.QueryExecModeSimpleProtocol}
	}
	if _, err := conn.Exec(ctx, sql, args...); err != nil {
		h.t.Fatal(err)
	}
}
