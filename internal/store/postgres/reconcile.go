package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/ringback/ringback/internal/store/column"
	"github.com/ringback/ringback/internal/store/groupcommit"
)

// maxReconcile is how many rows Reconcile counts; with more it compares nothing.
const maxReconcile = 20_000

// Reconcile implements store.Maintenance. It also tidies up after writers that are gone.
func (s *Store) Reconcile(ctx context.Context) error {
	if err := s.tidy(ctx); err != nil {
		return fmt.Errorf("tidy the counters: %w", err)
	}
	counted, stored := map[counter]int{}, map[counter]int{}
	rows := 0
	err := s.read(ctx, askCounts(counted), question{`SELECT
		(SELECT count(*) FROM (SELECT 1 FROM ringback.jobs WHERE ` + column.IsQueued + ` LIMIT $1) a) +
		(SELECT count(*) FROM (SELECT 1 FROM ringback.deliveries WHERE ` + column.IsDue + ` LIMIT $1) b)`, []any{maxReconcile}, func(r pgx.Rows) error {
		return r.Scan(&rows)
	}})
	if err != nil || rows >= maxReconcile {
		return err
	}
	// Both are read in one state of the database, so they must agree.
	counted = map[counter]int{}
	err = s.read(ctx, askCounts(counted), question{`
		SELECT 'job', project, provider, model, count(*) FROM ringback.jobs WHERE ` + column.IsReady + ` GROUP BY project, provider, model
		UNION ALL SELECT 'suspect', '', '', '', count(*) FROM ringback.jobs WHERE ` + column.IsSuspect + `
		UNION ALL SELECT 'delivery', '', '', '', count(*) FROM ringback.deliveries WHERE ` + column.IsDue + `
		UNION ALL SELECT 'dead job', '', '', '', count(*) FROM ringback.jobs t WHERE ` + isDeadJob + `
		UNION ALL SELECT 'dead delivery', '', '', '', count(*) FROM ringback.deliveries t WHERE ` + isDeadDelivery, nil, func(r pgx.Rows) error {
		var c counter
		var n int
		err := r.Scan(&c.kind, &c.Project, &c.Provider, &c.Model, &n)
		stored[c] = n
		return err
	}})
	if err != nil {
		return err
	}
	return s.heal(ctx, counted, stored)
}

// heal corrects the counters that differ from what is stored.
func (s *Store) heal(ctx context.Context, counted, stored map[counter]int) error {
	var wrong error
	missing := map[counter]int{}
	for c := range counted {
		if _, known := stored[c]; !known {
			stored[c] = 0
		}
	}
	for c, n := range stored {
		if d := n - counted[c]; d != 0 {
			missing[c] = d
			wrong = errors.Join(wrong, fmt.Errorf("counter %s %v differs from the store and is set anew: %d counted, %d stored", c.kind, c.Lane, counted[c], n))
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return errors.Join(wrong, groupcommit.Exec(ctx, s.write, groupcommit.Op{}, func(t *tx) error {
		for c, n := range missing {
			t.count(c, n)
		}
		t.writes++
		return nil
	}))
}

// tidy collects the counters of writers that are gone, and deletes writers that no longer
// have a node.
func (s *Store) tidy(ctx context.Context) error {
	untidy := false
	err := s.read(ctx, question{
		`SELECT EXISTS (SELECT 1 FROM ringback.counters c WHERE ` + isOrphan + `) OR EXISTS (SELECT 1 FROM ringback.writers w WHERE ` + isLeft + `)`,
		nil, func(r pgx.Rows) error { return r.Scan(&untidy) },
	})
	if err != nil || !untidy {
		return err
	}
	return groupcommit.Exec(ctx, s.write, groupcommit.Op{}, func(t *tx) error {
		t.exec(`DELETE FROM ringback.writers w WHERE ` + isLeft)
		t.exec(`
			WITH gone AS (DELETE FROM ringback.counters c WHERE ` + isOrphan + ` RETURNING *)
			INSERT INTO ringback.counters AS c (writer, kind, project, provider, model, n)
			SELECT ` + noID + `::uuid, kind, project, provider, model, sum(n) FROM gone GROUP BY kind, project, provider, model ORDER BY kind, project, provider, model
			ON CONFLICT (writer, kind, project, provider, model) DO UPDATE SET n = c.n + excluded.n`)
		t.exec(`DELETE FROM ringback.counters WHERE writer = ` + noID + ` AND n = 0`)
		return nil
	})
}

const (
	// isOrphan selects counters of writers that are gone.
	isOrphan = `c.writer <> ` + noID + ` AND NOT EXISTS (SELECT 1 FROM ringback.writers w WHERE w.id = c.writer)`
	// isLeft selects writers of processes that must be gone. One that is not enrols anew.
	isLeft = `w.started_at < clock_timestamp() - interval '1 day' AND NOT EXISTS (SELECT 1 FROM ringback.nodes n WHERE n.process = w.id)`
)
