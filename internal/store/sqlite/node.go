package sqlite

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/column"
)

// nodes are those that have a lease. A lease lasts as long as the process, so they are only
// in memory: what an earlier process claimed belongs to no node.
type nodes struct {
	mu     sync.Mutex
	leases map[string]*lease // by the node's id
}

type lease struct {
	node store.Node
	// over is only set by tests: the lease has ended, and has not been swept yet.
	over bool
}

func newNodes() *nodes { return &nodes{leases: map[string]*lease{}} }

// mayClaim refuses a node that has no lease.
func (n *nodes) mayClaim(id string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if l := n.leases[id]; l == nil || l.over {
		return store.ErrNoLease
	}
	return nil
}

// sorted returns those whose lease is not over, oldest first, and the ids of the others.
func (n *nodes) sorted() (living []store.Node, dead []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for id, l := range n.leases {
		if l.over {
			dead = append(dead, id)
		} else {
			living = append(living, l.node)
		}
	}
	slices.SortFunc(living, func(a, b store.Node) int { return cmp.Compare(a.ID, b.ID) })
	slices.Sort(dead)
	return living, dead
}

func (n *nodes) remove(ids ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, id := range ids {
		delete(n.leases, id)
	}
}

// Join implements store.Nodes.
func (s *Store) Join(ctx context.Context, n store.Node) (store.Lease, error) {
	n.JoinedAt = column.Time(time.Now().UnixMilli())
	s.nodes.mu.Lock()
	if s.nodes.leases[n.ID] == nil { // otherwise the call is repeated
		s.nodes.leases[n.ID] = &lease{node: n}
	}
	s.nodes.mu.Unlock()
	return s.Renew(ctx, n.ID)
}

// Renew implements store.Nodes.
func (s *Store) Renew(ctx context.Context, id string) (store.Lease, error) {
	if err := s.nodes.renew(id); err != nil {
		return store.Lease{}, fmt.Errorf("renew the lease of %s: %w", id, err)
	}
	living, err := s.Nodes(ctx)
	return store.Lease{Nodes: living}, err
}

func (n *nodes) renew(id string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.leases[id]
	if l == nil {
		return store.ErrSwept
	}
	l.over = false
	return nil
}

// Leave implements store.Nodes.
func (s *Store) Leave(_ context.Context, id string) error {
	s.nodes.remove(id)
	return nil
}

// Nodes implements store.Nodes.
func (s *Store) Nodes(context.Context) ([]store.Node, error) {
	living, _ := s.nodes.sorted()
	return living, nil
}

// Held implements store.Nodes.
func (s *Store) Held(ctx context.Context, id string) (held store.Held, err error) {
	err = s.read(ctx, func(q *reader) error {
		err := eachRef(q, `SELECT id, fence, cancel_requested FROM jobs WHERE `+column.IsRunning+` AND node = ? ORDER BY id`, id, func(ref store.Ref, cancelled bool) {
			held.Jobs = append(held.Jobs, ref)
			if cancelled {
				held.Cancelled = append(held.Cancelled, ref)
			}
		})
		return errors.Join(err, eachRef(q, `SELECT id, fence, 0 FROM deliveries WHERE in_flight = 1 AND node = ? ORDER BY id`, id, func(ref store.Ref, _ bool) {
			held.Deliveries = append(held.Deliveries, ref)
		}))
	})
	if err != nil {
		return store.Held{}, fmt.Errorf("what %s holds: %w", id, err)
	}
	return held, nil
}

// eachRef reads (id, fence, flag) rows of a query about one node.
func eachRef(q *reader, query, node string, f func(ref store.Ref, flag bool)) error {
	rows, err := q.rows(query, node)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id []byte
		var ref store.Ref
		var flag bool
		if err := rows.Scan(&id, &ref.Fence, &flag); err != nil {
			return err
		}
		ref.ID = uuid.UUID(id)
		f(ref, flag)
	}
	return rows.Err()
}
