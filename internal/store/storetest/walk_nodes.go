package storetest

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/ringback/ringback/internal/store"
)

// nodesAtOnce is the largest number of nodes with a lease.
const nodesAtOnce = 3

// knownAtOnce is how many nodes make moves, including those that have lost their lease.
const knownAtOnce = 5

// wrongClocks is how wrong the clock of one node after another is.
var wrongClocks = []time.Duration{0, time.Hour, 0, -time.Hour}

// by lets a node make the next move, by its own clock.
func (w *walk) by(node string) {
	w.node = node
	w.now = w.time.Add(w.clocks[node])
}

// anybody picks a node for the next move: a zombie can make those that need no lease.
func (w *walk) anybody() { w.by(one(w, w.known, "node")) }

// claimer picks a node for the next move, which needs a lease: mostly one that has it.
func (w *walk) claimer() {
	w.by(one(w, favour(w.known, w.m.mayClaim), "node"))
}

// joined adds the node that has just joined to the model.
func (w *walk) joined() {
	w.m.leases[w.node] = lease{}
	w.clocks[w.node] = wrongClocks[(w.nodes-1)%len(wrongClocks)]
	w.known = append(w.known, w.node)
	if len(w.known) > knownAtOnce {
		i := slices.IndexFunc(w.known, func(id string) bool { _, has := w.m.leases[id]; return !has })
		w.known = slices.Delete(w.known, i, i+1)
	}
	w.by(w.node)
	w.sayf("joined; its clock is wrong by %s", w.clocks[w.node])
}

func (w *walk) joinNew() {
	w.join()
	w.joined()
}

func (w *walk) joinAny() {
	if len(w.m.leases) >= nodesAtOnce {
		panic(impossible{})
	}
	w.joinNew()
}

// freezeAny ends the time of a lease without anybody noticing.
func (w *walk) freezeAny() {
	node := one(w, w.m.living(), "node")
	w.TakeLease(node)
	w.m.leases[node] = lease{over: true}
	w.by(node)
	w.sayf("is frozen, and its lease is over")
}

func (w *walk) renewAny() {
	w.by(one(w, favour(w.known, func(id string) bool { return w.m.leases[id].over }), "node"))
	got, err := w.Store().Renew(w.ctx(), w.node)
	if _, has := w.m.leases[w.node]; !has {
		w.fails(err, store.ErrSwept)
		w.sayf("learned that it was swept")
		return
	}
	w.ok(err)
	w.m.leases[w.node] = lease{}
	w.same("who lives", nodeIDs(got.Nodes), w.m.living())
	w.sayf("renewed its lease")
}

// leaveAny makes a node leave, whatever it still holds.
func (w *walk) leaveAny() {
	w.anybody()
	node := w.node
	leave := func() {
		w.ok(w.Store().Leave(w.ctx(), node))
		delete(w.m.leases, node)
	}
	leave()
	w.sayf("left")
	w.repeats = append(w.repeats, repeat{"the leave of " + node, leave})
}

// sweepAny makes a node sweep, which may not have a lease itself.
func (w *walk) sweepAny() {
	w.claimer()
	w.sweepSome(w.number(1, 4, "limit"), w.sentBy(3))
}

// sweepSome frees at most limit of the claims of nodes without a lease, and reports whether
// there may be more. The webhooks that this causes are in flight on the given node, if any.
func (w *walk) sweepSome(limit int, node string) (more bool) {
	decide := afterCrash(w.now, node)
	got, err := w.Store().Sweep(w.ctx(), w.node, w.now, limit, decide)
	if !w.m.mayClaim(w.node) {
		w.fails(err, store.ErrNoLease)
		w.sayf("may not sweep")
		return false
	}
	w.ok(err)
	slices.Sort(got.Nodes)
	w.same("whose lease was taken away", got.Nodes, w.m.sweep())
	jobs := w.jobs(func(j store.Job) bool { return isRunning(j) && w.isLost(j.Node) })
	deliveries := w.deliveries(func(d *modelDelivery) bool { return d.row.InFlight && w.isLost(d.row.Node) })
	w.sayf("swept %q, and freed %q and %d webhooks", got.Nodes, namesOf(got.Jobs), got.Deliveries)
	more = len(got.Jobs) == limit || got.Deliveries == limit
	if len(got.Jobs) > limit || got.Deliveries > limit || !more && (len(got.Jobs) < len(jobs) || got.Deliveries < len(deliveries)) {
		w.Fatalf("Sweep of at most %d freed %d of %d jobs and %d of %d deliveries", limit, len(got.Jobs), len(jobs), got.Deliveries, len(deliveries))
	}
	w.swept(got.Jobs, jobs, len(got.Jobs), decide)
	w.lost(deliveries, got.Deliveries)
	return more
}

