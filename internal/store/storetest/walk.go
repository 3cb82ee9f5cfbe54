package storetest

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
)

// walks is how many there are, of about a hundred steps each: rapid would make a hundred of
// them, but states that take long to reach (a suspect, a row whose content is gone) need
// fewer and longer ones.
const walks = 12

// exerciseWalk makes moves in any order, with crashes, lost commits and jumps of time in
// between, and compares the store with the model after each. The environment variable
// RINGBACK_LONG=1 makes it twenty times as long.
func exerciseWalk(t *testing.T, open func(testing.TB) Harness) {
	if f := flag.Lookup("rapid.shrinktime"); f.Value.String() == f.DefValue {
		_ = f.Value.Set("3m") // each shrinking attempt is a walk on a real store
	}
	rounds := 1
	if os.Getenv("RINGBACK_LONG") == "1" {
		rounds = 20
	}
	for round := range rounds {
		t.Run(fmt.Sprintf("round %d", round+1), func(t *testing.T) {
			t.Parallel()
			walked, failed := 0, false
			rapid.Check(t, func(r *rapid.T) {
				if walked >= walks && !failed {
					return
				}
				s := newScribe(r)
				arrived := false
				// After a failure rapid looks for a shorter walk that fails, and runs the
				// shortest once more to report it.
				defer func() {
					if !arrived && !failed {
						s.publish(t, walked+1)
					}
					failed = failed || !arrived
				}()
				takeWalk(t, s, open(t))
				walked, arrived = walked+1, true
			})
		})
	}
}

func takeWalk(t *testing.T, r *scribe, h Harness) {
	defer func() { _ = h.Store().Close() }() // even after a failure: the next walk is about to begin
	w := &walk{
		world: newWorld(r, t, h), t: r, m: newModel(), time: start, observer: newObserver(),
		clocks: map[string]time.Duration{}, touched: map[uuid.UUID]bool{},
	}
	w.joined()
	for len(w.m.leases) < nodesAtOnce {
		w.joinNew()
	}
	for w.step() {
	}
	w.restart(h)
	w.touchAll()
	w.check()
	w.finish()
	w.sound()
}

// restart checks that everything is on the disk, or where it was moved to: no node has a
// lease there.
func (w *walk) restart(h Harness) {
	m, moves := h.(Mover)
	if !moves {
		w.Crash(w.outer)
		w.crashed()
		return
	}
	m.Move(w.outer)
	clear(w.m.leases)
	w.t.Logf("all was moved to another store")
}

// walk is one walk: the store, the model, and the time.
type walk struct {
	*world
	t *scribe
	m *model
	observer

	time   time.Time
	known  []string                 // nodes, including those that have lost their lease, oldest first
	clocks map[string]time.Duration // how wrong each node's clock is
	now    time.Time                // by the clock of the node that makes a move

	keys  int     // idempotency keys used so far
	given []claim // all claims of jobs, over or not
	tried []claim // all claims of deliveries, over or not
	// repeats are moves that succeeded, each with the error that the same move returns now.
	repeats []repeat

	touched map[uuid.UUID]bool // jobs to be read in full
	armed   bool               // a commit may still be lost
}

// move is a move with its name in the report of a failing walk. Moves that make progress
// are made more often.
type move struct {
	often int
	name  string
	make  func()
}

func (w *walk) moves() []move {
	return []move{
		{7, "submit", w.submitAny}, {1, "submit with a key that is taken", w.submitKnown},
		{5, "claim", w.claimAny}, {5, "settle", w.settleAny}, {2, "settle as a zombie", w.settleZombie},
		{2, "release", w.releaseAny}, {2, "cancel", w.cancelAny}, {1, "expire", w.expireAny},
		{2, "replay", w.replayAny}, {2, "erase", w.eraseAny}, {1, "prune", w.pruneAny},
		{4, "claim deliveries", w.claimDeliveriesAny}, {4, "settle delivery", w.settleDeliveryAny},
		{2, "settle delivery as a zombie", w.settleDeliveryZombie}, {2, "release deliveries", w.releaseDeliveriesAny},
		{1, "redeliver", w.redeliverAny}, {1, "erase delivery", w.eraseDeliveryAny}, {1, "expire deliveries", w.expireDeliveriesAny},
		{8, "join", w.joinAny}, {3, "freeze", w.freezeAny}, {3, "renew", w.renewAny}, {1, "leave", w.leaveAny}, {4, "sweep", w.sweepAny},
		{1, "crash", w.crashAny}, {2, "lose a commit", w.loseCommit}, {2, "repeat", w.repeatAny}, {1, "full disk", w.fullDiskAny},
		{2, "pass time", func() { w.passTime(time.Minute, time.Hour, 3*24*time.Hour, time.Second) }},
		{1, "the end", nil},
	}
}

