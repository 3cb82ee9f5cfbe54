package storetest

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
)

// join lets a new node join, and the world continues as that node.
func (w *world) join() {
	w.Helper()
	w.nodes++
	w.node = fmt.Sprintf("node-%03d", w.nodes)
	_, err := w.Store().Join(w.ctx(), store.Node{ID: w.node, API: true, Worker: true})
	w.ok(err)
}

// peers lets a second node join; the world continues as the first.
func (w *world) peers() (first, second string) {
	w.Helper()
	first = w.node
	w.join()
	second = w.node
	w.node = first
	return first, second
}

// die ends the lease of the node that the world claims as, and continues as another.
func (w *world) die() {
	w.Helper()
	w.TakeLease(w.node)
	w.join()
}

// sweep frees everything that dead nodes held.
func (w *world) sweep(now time.Time) store.Swept {
	w.Helper()
	return w.sweepAtMost(1000, now)
}

func (w *world) sweepAtMost(limit int, now time.Time) store.Swept {
	w.Helper()
	swept, err := w.Store().Sweep(w.ctx(), w.node, now, limit, freed(now))
	w.ok(err)
	return swept
}

func (w *world) renew(node string) store.Lease {
	w.Helper()
	lease, err := w.Store().Renew(w.ctx(), node)
	w.ok(err)
	return lease
}

// isSwept checks that a node has lost its lease for good.
func (w *world) isSwept(node string) {
	w.Helper()
	_, err := w.Store().Renew(w.ctx(), node)
	w.fails(err, store.ErrSwept)
}

// living checks that these nodes have a lease, oldest first.
func (w *world) living(want ...string) {
	w.Helper()
	got, err := w.Store().Nodes(w.ctx())
	w.ok(err)
	w.same("Nodes", nodeIDs(got), want)
}

func nodeIDs(nodes []store.Node) []string {
	var out []string
	for _, n := range nodes {
		out = append(out, n.ID)
	}
	return out
}

func exerciseNodes(s suite) {
	s.promise("a node that has joined is known with all that it says of itself", func(w *world) {
		first := w.node
		want := store.Node{ID: "node-9", Machine: "a machine", Version: "v1.2.3", URL: "http://10.0.0.7:8080", Worker: true}
		lease, err := w.Store().Join(w.ctx(), want)
		w.ok(err)
		nodes, err := w.Store().Nodes(w.ctx())
		w.ok(err)
		w.same("Nodes of the lease", nodeIDs(lease.Nodes), []string{first, want.ID})
		w.same("Nodes", nodeIDs(nodes), []string{first, want.ID})
		got := nodes[1]
		w.same("whether it is known when it joined", got.JoinedAt.IsZero(), false)
		w.same("whether its lease has an end", !got.ExpiresAt.IsZero(), lease.Lasts > 0)
		if lease.Lasts > 0 && !got.ExpiresAt.After(lease.Now) {
			w.Errorf("ExpiresAt: got %s, want it after %s", got.ExpiresAt, lease.Now)
		}
		got.JoinedAt, got.ExpiresAt = time.Time{}, time.Time{}
		w.same("Node", got, want)
		w.same("Node of a lease", w.renew(first).Nodes[1].URL, want.URL)
		w.same("Node of its own lease", lease.Nodes[1].URL, want.URL)
	})

	s.promise("each renewal says who lives", func(w *world) {
		a, b := w.peers()
		w.same("of both", nodeIDs(w.renew(a).Nodes), []string{a, b})
		w.ok(w.Store().Leave(w.ctx(), b))
		w.same("of the one that is left", nodeIDs(w.renew(a).Nodes), []string{a})
	})

	s.promise("a node that has left is known no more, and what it holds all the same is freed", func(w *world) {
		a, b := w.peers()
		running := w.running(at(0))
		w.node = b
		for range 2 { // leaving again succeeds
			w.ok(w.Store().Leave(w.ctx(), a))
		}
		w.living(b)
		w.isSwept(a)
		swept := w.sweep(at(1))
		w.same("leases that were taken away", swept.Nodes, []string(nil))
		w.same("Sweep", ids(swept.Jobs), []uuid.UUID{running.ID})
	})

	s.promise("a lease that is over gives no right any more, until it is renewed", func(w *world) {
		a, b := w.peers()
		running := w.running(at(0))
		w.submitNew(at(0))
		w.TakeLease(a)
		w.living(b)
		w.noClaims(a)
		w.renew(a)
		w.living(a, b)
		w.claimOne(at(1))
		w.node = b
		w.same("Sweep", w.sweep(at(2)), store.Swept{})
		w.settle(running, completed(at(3), "hello"))
	})

	exerciseNoLease(s)
	exerciseSweep(s)
	exerciseHeld(s)
}