// isLost reports whether a node has lost its claims.
func (w *walk) isLost(node string) bool {
	_, has := w.m.leases[node]
	return !has
}

// refused reports whether a move was refused because one of the jobs would have ended with
// a webhook in flight on a node without a lease.
func (w *walk) refused(err error, jobs []*modelJob, decide store.Decide) bool {
	w.Helper()
	bad := 0
	for _, j := range jobs {
		if d := decide(j.row).Delivery; d != nil && d.Node != "" && !w.m.mayClaim(d.Node) {
			bad++
		}
	}
	switch {
	case len(jobs) > 0 && bad == len(jobs), bad > 0 && errors.Is(err, store.ErrNoLease):
		w.fails(err, store.ErrNoLease)
		w.sayf("was refused: it has no lease")
		for _, j := range jobs {
			w.touched[j.row.ID] = true
		}
		return true
	default:
		w.ok(err)
		return false
	}
}

// crashAny ends the process. Mostly what a start does first follows at once; otherwise
// claims of the dead process are still running.
func (w *walk) crashAny() {
	w.Crash(w.outer)
	w.crashed()
	if w.LeasesSurvive() || w.oneIn(3, "without the first steps of a start") {
		return
	}
	w.joinNew()
	for w.sweepSome(3, "") {
	}
	w.same("running jobs after a restart", len(w.jobs(isRunning)), 0)
	w.same("tries in flight after a restart", len(w.deliveries(isInFlight)), 0)
}

// crashed updates the model.
func (w *walk) crashed() {
	w.t.Logf("the process crashed, and was started again")
	if !w.LeasesSurvive() {
		clear(w.m.leases)
	}
}

// finish leaves one node alone, which does everything that is left to do. Then every job
// that was ever accepted has ended, and its webhook was sent.
func (w *walk) finish() {
	for _, node := range slices.Sorted(maps.Keys(w.m.leases)) {
		w.TakeLease(node)
		w.m.leases[node] = lease{over: true}
	}
	w.joinNew()
	for w.sweepSome(3, "") {
	}
	w.time = w.time.Add(9 * 24 * time.Hour) // after every run_at, and every clock
	w.by(w.node)
	for w.claimSome(3, 3, 3) > 0 {
		for _, j := range w.jobs(isRunning) {
			w.end(j, notifying(j.row, completed(w.now, "at last"), ""))
		}
	}
	for w.claimSomeDeliveries(3, 3) > 0 {
		for _, d := range w.deliveries(isInFlight) {
			w.endTry(d, delivered(w.now))
		}
	}
	w.check()
	w.sawEnd(w.world)
	w.same("Waiting", inOrder(w.waiting()), store.Waiting{})
	for _, node := range w.known {
		w.held(node, store.Held{})
	}
}

// sameHeld compares what each node holds.
func (w *walk) sameHeld() {
	w.Helper()
	for _, node := range w.known {
		var want store.Held
		for _, j := range w.jobs(func(j store.Job) bool { return isRunning(j) && j.Node == node }) {
			want.Jobs = append(want.Jobs, j.row.Ref())
			if j.row.CancelRequested {
				want.Cancelled = append(want.Cancelled, j.row.Ref())
			}
		}
		for _, d := range w.deliveries(isInFlight) {
			if d.row.Node == node {
				want.Deliveries = append(want.Deliveries, d.row.Ref())
			}
		}
		w.held(node, want)
	}
}
