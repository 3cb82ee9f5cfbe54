package node_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback/internal/node"
	"github.com/ringback/ringback/internal/store"
)

// leaseLasts is how long a lease lasts in these tests: a twentieth of what it does on
// PostgreSQL, and so is everything derived from it.
const leaseLasts = 400 * time.Millisecond

// cluster makes one SQLite store that of several nodes: their leases run out, each gets
// signals of what the others have moved, and each can be cut off.
type cluster struct {
	lasts  time.Duration // of a lease
	silent bool          // signals are lost
	ahead  time.Duration // by how much the store's clock is ahead of this machine's

	mu    sync.Mutex
	until map[string]time.Time // of each lease
	links map[*link]func(store.Signal)
}

func newCluster() *cluster {
	return &cluster{lasts: leaseLasts, until: map[string]time.Time{}, links: map[*link]func(store.Signal){}}
}

// link is a node's way to the store. It can fail.
type link struct {
	store.Store
	cluster *cluster

	down atomic.Bool // nothing goes through
	deaf atomic.Bool // renewals don't
	// claimed, if it is not nil, delays the answer of the next claim: the first receive
	// from it means that the claim is committed, the second lets its answer go.
	claimed chan struct{}
	// lose and loseDeliveries are how many answers are lost after the commit: of claims,
	// also on insert, and of claims of deliveries.
	lose, loseDeliveries atomic.Int64
	asked                atomic.Int64 // calls of Join and Renew

	mu      sync.Mutex
	refused map[string]int // calls while nothing went through, by their names
}

func (c *cluster) link(s store.Store) *link { return &link{Store: s, cluster: c} }

// check fails while nothing goes through.
func (l *link) check(call string) error {
	if l.down.Load() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.refused == nil {
			l.refused = map[string]int{}
		}
		l.refused[call]++
		return fmt.Errorf("dial: %w", store.ErrUnavailable)
	}
	return nil
}

// refusals returns how many calls of a name failed since nothing went through.
func (l *link) refusals(call string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.refused[call]
}

// signal signals to all others.
func (l *link) signal(s store.Signal) {
	if l.cluster.silent {
		return
	}
	l.cluster.mu.Lock()
	defer l.cluster.mu.Unlock()
	for other, f := range l.cluster.links {
		if other != l && !other.down.Load() {
			f(s)
		}
	}
}

func (l *link) Watch(f func(store.Signal)) {
	l.cluster.mu.Lock()
	defer l.cluster.mu.Unlock()
	l.cluster.links[l] = f
}

func (l *link) Join(ctx context.Context, n store.Node) (store.Lease, error) {
	l.asked.Add(1)
	if err := l.check("Join"); err != nil {
		return store.Lease{}, err
	}
	lease, err := l.Store.Join(ctx, n)
	l.signal(store.SignalNodes)
	return l.cluster.lengthen(n.ID, lease, err)
}

func (l *link) Renew(ctx context.Context, id string) (store.Lease, error) {
	l.asked.Add(1)
	if err := l.check("Renew"); err != nil {
		return store.Lease{}, err
	}
	if l.deaf.Load() {
		return store.Lease{}, fmt.Errorf("dial: %w", store.ErrUnavailable)
	}
	lease, err := l.Store.Renew(ctx, id)
	return l.cluster.lengthen(id, lease, err)
}

