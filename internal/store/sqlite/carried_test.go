//go:build unix

package sqlite

import (
	"context"
	"testing"

	"github.com/google/uuid"

	"github.com/ringback/ringback/internal/postgrestest"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/postgres"
	"github.com/ringback/ringback/internal/store/storetest"
)

// Whatever has happened in a store, all of it is there when it was carried over to
// PostgreSQL, and what ran is freed.
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
	carryOver(t, c.store, url)
	s, err := postgres.Open(context.Background(), postgres.Config{URL: url, Connections: 2})
	if err != nil {
		t.Fatalf("open the store: %v", err)
	}
	t.Cleanup(func() { s.Close() })
	c.database = s
}

// carryOver carries a few jobs at a time, each time as if the one before had been
// cut off.
func carryOver(t testing.TB, s *Store, url string) {
	ctx := context.Background()
	must := func(err error) {
		if err != nil {
			t.Fatalf("carry over: %v", err)
		}
	}
	state, err := s.State(ctx)
	must(err)
	has, err := s.Amount(ctx)
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
		stored, exact, err := i.Finish(ctx, has, holds)
		must(err)
		if stored != has || !exact {
			t.Fatalf("in the database are %+v (counted: %t), want %+v", stored, exact, has)
		}
		i.Close()
		return
	}
}
