package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/column"
)

const (
	// leaseLasts is how long a lease lasts on the database's clock.
	leaseLasts = 8 * time.Second
	// renewTimeout bounds a query about a lease: it must not delay the next renewal for
	// long.
	renewTimeout = 3 * time.Second
)

// leases are those of this process's nodes. They have their own connection, so that neither
// writes nor reads delay a renewal.
type leases struct {
	dial    *dialer
	process uuid.UUID
	lasts   time.Duration

	turn sync.Mutex // held while using conn
	conn *pgx.Conn

	mu    sync.Mutex
	nodes map[string]bool
}

func newLeases(dial *dialer, process uuid.UUID) *leases {
	return &leases{dial: dial, process: process, lasts: leaseLasts, nodes: map[string]bool{}}
}

func (l *leases) close() error {
	l.turn.Lock()
	defer l.turn.Unlock()
	if l.conn != nil {
		closeConn(l.conn)
	}
	return nil
}

// mine reports whether a node is one of this process's.
func (l *leases) mine(node string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.nodes[node]
}

// all reports whether all of some nodes are this process's.
func (l *leases) all(nodes []store.Node) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !slices.ContainsFunc(nodes, func(n store.Node) bool { return !l.nodes[n.ID] })
}

func (l *leases) note(node string, here bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if here {
		l.nodes[node] = true
	} else {
		delete(l.nodes, node)
	}
}

// ask makes one round trip on the leases' connection; one more if that has turned out to be
// broken, perhaps since a restart of the server.
func (l *leases) ask(ctx context.Context, questions func(b *pgx.Batch), read func(pgx.BatchResults) error) error {
	l.turn.Lock()
	defer l.turn.Unlock()
	ctx, cancel := context.WithTimeout(ctx, renewTimeout)
	defer cancel()
	used := l.conn != nil && !l.conn.IsClosed()
	err := l.askOnce(ctx, questions, read)
	if used && broken(err) {
		err = l.askOnce(ctx, questions, read)
	}
	return fault(err)
}

func (l *leases) askOnce(ctx context.Context, questions func(b *pgx.Batch), read func(pgx.BatchResults) error) (err error) {
	if l.conn == nil || l.conn.IsClosed() {
		if l.conn, err = l.dial.connect(ctx); err != nil {
			l.conn = nil
			return err
		}
	}
	b := &pgx.Batch{}
	questions(b)
	results := l.conn.SendBatch(ctx, b)
	defer func() {
		err = errors.Join(err, results.Close())
		leaveReplica(l.conn, err)
	}()
	return read(results)
}

const selectNodes = `SELECT id, machine, version, url, api, worker, joined_at, expires_at
	FROM ringback.nodes WHERE expires_at > clock_timestamp() ORDER BY id`

func scanNode(rows pgx.Rows) (n store.Node, err error) {
	err = rows.Scan(&n.ID, &n.Machine, &n.Version, &n.URL, &n.API, &n.Worker, &n.JoinedAt, &n.ExpiresAt)
	n.JoinedAt, n.ExpiresAt = n.JoinedAt.UTC().Truncate(time.Millisecond), n.ExpiresAt.UTC().Truncate(time.Millisecond)
	return n, err
}

// Join implements store.Nodes.
func (s *Store) Join(ctx context.Context, n store.Node) (store.Lease, error) {
	lease, err := s.lease(ctx, `
		INSERT INTO ringback.nodes (id, process, machine, version, url, api, worker, joined_at, expires_at)
		VALUES ($1, $3, $4, $5, $6, $7, $8, clock_timestamp(), clock_timestamp() + $2::interval)
		ON CONFLICT (id) DO UPDATE SET expires_at = excluded.expires_at
		RETURNING clock_timestamp()`, n.ID, s.leases.lasts, s.leases.process, clean(n.Machine), clean(n.Version), clean(n.URL), n.API, n.Worker)
	if err != nil {
		return lease, fmt.Errorf("join: %w", err)
	}
	s.leases.note(n.ID, true)
	s.signals.raise(store.SignalNodes)
	return lease, nil
}