// noClaims checks that a node claims nothing.
func (w *world) noClaims(node string) {
	w.Helper()
	_, err := w.Store().Claim(w.ctx(), store.ClaimJobs{Node: node, Now: at(day), Lanes: []store.LaneWant{{Lane: lane, N: 1}}, Suspects: 1})
	w.fails(err, store.ErrNoLease)
	_, err = w.Store().ClaimDeliveries(w.ctx(), store.ClaimHosts{Node: node, Now: at(day), Hosts: []store.HostWant{{Host: store.Host{Project: project, Host: host}, N: 1}}})
	w.fails(err, store.ErrNoLease)
	_, _, err = w.Store().Submit(w.ctx(), w.newJob(at(day), claimedOn(node)))
	w.fails(err, store.ErrNoLease)
}

// exerciseNoLease: nothing is claimed in the name of a node without a lease, since nobody
// would hold it.
func exerciseNoLease(s suite) {
	for kind, lose := range map[string]func(w *world, node string){
		"has never joined":               func(*world, string) {},
		"has a lease whose time is over": func(w *world, node string) { w.joinAs(node); w.TakeLease(node) },
		"has left": func(w *world, node string) {
			w.joinAs(node)
			w.ok(w.Store().Leave(w.ctx(), node))
		},
		"was swept": func(w *world, node string) {
			w.joinAs(node)
			w.TakeLease(node)
			w.sweep(at(0))
		},
	} {
		s.promise("for a node that "+kind+" nothing is claimed, on insert or later, and nothing changes", func(w *world) {
			lose(w, "lost")
			refusesAll(w, "lost")
		})
	}

	s.promise("a node whose lease is over settles what it has, and gives it back", func(w *world) {
		a, b := w.peers()
		answered, broken := w.running(at(0)), w.running(at(0))
		w.delivering(at(0))
		inFlight := w.claimDelivery(at(0))
		w.TakeLease(a)
		o := notified(answered, at(1))
		o.Delivery.Node = a
		_, err := w.Store().Settle(w.ctx(), answered.Ref(), always(o))
		w.fails(err, store.ErrNoLease)
		w.settle(answered, notified(answered, at(1)))
		w.settleDelivery(inFlight, delivered(at(2)))
		w.release(broken, freed(at(3)))
		w.node = b
		w.same("the answer's webhook", w.claimDelivery(at(4)).JobID, answered.ID)
		w.same("what was given back", w.claimOne(at(4)).ID, broken.ID)
	})
}

func (w *world) joinAs(node string) {
	w.Helper()
	_, err := w.Store().Join(w.ctx(), store.Node{ID: node, Worker: true})
	w.ok(err)
}

// refusesAll tries to claim for a node without a lease in every possible way.
func refusesAll(w *world, lost string) {
	orphan := w.running(at(0))
	w.die()
	died := w.died(at(0))
	w.delivering(at(0))
	running, waiting := w.running(at(0)), w.submitNew(at(0), expiresAt(at(60)))
	before := w.all()
	st, ctx := w.Store(), w.ctx()
	inFlight := func(decide store.Decide) store.Decide {
		return func(j store.Job) store.Outcome {
			o := decide(j)
			o.Delivery = newDelivery(j, o.Status, o.At)
			o.Delivery.Node = lost
			return o
		}
	}
	w.noClaims(lost)
	for move, err := range map[string]error{
		"Replay":               second(st.Replay(ctx, w.newJob(at(1), replayOf(died), claimedOn(lost)))),
		"Settle":               second(st.Settle(ctx, running.Ref(), inFlight(always(completed(at(1), "hello"))))),
		"Cancel":               second(st.Cancel(ctx, project, waiting.ID, inFlight(cancelled(at(1))))),
		"Expire":               second(st.Expire(ctx, at(60), 9, inFlight(expired(at(60))))),
		"Release":              second(st.Release(ctx, w.node, []store.Ref{running.Ref()}, inFlight(always(failed(at(1)))))),
		"Sweep of a dead node": second(st.Sweep(ctx, w.node, at(1), 9, inFlight(always(failed(at(1)))))),
		"Sweep by it":          second(st.Sweep(ctx, lost, at(1), 9, freed(at(1)))),
	} {
		if !errors.Is(err, store.ErrNoLease) {
			w.Errorf("%s: got error %v, want %q", move, err, store.ErrNoLease)
		}
	}
	w.same("all that is stored", w.all(), before)
	w.ok(st.Reconcile(ctx))
	w.same("Sweep", ids(w.sweep(at(2)).Jobs), []uuid.UUID{orphan.ID})
	w.settle(running, notified(running, at(3)))
}

func second[T any](_ T, err error) error { return err }

