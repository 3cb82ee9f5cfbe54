//go:build unix

package sqlite

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/postgrestest"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/postgres"
	"github.com/ringback/ringback/internal/store/storetest"
)

// Whatever has happened in a store, all of it is there after the export to PostgreSQL, and
// what was running is freed.
func TestWalkThatIsCarriedOver(t *testing.T) {
	storetest.Walk(t, func(t testing.TB) storetest.Mover { return &carried{harness: newHarness(t), outer: t} })
}

// carried is a store in a directory that moves to a database.
type carried struct {
	*harness

	outer    testing.TB
	database *postgres.Store // nil before it moves
}

func (c *carried) Store() store.Store {
	if c.database == nil {
		return c.harness.Store()
	}
	return c.database
}

func (c *carried) Move(t testing.TB) {
	url := postgrestest.Database(t)
	c.Crash(t)
	want := keyOf(t, c.store)
	carryOver(t, c.store, url)
	sameTables(t, c.store, url)
	s, err := postgres.Open(context.Background(), postgres.Config{URL: url, Connections: 2})
	if err != nil {
		t.Fatalf("open the store: %v", err)
	}
	t.Cleanup(func() { s.Close() })
	c.database = s
	if got := keyOf(t, s); !bytes.Equal(got, want) {
		t.Errorf("Key: got %x, want that of the directory, %x", got, want)
	}
}

func keyOf(t testing.TB, s store.Store) []byte {
	key, err := s.SigningKey(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// carryOver copies a few jobs at a time, each time as if the previous run had been cut off.
func carryOver(t testing.TB, s *Store, url string) {
	ctx := context.Background()
	must := func(err error) {
		if err != nil {
			t.Fatalf("carry over: %v", err)
		}
	}
	state, err := s.State(ctx)
	must(err)
	has, err := s.Counts(ctx)
	must(err)
	for after := uuid.Nil; ; {
		i, err := postgres.OpenImport(ctx, postgres.Config{URL: url}, state)
		must(err)
		if i.After() != after {
			t.Fatalf("the import goes on behind %s, want %s", i.After(), after)
		}
		jobs, err := s.Export(ctx, after, 7)
		must(err)
		must(i.Put(ctx, jobs))
		if len(jobs) > 0 {
			after = jobs[len(jobs)-1].Job.ID
			i.Close()
			continue
		}
		holds, err := s.Holds(ctx)
		must(err)
		key, err := s.StoredSigningKey(ctx)
		must(err)
		stored, exact, err := i.Finish(ctx, has, holds, key)
		must(err)
		if stored != has || !exact {
			t.Fatalf("in the database are %+v (counted: %t), want %+v", stored, exact, has)
		}
		i.Close()
		return
	}
}

// sameTables checks that each row there is as it is here, column by column.
func sameTables(t testing.TB, s *Store, url string) {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	for _, table := range []string{"jobs", "attempts", "deliveries", "tries", "bodies", "holds", "secrets"} {
		here, there := columnsOf(t, conn, table)
		var want, got string
		err := s.readAll(ctx, func(q *reader) error {
			return q.row(`SELECT coalesce(group_concat(line, char(10)), '') FROM (SELECT ` + here + ` AS line FROM ` + table + ` ORDER BY line)`).Scan(&want)
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.QueryRow(ctx, `SELECT coalesce(string_agg(line, chr(10) ORDER BY line COLLATE "C"), '') FROM (SELECT `+there+` AS line FROM ringback.`+table+`) l`).Scan(&got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")); diff != "" {
			t.Errorf("rows of %s (-here +there):\n%s", table, diff)
		}
	}
}

// columnsOf returns all columns of a table as one text expression, for either side.
func columnsOf(t testing.TB, conn *pgx.Conn, table string) (here, there string) {
	rows, err := conn.Query(context.Background(), `
		SELECT column_name, data_type FROM information_schema.columns
		WHERE table_schema = 'ringback' AND table_name = $1 AND column_name <> 'error_code' ORDER BY column_name`, table)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var ours, theirs []string
	for rows.Next() {
		var name, kind string
		if err := rows.Scan(&name, &kind); err != nil {
			t.Fatal(err)
		}
		our, their := `coalesce(`+name+`, 'NULL')`, `coalesce(`+name+`::text, 'NULL')`
		switch {
		case kind == "uuid":
			our, their = `hex(coalesce(`+name+`, ''))`, `coalesce(upper(replace(`+name+`::text, '-', '')), '')`
		case kind == "bytea":
			our, their = `hex(coalesce(`+name+`, ''))`, `coalesce(upper(encode(`+name+`, 'hex')), '')`
		case kind == "boolean":
			their = name + `::int::text`
		case name == "options": // if the content is gone they are empty, in each store's own way
			our, their = `iif(content_gone, '', options)`, `CASE WHEN content_gone THEN '' ELSE options END`
		}
		ours, theirs = append(ours, our), append(theirs, their)
	}
	return strings.Join(ours, ` || '|' || `), strings.Join(theirs, ` || '|' || `)
}

func TestAnUnreadableJobIsCarriedOverAsSuch(t *testing.T) {
	h, url := newHarness(t), postgrestest.Database(t)
	for i, options := range []string{`{"events":["` + strings.Repeat("x", 1<<20) + `"]}`, `{"events":`} {
		n := running(t, i)
		n.Job.Status, n.Job.Node, n.Job.Fence, n.Job.StartedAt, n.Job.FirstStartedAt = ringback.Queued, "", 0, time.Time{}, time.Time{}
		if _, _, err := h.Store().Submit(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		h.Plant("jobs", "options", n.Job.ID, options)
	}
	carryOver(t, h.store, url)
	s, err := postgres.Open(t.Context(), postgres.Config{URL: url, Connections: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	jobs, _, err := s.List(t.Context(), store.Query{Project: "default", Limit: 10})
	if err != nil || len(jobs) != 2 || jobs[0].Unreadable == "" || jobs[1].Unreadable == "" {
		t.Errorf("List: got %+v, %v", jobs, err)
	}
}