// Renew implements store.Nodes.
func (s *Store) Renew(ctx context.Context, id string) (store.Lease, error) {
	lease, err := s.lease(ctx, `UPDATE ringback.nodes SET expires_at = clock_timestamp() + $2::interval WHERE id = $1 RETURNING clock_timestamp()`, id, s.leases.lasts)
	if errors.Is(err, pgx.ErrNoRows) {
		s.leases.note(id, false)
		s.held.drop(id)
		err = store.ErrSwept
	}
	if err != nil {
		return store.Lease{}, fmt.Errorf("renew the lease of node %s: %w", id, err)
	}
	return lease, nil
}

// lease runs a statement that grants a lease and returns the time, and lists the nodes that
// are live then.
func (s *Store) lease(ctx context.Context, sql string, args ...any) (lease store.Lease, err error) {
	questions := func(b *pgx.Batch) {
		b.Queue(sql, args...)
		b.Queue(selectNodes)
	}
	err = s.leases.ask(ctx, questions, func(results pgx.BatchResults) error {
		lease = store.Lease{}
		if err := results.QueryRow().Scan(&lease.Now); err != nil {
			return err
		}
		return eachRow(results, func(rows pgx.Rows) error {
			n, err := scanNode(rows)
			lease.Nodes = append(lease.Nodes, n)
			return err
		})
	})
	lease.Lasts, lease.Now = s.leases.lasts, lease.Now.UTC()
	if err == nil {
		s.signals.alone.Store(s.leases.all(lease.Nodes))
	}
	return lease, err
}

// Leave implements store.Nodes.
func (s *Store) Leave(ctx context.Context, id string) error {
	err := s.leases.ask(ctx, func(b *pgx.Batch) { b.Queue(`DELETE FROM ringback.nodes WHERE id = $1`, id) }, func(results pgx.BatchResults) error {
		_, err := results.Exec()
		return err
	})
	if err != nil {
		return fmt.Errorf("leave: %w", err)
	}
	s.leases.note(id, false)
	s.held.drop(id)
	s.signals.raise(store.SignalNodes)
	return nil
}

// Nodes implements store.Nodes.
func (s *Store) Nodes(ctx context.Context) (nodes []store.Node, err error) {
	err = s.read(ctx, question{selectNodes, nil, func(rows pgx.Rows) error {
		n, err := scanNode(rows)
		nodes = append(nodes, n)
		return err
	}})
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	return nodes, nil
}

// Held implements store.Nodes.
func (s *Store) Held(ctx context.Context, id string) (held store.Held, err error) {
	err = s.read(ctx,
		question{`SELECT id, fence, cancel_requested FROM ringback.jobs WHERE ` + column.IsRunning + ` AND node = $1`, []any{id}, func(rows pgx.Rows) error {
			var job [16]byte
			var ref store.Ref
			var cancelled bool
			err := rows.Scan(&job, &ref.Fence, &cancelled)
			ref.ID = job
			held.Jobs = append(held.Jobs, ref)
			if cancelled {
				s.held.forget(ref.ID) // another process changed it: settling it must read it
				held.Cancelled = append(held.Cancelled, ref)
			}
			return err
		}},
		question{`SELECT id, fence FROM ringback.deliveries WHERE in_flight AND node = $1`, []any{id}, func(rows pgx.Rows) error {
			var delivery [16]byte
			var ref store.Ref
			err := rows.Scan(&delivery, &ref.Fence)
			ref.ID = delivery
			held.Deliveries = append(held.Deliveries, ref)
			return err
		}})
	if err != nil {
		return store.Held{}, fmt.Errorf("what node %s holds: %w", id, err)
	}
	return held, nil
}

// leased requires that a node has a lease. It is for moves that may have nothing to write
// in the node's name; what they write is checked once more, at the end.
func (t *tx) leased(node string) error {
	leased := false
	err := t.row([]any{&leased}, `SELECT EXISTS (SELECT 1 FROM ringback.nodes WHERE id = $1 AND expires_at > clock_timestamp())`, node)
	if err == nil && !leased {
		err = store.ErrNoLease
	}
	return err
}