func (c *cluster) lengthen(id string, lease store.Lease, err error) (store.Lease, error) {
	if err != nil {
		return lease, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	c.until[id] = now.Add(c.lasts)
	lease.Lasts, lease.Now = c.lasts, now.Add(c.ahead)
	lease.Nodes = slices.DeleteFunc(lease.Nodes, func(n store.Node) bool { return now.After(c.until[n.ID]) })
	return lease, nil
}

func (l *link) Leave(ctx context.Context, id string) error {
	if err := l.check("Leave"); err != nil {
		return err
	}
	err := l.Store.Leave(ctx, id)
	l.signal(store.SignalNodes)
	return err
}

// Sweep ends the leases that have run out: the store itself knows only that a node has
// left.
func (l *link) Sweep(ctx context.Context, by string, now time.Time, limit int, d store.Decide) (store.Swept, error) {
	if err := l.mayClaim(by); err != nil {
		return store.Swept{}, err
	}
	over := l.cluster.takeOver()
	for _, id := range over {
		if err := l.Store.Leave(ctx, id); err != nil {
			return store.Swept{}, err
		}
	}
	swept, err := l.Store.Sweep(ctx, by, now, limit, d)
	swept.Nodes = over
	l.signal(store.SignalJobs | store.SignalDeliveries)
	return swept, err
}

func (c *cluster) takeOver() (over []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, until := range maps.Clone(c.until) {
		if time.Now().After(until) {
			over = append(over, id)
			delete(c.until, id)
		}
	}
	return over
}

// mayClaim fails if the lease of the node has run out.
func (l *link) mayClaim(id string) error {
	if err := l.check("mayClaim"); err != nil {
		return err
	}
	l.cluster.mu.Lock()
	defer l.cluster.mu.Unlock()
	if until, ok := l.cluster.until[id]; !ok || time.Now().After(until) {
		return store.ErrNoLease
	}
	return nil
}

func (l *link) Held(ctx context.Context, id string) (store.Held, error) {
	if err := l.check("Held"); err != nil {
		return store.Held{}, err
	}
	return l.Store.Held(ctx, id)
}

func (l *link) Submit(ctx context.Context, n store.NewJob) (store.Job, bool, error) {
	if err := l.check("Submit"); err != nil {
		return store.Job{}, false, err
	}
	if n.Job.Node != "" {
		if err := l.mayClaim(n.Job.Node); err != nil {
			return store.Job{}, false, err
		}
	}
	j, replayed, err := l.Store.Submit(ctx, n)
	if n.Job.Node != "" && l.lost() {
		return store.Job{}, false, store.ErrUnknown
	}
	l.signal(store.SignalJobs)
	return j, replayed, err
}

func (l *link) lost() bool { return l.lose.Add(-1) >= 0 }

func (l *link) Claim(ctx context.Context, c store.ClaimJobs) ([]store.Job, error) {
	if err := l.mayClaim(c.Node); err != nil {
		return nil, err
	}
	jobs, err := l.Store.Claim(ctx, c)
	if len(jobs) > 0 && l.claimed != nil {
		l.claimed <- struct{}{}
		l.claimed <- struct{}{}
		l.claimed = nil
	}
	if len(jobs) > 0 && l.lost() {
		return nil, store.ErrUnavailable
	}
	return jobs, err
}

func (l *link) Settle(ctx context.Context, ref store.Ref, d store.Decide) (store.Job, error) {
	if err := l.check("Settle"); err != nil {
		return store.Job{}, err
	}
	j, err := l.Store.Settle(ctx, ref, d)
	if err == nil {
		l.signal(store.SignalJobs | store.SignalDeliveries | store.SignalEnded)
	}
	return j, err
}

func (l *link) Cancel(ctx context.Context, project string, id uuid.UUID, d store.Decide) (store.Job, error) {
	if err := l.check("Cancel"); err != nil {
		return store.Job{}, err
	}
	j, err := l.Store.Cancel(ctx, project, id, d)
	l.signal(store.SignalCancel)
	return j, err
}

func (l *link) ClaimDeliveries(ctx context.Context, c store.ClaimHosts) ([]store.Delivery, error) {
	if err := l.mayClaim(c.Node); err != nil {
		return nil, err
	}
	deliveries, err := l.Store.ClaimDeliveries(ctx, c)
	if len(deliveries) > 0 && l.loseDeliveries.Add(-1) >= 0 {
		return nil, store.ErrUnavailable
	}
	return deliveries, err
}

func (l *link) SettleDelivery(ctx context.Context, ref store.Ref, e store.TryEnd) (store.Delivery, error) {
	if err := l.check("SettleDelivery"); err != nil {
		return store.Delivery{}, err
	}
	return l.Store.SettleDelivery(ctx, ref, e)
}

func (l *link) Expire(ctx context.Context, now time.Time, limit int, d store.Decide) ([]store.Job, error) {
	if err := l.check("Expire"); err != nil {
		return nil, err
	}
	return l.Store.Expire(ctx, now, limit, d)
}

func (l *link) DueJobs(ctx context.Context, now time.Time) (store.DueJobs, error) {
	if err := l.check("DueJobs"); err != nil {
		return store.DueJobs{}, err
	}
	return l.Store.DueJobs(ctx, now)
}

func (l *link) DueDeliveries(ctx context.Context, now time.Time) (store.DueDeliveries, error) {
	if err := l.check("DueDeliveries"); err != nil {
		return store.DueDeliveries{}, err
	}
	return l.Store.DueDeliveries(ctx, now)
}

func (l *link) Queued(ctx context.Context) (int, error) {
	if err := l.check("Queued"); err != nil {
		return 0, err
	}
	return l.Store.Queued(ctx)
}

func (l *link) Job(ctx context.Context, project string, id uuid.UUID, p store.Parts) (store.Job, store.Content, error) {
	if err := l.check("Job"); err != nil {
		return store.Job{}, store.Content{}, err
	}
	return l.Store.Job(ctx, project, id, p)
}

func (l *link) PutHold(ctx context.Context, h store.Hold) error {
	if err := l.check("PutHold"); err != nil {
		return err
	}
	err := l.Store.PutHold(ctx, h)
	l.signal(store.SignalHolds)
	return err
}

func (l *link) DropHold(ctx context.Context, t store.Target) error {
	if err := l.check("DropHold"); err != nil {
		return err
	}
	err := l.Store.DropHold(ctx, t)
	l.signal(store.SignalHolds)
	return err
}

// joining makes a node one of a cluster.
func (c *cluster) joining(way **link, change ...func(*node.Config)) func(*node.Config) {
	return func(cfg *node.Config) {
		*way = c.link(cfg.Store)
		cfg.Store = *way
		for _, f := range change {
			f(cfg)
		}
	}
}

// bySignals returns a cluster where renewals, and all that is done as often, come too late
// for any test: what happens is due to a signal.
func bySignals() *cluster {
	c := newCluster()
	c.lasts = time.Hour
	return c
}

// withoutSignals returns a cluster where no signal arrives: what happens is due to looking.
func withoutSignals() *cluster {
	c := newCluster()
	c.silent = true
	return c
}

// pair starts two nodes on one store.
func (c *cluster) pair(t *testing.T, s setup, change ...func(*node.Config)) (a, b *world, toA, toB *link) {
	t.Helper()
	s.node = c.joining(&toA, change...)
	a = start(t, s)
	b = start(t, setup{beside: a, node: c.joining(&toB, change...)})
	a.knows(2)
	b.knows(2)
	return a, b, toA, toB
}

// knows waits until the node knows of so many.
func (w *world) knows(nodes int) {
	w.t.Helper()
	w.eventually(fmt.Sprintf("%d nodes", nodes), func() bool { return w.node.Alive() == nodes })
}

// runsOn waits until a node makes an attempt of a job.
func (w *world) runsOn(id string, nodeID string) {
	w.t.Helper()
	w.eventually("an attempt on another node", func() bool {
		all := w.ledger(id)
		return len(all) > 0 && all[len(all)-1].Node == nodeID
	})
}
