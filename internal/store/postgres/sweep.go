package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/column"
	"github.com/ringback/ringback/internal/store/groupcommit"
)

// Sweep implements store.Nodes. Taking a lease away means deleting its row, without
// waiting: a locked row belongs to a node that is claiming at this moment, and is checked
// again later. What a node without a row holds is freed in steps, by any sweeper; nothing
// can be claimed in its name anymore.
func (s *Store) Sweep(ctx context.Context, by string, now time.Time, limit int, decide store.Decide) (store.Swept, error) {
	op := groupcommit.Op{Name: "sweep", Bytes: limit * rowBytes, First: true}
	return groupcommit.Commit(ctx, s.write, op, func(t *tx) (store.Swept, error) { return t.sweep(by, now, limit, decide) })
}

func (t *tx) sweep(by string, now time.Time, limit int, decide store.Decide) (swept store.Swept, err error) {
	if err := t.leased(by); err != nil {
		return swept, err
	}
	t.claims(by)
	err = t.query(func(rows pgx.Rows) error {
		var id string
		err := rows.Scan(&id)
		swept.Nodes = append(swept.Nodes, id)
		return err
	}, `DELETE FROM ringback.nodes WHERE id IN (
			SELECT id FROM ringback.nodes WHERE expires_at <= clock_timestamp() AND id <> $1 ORDER BY id FOR UPDATE SKIP LOCKED)
		RETURNING id`, by)
	if err != nil {
		return swept, err
	}
	t.writes += len(swept.Nodes)
	if len(swept.Nodes) > 0 {
		t.signals(store.SignalNodes)
	}
	orphaned, err := t.orphaned()
	if err != nil {
		return swept, err
	}
	if len(orphaned) > 0 {
		err = t.free(&swept, orphaned, now, limit, decide)
	}
	return swept, err
}

// orphaned returns the nodes without a lease that hold something.
func (t *tx) orphaned() (nodes []string, err error) {
	err = t.query(func(rows pgx.Rows) error {
		var id string
		err := rows.Scan(&id)
		nodes = append(nodes, id)
		return err
	}, `WITH RECURSIVE
			j AS (SELECT (SELECT min(node) FROM ringback.jobs WHERE `+column.IsRunning+`) AS node
				UNION ALL SELECT (SELECT min(node) FROM ringback.jobs WHERE `+column.IsRunning+` AND node > j.node) FROM j WHERE j.node IS NOT NULL),
			d AS (SELECT (SELECT min(node) FROM ringback.deliveries WHERE in_flight) AS node
				UNION ALL SELECT (SELECT min(node) FROM ringback.deliveries WHERE in_flight AND node > d.node) FROM d WHERE d.node IS NOT NULL)
		SELECT node FROM (SELECT node FROM j UNION SELECT node FROM d) held
		WHERE node IS NOT NULL AND NOT EXISTS (SELECT 1 FROM ringback.nodes n WHERE n.id = held.node)`)
	return nodes, err
}

// free frees what nodes without a lease hold.
func (t *tx) free(swept *store.Swept, nodes []string, now time.Time, limit int, decide store.Decide) error {
	jobs, err := t.lockJobs(column.IsRunning+` AND t.node = ANY ($1)`, "ORDER BY t.id LIMIT $2 FOR UPDATE SKIP LOCKED", nodes, limit)
	if err != nil {
		return err
	}
	deliveries, err := t.lockDeliveries(`t.in_flight AND t.node = ANY ($1)`, "ORDER BY t.id LIMIT $2 FOR UPDATE SKIP LOCKED", nodes, limit)
	if err != nil {
		return err
	}
	if swept.Jobs, err = t.applyAll(jobs, decide); err != nil {
		return err
	}
	for _, row := range deliveries {
		t.releaseDelivery(row, now)
	}
	swept.Deliveries = len(deliveries)
	return nil
}