// all returns everything that is stored for a project.
func (w *world) all() []any {
	w.Helper()
	var all []any
	for _, j := range w.list(store.Query{Project: project, Limit: 100}) {
		ds, tries, err := w.Store().JobDeliveries(w.ctx(), project, j.ID)
		w.ok(err)
		all = append(all, j, w.ledger(j.ID), ds, tries)
	}
	return append(all, inOrder(w.waiting()))
}

func exerciseSweep(s suite) {
	s.promise("a restart frees every running job", func(w *world) {
		waiting := w.submitNew(at(0))
		running := w.running(at(0), in(slowLane))
		w.crash()
		want := waitingAgain(running, at(0))
		want.DurationMS, want.Attempts, want.Uncertain = 5000, 1, 1
		w.same("Sweep", w.sweep(at(5)).Jobs, []store.Job{want})
		w.same("Job", w.read(running.ID), want)
		w.same("Attempts", w.ledger(running.ID), []ringback.Attempt{entry(running, uncertain(at(5)))})
		w.same("a waiting job", w.read(waiting.ID), waiting)
		w.same("Sweep again", w.sweep(at(6)).Jobs, []store.Job(nil))
	})

	s.promise("what a restart frees keeps its turn: it is claimed before what came later", func(w *world) {
		w.keepTheirTurn(func(running []store.Job) {
			w.crash()
			w.same("Sweep", len(w.sweep(at(9)).Jobs), len(running))
		})
	})

	s.promise("what a living node holds goes on undisturbed", func(w *world) {
		lost := w.running(at(0))
		w.crash()
		kept := w.running(at(0))
		w.same("Sweep", ids(w.sweep(at(1)).Jobs), []uuid.UUID{lost.ID})
		w.same("Job", w.read(kept.ID), kept)
		w.settle(kept, completed(at(2), "hello"))
	})

	s.promise("no more are freed at once than the limit, and all are in the end", func(w *world) {
		var want []uuid.UUID
		for range 5 {
			want = append(want, w.running(at(0)).ID)
		}
		w.crash()
		w.running(at(0))
		var got []uuid.UUID
		for _, n := range []int{2, 2, 1, 0} {
			jobs := w.sweepAtMost(2, at(1)).Jobs
			w.same("how many", len(jobs), n)
			got = append(got, ids(jobs)...)
		}
		w.same("all", sorted(got), sorted(want))
	})

	s.promise("no more deliveries are freed at once than the limit, and all are in the end", func(w *world) {
		for i := range 4 {
			w.delivering(at(i))
		}
		lost := w.claimDeliveries(at(5), 3)
		w.crash()
		kept := w.claimDelivery(at(5))
		for _, n := range []int{2, 1, 0} {
			w.same("how many", w.sweepAtMost(2, at(6)).Deliveries, n)
		}
		w.settleDelivery(kept, delivered(at(7)))
		w.same("due again", sorted(deliveryIDs(w.claimDeliveries(at(8), 4))), sorted(deliveryIDs(lost)))
	})

	s.promise("a node that was swept has lost its lease and all its claims", func(w *world) {
		a, b := w.peers()
		job := w.running(at(0))
		j := w.delivering(at(0))
		try := w.claimDelivery(at(1))
		w.TakeLease(a)
		w.node = b
		swept := w.sweep(at(2))
		w.same("whose lease was taken away", swept.Nodes, []string{a})
		w.same("Jobs", swept.Jobs, []store.Job{w.read(job.ID)})
		w.same("Deliveries", swept.Deliveries, 1)
		w.living(b)
		w.isSwept(a)
		w.settleFenced(job, completed(at(3), "late"))
		_, err := w.Store().SettleDelivery(w.ctx(), try.Ref(), delivered(at(3)))
		w.fails(err, store.ErrFenced)
		w.same("a second Sweep", w.sweep(at(3)), store.Swept{})

		w.same("the job's attempts", w.ledger(job.ID), []ringback.Attempt{entry(job, uncertain(at(2)))})
		w.same("the job's next fence", w.claimOne(at(4)).Fence, job.Fence+2)
		_, tries := w.delivery(j.ID)
		w.same("the lost try", []any{len(tries), tries[0].Error}, []any{1, ringback.TryUnknown})
		w.settleDelivery(w.claimDelivery(at(4)), delivered(at(5)))
	})

	s.promise("a lease is taken away once, however much is left to be freed", func(w *world) {
		a, b := w.peers()
		for range 3 {
			w.running(at(0))
		}
		w.TakeLease(a)
		w.node = b
		w.same("first", w.sweepAtMost(2, at(1)).Nodes, []string{a})
		w.isSwept(a)
		w.noClaims(a)
		last := w.sweepAtMost(2, at(1))
		w.same("second", []int{len(last.Nodes), len(last.Jobs)}, []int{0, 1})
	})

	s.promise("a sweep frees nothing of those that live, whoever sweeps", func(w *world) {
		a, b := w.peers()
		var kept []store.Job
		var tries []store.Delivery
		for _, node := range []string{a, b} {
			w.node = node
			kept = append(kept, w.running(at(0)))
			w.delivering(at(0))
			tries = append(tries, w.claimDelivery(at(1)))
		}
		w.join()
		lost := w.running(at(0))
		w.TakeLease(w.node)
		w.node = a
		w.same("Sweep", ids(w.sweep(at(2)).Jobs), []uuid.UUID{lost.ID})
		w.node = b
		w.same("Sweep by the other", w.sweep(at(3)), store.Swept{})
		for i := range kept {
			w.settle(kept[i], completed(at(4), "hello"))
			w.settleDelivery(tries[i], delivered(at(4)))
		}
	})

	s.promise("whoever sweeps a job that was to be cancelled sees it", func(w *world) {
		running := w.running(at(0))
		w.cancel(running.ID, cancelled(at(1)))
		w.die()
		got := w.sweep(at(2)).Jobs
		w.same("Sweep", got, []store.Job{w.read(running.ID)})
		w.same("Status", got[0].Status, ringback.Cancelled)
		w.same("Claim", w.claim(at(3), lane, 1), []store.Job(nil))
	})

	s.promise("a sweep may end a job, with a webhook that the sweeper sends", func(w *world) {
		running := w.running(at(0))
		w.die()
		_, err := w.Store().Sweep(w.ctx(), w.node, at(1), 9, func(j store.Job) store.Outcome {
			o := failed(at(1))
			o.Attempt.Outcome = ringback.AttemptUncertain
			o.Delivery = newDelivery(j, o.Status, o.At)
			o.Delivery.Node = w.node
			return o
		})
		w.ok(err)
		w.same("Status", w.read(running.ID).Status, ringback.Failed)
		d, _ := w.delivery(running.ID)
		w.settleDelivery(d, delivered(at(2)))
	})
}

