package storetest

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
)

// Rapid makes 100 checks of about 30 steps. States that take long to reach (a
// suspect, a row whose content is gone) need fewer and longer walks: of these
// steps so many are one walk, and there are so many walks.
const (
	walks     = 12
	stretches = 3
)

// exerciseWalk makes moves in any order, with crashes, lost commits and jumps of
// time between them, and compares the store with the model after each. The
// environment variable RINGBACK_LONG=1 makes it twenty times as long.
func exerciseWalk(t *testing.T, open func(testing.TB) Harness) {
	rounds := 1
	if os.Getenv("RINGBACK_LONG") == "1" {
		rounds = 20
	}
	for round := range rounds {
		t.Run(fmt.Sprintf("round %d", round+1), func(t *testing.T) {
			t.Parallel()
			walked, broken := 0, false
			rapid.Check(t, func(r *rapid.T) {
				if walked == walks && !broken {
					return
				}
				broken = true // until it is known to have gone well; then rapid looks for a shorter walk
				takeWalk(t, r, open(t))
				walked, broken = walked+1, false
			})
		})
	}
}

func takeWalk(t *testing.T, r *rapid.T, h Harness) {
	defer func() { _ = h.Store().Close() }() // also after a failure: the next walk is about to begin
	w := &walk{world: newWorld(r, t, h), t: r, m: newModel(), now: start, witness: newWitness(), touched: map[uuid.UUID]bool{}}
	for range stretches {
		r.Repeat(w.moves())
	}
	w.end(h)
	w.touchAll()
	w.check()
	w.sound()
}

// end wants all of it to be on the disk, or where it was moved to. There what a dead
// process held can be freed.
func (w *walk) end(h Harness) {
	m, moves := h.(Mover)
	if !moves {
		w.crash()
		return
	}
	m.Move(w.outer)
	w.die()
	w.touchAll()
	w.check()
	for w.sweepAll(3) {
	}
	w.same("running jobs after the move", len(w.jobs(isRunning)), 0)
	w.same("tries in flight after the move", len(w.deliveries(isInFlight)), 0)
}

// walk is one walk: the store, the model beside it, and the time.
type walk struct {
	*world
	t *rapid.T
	m *model
	witness

	now   time.Time
	keys  int         // idempotency keys used so far
	given []store.Ref // all claims of jobs, over or not
	tried []store.Ref // all claims of deliveries, over or not
	// repeats are moves that succeeded, each with the error that the same move
	// gives now.
	repeats []func()

	touched map[uuid.UUID]bool // jobs to be read in full
	armed   bool               // a commit may still be lost
}

func (w *walk) moves() map[string]func(*rapid.T) {
	moves := map[string]func(){
		"submit": w.submitAny, "submit one more": w.submitAny, "submit known": w.submitKnown,
		"claim": w.claimAny, "claim more": w.claimAny,
		"settle": w.settleAny, "settle more": w.settleAny, "settle as a zombie": w.settleZombie,
		"replay": w.replayAny, "erase": w.eraseAny, "erase delivery": w.eraseDeliveryAny,
		"cancel": w.cancelAny, "expire": w.expireAny, "release": w.releaseAny,
		"crash":            w.crashAny,
		"claim deliveries": w.claimDeliveriesAny, "claim more deliveries": w.claimDeliveriesAny,
		"settle delivery": w.settleDeliveryAny, "settle one more": w.settleDeliveryAny,
		"settle delivery as a zombie": w.settleDeliveryZombie, "redeliver": w.redeliverAny,
		"expire deliveries": w.expireDeliveriesAny, "release deliveries": w.releaseDeliveriesAny,
		"lose a commit": w.loseCommit, "lose the next commit": w.loseCommit,
		"repeat": w.repeatAny, "repeat another": w.repeatAny, "retain": w.retainAny, "full disk": w.fullDiskAny,
		"pass time": func() { w.passTime(time.Minute, time.Hour, 3*24*time.Hour, time.Second) },
	}
	actions := map[string]func(*rapid.T){"": func(*rapid.T) { w.check() }}
	for name, move := range moves {
		actions[name] = func(*rapid.T) {
			w.now = w.now.Add(time.Millisecond)
			move()
		}
	}
	return actions
}