// step makes a move, unless the walk is over. All draws of a step are one draw to rapid, so
// that it can leave out whole steps of a failing walk.
func (w *walk) step() (more bool) {
	return rapid.Custom(func(*rapid.T) bool {
		moves := w.moves()
		var names []string
		for _, m := range moves {
			names = append(names, slices.Repeat([]string{m.name}, m.often)...)
		}
		w.time = w.time.Add(time.Millisecond)
		w.t.steps++
		for made := false; !made; {
			name := pick(w, names, "move")
			if name == "the end" {
				return false
			}
			w.t.begin(name)
			made = possible(moves[slices.IndexFunc(moves, func(m move) bool { return m.name == name })].make)
		}
		w.check()
		return true
	}).Draw(w.t.T, "more")
}

// jobs returns the jobs of the model that want accepts, oldest first.
func (w *walk) jobs(want func(store.Job) bool) []*modelJob {
	var found []*modelJob
	for _, j := range w.m.jobs {
		if want(j.row) {
			found = append(found, j)
		}
	}
	slices.SortFunc(found, func(a, b *modelJob) int { return bytes.Compare(a.row.ID[:], b.row.ID[:]) })
	return found
}

// deliveries returns the deliveries of the model that want accepts, oldest first.
func (w *walk) deliveries(want func(*modelDelivery) bool) []*modelDelivery {
	var found []*modelDelivery
	for _, j := range w.jobs(anyJob) {
		if j.delivery != nil && want(j.delivery) {
			found = append(found, j.delivery)
		}
	}
	return found
}

func anyJob(store.Job) bool { return true }

func isQueued(j store.Job) bool { return j.Status == ringback.Queued }

func isRunning(j store.Job) bool { return j.Status == ringback.Running }

func isInFlight(d *modelDelivery) bool { return d.row.InFlight }

// loseCommit hides the outcome of the next commit from its move.
func (w *walk) loseCommit() {
	w.LoseCommit()
	w.armed = true
	w.t.Logf("the answer to the next commit will be lost")
}

// repeatAny repeats an earlier move, whose caller does not know that it succeeded.
func (w *walk) repeatAny() { latest(w, w.repeats, "move to repeat").again() }

func (w *walk) passTime(jumps ...time.Duration) { w.time = w.time.Add(one(w, jumps, "how much later")) }

func (w *walk) pruneAny() {
	w.passTime(0, 31*24*time.Hour, 15*24*time.Hour, 2*time.Minute)
	w.anybody()
	over := w.jobs(func(j store.Job) bool { return j.Status.Terminal() && !j.ContentGone && !j.ContentUntil.After(w.now) })
	w.prune(w.now)
	w.m.prune(w.now)
	for _, j := range over {
		w.touched[j.row.ID] = true
		got, _, err := w.Store().Job(w.ctx(), project, j.row.ID, 0)
		if j.row.ContentGone {
			w.fails(err, store.ErrGone)
			w.between("RowUntil", got.RowUntil, j.row.ContentUntil.Add(retention.Rows), w.now.Add(retention.Rows))
			j.row.RowUntil = got.RowUntil
			continue
		}
		w.ok(err) // its delivery is pending: the store checks again when it wants
		w.between("ContentUntil", got.ContentUntil, j.row.ContentUntil, w.now.Add(24*time.Hour))
		j.row.ContentUntil = got.ContentUntil
	}
}

// between checks that a time is within bounds.
func (w *walk) between(what string, got, from, to time.Time) {
	w.Helper()
	if got.Before(from) || got.After(to) {
		w.Fatalf("%s: got %s, want one from %s to %s", what, got, from, to)
	}
}

// fullDiskAny fills the disk for some moves, which must change nothing.
func (w *walk) fullDiskAny() {
	w.anybody()
	if w.armed {
		w.accept(w.newJob(w.now)) // it uses up the commit that may be lost
	}
	restore := w.FullDisk()
	defer restore()
	_, _, err := w.Store().Submit(w.ctx(), largeJob(w.world))
	w.fails(err, store.ErrFull)
	for _, j := range w.jobs(isRunning) {
		_, err := w.Store().Settle(w.ctx(), j.row.Ref(), largely(always(completed(w.now, "hello"))))
		w.fails(err, store.ErrFull)
	}
	for _, j := range w.jobs(isQueued) {
		_, err := w.Store().Cancel(w.ctx(), project, j.row.ID, largely(cancelled(w.now)))
		w.fails(err, store.ErrFull)
	}
}