func exerciseHeld(s suite) {
	s.promise("what a node holds is told exactly, also after a crash", func(w *world) {
		a, b := w.peers()
		started, toCancel := w.running(at(0)), w.running(at(0), in(slowLane))
		w.cancel(toCancel.ID, cancelled(at(1)))
		w.submitNew(at(1))
		claimed := w.claimOne(at(1))
		w.delivering(at(2))
		d := w.claimDelivery(at(2))
		ended := w.running(at(2))
		o := notified(ended, at(3))
		o.Delivery.Node = a
		w.settle(ended, o)
		held := store.Held{
			Jobs:       []store.Ref{started.Ref(), toCancel.Ref(), claimed.Ref()},
			Cancelled:  []store.Ref{toCancel.Ref()},
			Deliveries: []store.Ref{d.Ref(), {ID: o.Delivery.ID, Fence: 1}},
		}
		w.submitNew(at(3))
		w.delivering(at(3))
		w.node = b
		other := w.running(at(4))

		w.held(a, held)
		w.held(b, store.Held{Jobs: []store.Ref{other.Ref()}})
		w.held("another", store.Held{})
		w.crash()
		w.held(a, held)
	})

	s.promise("what is over is not held", func(w *world) {
		a := w.node
		ended, retriedJob, back := w.running(at(0)), w.running(at(0), in(slowLane)), w.running(at(0), in(slowLane))
		o := notified(ended, at(1))
		o.Delivery.Node = a
		w.settle(ended, o)
		w.settleDelivery(store.Delivery{ID: o.Delivery.ID, Fence: 1}, delivered(at(2)))
		w.settle(retriedJob, retried(at(1), at(9)))
		w.release(back, freed(at(1)))
		for range 3 {
			w.delivering(at(2))
		}
		w.settleDelivery(w.claimDeliveries(at(2), 1)[0], tryAgain(at(2), at(day)))
		w.releaseDelivery(w.claimDeliveries(at(2), 1)[0], at(day))
		erased := w.claimDeliveries(at(2), 1)[0]
		w.erase(erased.JobID, at(3))
		w.held(a, store.Held{})
		w.running(at(3))
		w.die()
		w.sweep(at(4))
		w.held(a, store.Held{})
	})
}

// held checks that a node holds exactly that.
func (w *world) held(node string, want store.Held) {
	w.Helper()
	got, err := w.Store().Held(w.ctx(), node)
	w.ok(err)
	for _, refs := range [][]store.Ref{got.Jobs, got.Cancelled, got.Deliveries, want.Jobs, want.Cancelled, want.Deliveries} {
		slices.SortFunc(refs, func(a, b store.Ref) int { return cmp.Compare(a.ID.String(), b.ID.String()) })
	}
	w.same("what "+node+" holds", got, want)
}