func (w *walk) number(from, to int, what string) int { return rapid.IntRange(from, to).Draw(w.t, what) }

func (w *walk) oneIn(n int, what string) bool { return w.number(1, n, what) == n }

// one chooses from a list. If there is none, another move is made in place of
// this one, as long as nothing was drawn for it.
func one[T any](w *walk, from []T, what string) T {
	if len(from) == 0 {
		w.t.Skip("there is no", what)
	}
	return from[w.number(0, len(from)-1, what)]
}

// jobs of the model that are as the caller wants, oldest first.
func (w *walk) jobs(want func(store.Job) bool) []*modelJob {
	var found []*modelJob
	for _, j := range w.m.jobs {
		if want(j.row) {
			found = append(found, j)
		}
	}
	slices.SortFunc(found, func(a, b *modelJob) int { return strings.Compare(a.row.ID.String(), b.row.ID.String()) })
	return found
}

// deliveries of the model that are as the caller wants, oldest first.
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

func isRunning(j store.Job) bool { return j.Status == ringback.Running }

func isInFlight(d *modelDelivery) bool { return d.row.InFlight }

// loseCommit lets the next move that commits learn nothing of it.
func (w *walk) loseCommit() {
	w.LoseCommit()
	w.armed = true
}

// repeatAny makes a move once more that was made before: its caller has not
// heard that it was done.
func (w *walk) repeatAny() { one(w, w.repeats, "move to repeat")() }

func (w *walk) passTime(jumps ...time.Duration) { w.now = w.now.Add(one(w, jumps, "how much later")) }

func (w *walk) retainAny() {
	w.passTime(0, 31*24*time.Hour, 15*24*time.Hour, 2*time.Minute)
	over := w.jobs(func(j store.Job) bool { return j.Status.Terminal() && !j.ContentGone && !j.ContentUntil.After(w.now) })
	w.retain(w.now)
	w.m.retain(w.now)
	for _, j := range over {
		w.touched[j.row.ID] = true
		got, _, err := w.Store().Job(w.ctx(), project, j.row.ID, 0)
		if j.row.ContentGone {
			w.fails(err, store.ErrGone)
			w.between("RowUntil", got.RowUntil, j.row.ContentUntil.Add(store.RowTTL), w.now.Add(store.RowTTL))
			j.row.RowUntil = got.RowUntil
			continue
		}
		w.ok(err) // its delivery is pending: the store looks again, when it wants
		w.between("ContentUntil", got.ContentUntil, j.row.ContentUntil, w.now.Add(24*time.Hour))
		j.row.ContentUntil = got.ContentUntil
	}
}

// between wants a time within bounds.
func (w *walk) between(what string, got, from, to time.Time) {
	w.Helper()
	if got.Before(from) || got.After(to) {
		w.Fatalf("%s: got %s, want one from %s to %s", what, got, from, to)
	}
}

// fullDiskAny fills the disk for some moves. Nothing must have happened.
func (w *walk) fullDiskAny() {
	if w.armed {
		w.submitAny() // it uses up the commit that may be lost
	}
	restore := w.FullDisk()
	defer restore()
	_, _, err := w.Store().Submit(w.ctx(), largeJob(w.world))
	w.fails(err, store.ErrFull)
	for _, j := range w.jobs(isRunning) {
		_, err := w.Store().Settle(w.ctx(), j.row.Ref(), largely(always(completed(w.now, "hello"))))
		w.fails(err, store.ErrFull)
	}
	for _, j := range w.jobs(func(j store.Job) bool { return j.Status == ringback.Queued }) {
		_, err := w.Store().Cancel(w.ctx(), project, j.row.ID, largely(cancelled(w.now)))
		w.fails(err, store.ErrFull)
	}
}
