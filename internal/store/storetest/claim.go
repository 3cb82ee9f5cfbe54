package storetest

import (
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
)

func exerciseClaim(s suite) {
	s.promise("a claimed job is running on its node, under the next fence", func(w *world) {
		want := w.submitNew(at(0))
		got := w.claimOne(at(5))
		want.Status, want.Node, want.Fence = ringback.Running, w.node, 1
		want.StartedAt, want.FirstStartedAt = at(5), at(5)
		w.same("Claim", got, want)
		w.same("Job", w.read(want.ID), want)
	})

	s.promise("the attempt stands in the ledger from its claim on", func(w *world) {
		j := w.submitNew(at(0))
		w.same("Attempts before", w.ledger(j.ID), []ringback.Attempt(nil))
		w.claimOne(at(5))
		want := []ringback.Attempt{{Number: 1, Node: w.node, Provider: "sim", Model: "sim/echo", StartedAt: ringback.Time{Time: at(5)}}}
		w.same("Attempts", w.ledger(j.ID), want)
		w.crash()
		w.same("Attempts after a crash", w.ledger(j.ID), want)
	})

	s.promise("a running job is not claimed again", func(w *world) {
		w.submitNew(at(0))
		w.claimOne(at(1))
		w.same("Claim", w.claim(at(2), lane, 1), []store.Job(nil))
		w.crash()
		w.same("Claim after a crash", w.claim(at(2), lane, 1), []store.Job(nil))
	})

	s.promise("a job is never claimed before its run_at", func(w *world) {
		j := w.submitNew(at(0), runAt(at(10)))
		w.same("Claim before", w.claim(at(10).Add(-time.Millisecond), lane, 1), []store.Job(nil))
		w.same("Claim at run_at", w.claimOne(at(10)).ID, j.ID)
	})

	s.promise("the claim of a job that ran before keeps when it first did", func(w *world) {
		w.submitNew(at(0))
		w.settle(w.claimOne(at(1)), retried(at(2), at(3)))
		got := w.claimOne(at(4))
		w.same("FirstStartedAt", got.FirstStartedAt, at(1))
		w.same("StartedAt", got.StartedAt, at(4))
	})

	s.promise("a claim for nothing takes nothing", func(w *world) {
		w.submitNew(at(0))
		w.same("of no lane", w.claimSuspects(at(1), 0), []store.Job(nil))
		w.same("none of a lane", w.claim(at(1), lane, 0), []store.Job(nil))
	})

	exerciseClaimOrder(s)
}

func exerciseClaimOrder(s suite) {
	s.promise("the oldest run_at is claimed first", func(w *world) {
		late := w.submitNew(at(0), runAt(at(30)))
		early := w.submitNew(at(1), runAt(at(10)))
		middle := w.submitNew(at(2), runAt(at(20)))
		w.same("Claim", ids(w.claim(at(60), lane, 2)), []uuid.UUID{early.ID, middle.ID})
		w.same("Claim of the rest", ids(w.claim(at(60), lane, 2)), []uuid.UUID{late.ID})
	})

	s.promise("a job that was sent back goes behind those that waited longer", func(w *world) {
		first := w.submitNew(at(0))
		second := w.submitNew(at(1))
		w.settle(w.claim(at(2), lane, 1)[0], refused(at(3), at(4)))
		w.same("Claim", ids(w.claim(at(5), lane, 2)), []uuid.UUID{second.ID, first.ID})
	})

	s.promise("a higher priority is claimed first, whenever it came", func(w *world) {
		low := w.submitNew(at(0))
		high := w.submitNew(at(2), priority(9))
		middle := w.submitNew(at(1), priority(5))
		second := w.submitNew(at(3), priority(9))
		w.same("Claim", ids(w.claim(at(60), lane, 3)), []uuid.UUID{high.ID, second.ID, middle.ID})
		w.crash()
		w.same("Claim of the rest", ids(w.claim(at(60), lane, 3)), []uuid.UUID{low.ID})
	})

	s.promise("a priority is kept over an attempt, and counts in its own lane only", func(w *world) {
		high := w.submitNew(at(0), priority(9))
		w.settle(w.claimOne(at(1)), retried(at(2), at(3)))
		low := w.submitNew(at(0))
		other := w.submitNew(at(0), in(slowLane))
		w.same("Claim", ids(w.claim(at(60), lane, 2)), []uuid.UUID{high.ID, low.ID})
		w.same("Claim of the other lane", ids(w.claim(at(60), slowLane, 2)), []uuid.UUID{other.ID})
	})

	s.promise("many of a high priority that are not due stand in nobody's way", func(w *world) {
		for range 200 {
			w.submitNew(at(0), priority(9), runAt(at(day)))
		}
		due := w.submitNew(at(1))
		w.same("Claim", ids(w.claim(at(2), lane, 10)), []uuid.UUID{due.ID})
		jobs, err := w.Store().DueJobs(w.ctx(), at(3))
		w.ok(err)
		w.same("DueJobs", jobs, store.DueJobs{Next: at(day)})
	})

	s.promise("no more of a lane are claimed than there is room for", func(w *world) {
		for i := range 5 {
			w.submitNew(at(i))
		}
		w.same("first claim", len(w.claim(at(10), lane, 3)), 3)
		w.same("second claim", len(w.claim(at(10), lane, 3)), 2)
		w.same("third claim", len(w.claim(at(10), lane, 3)), 0)
	})

	s.promise("each lane is claimed apart, with a number of its own", func(w *world) {
		otherProject := lane
		otherProject.Project = "other"
		otherProvider := lane
		otherProvider.Provider = "other"
		lanes := []store.Lane{lane, slowLane, otherProject, otherProvider}
		for i, l := range lanes {
			for range 3 {
				w.submitNew(at(i), in(l))
			}
		}
		jobs, err := w.Store().Claim(w.ctx(), store.ClaimJobs{Node: w.node, Now: at(10), Lanes: []store.LaneWant{{Lane: slowLane, N: 2}, {Lane: otherProject, N: 1}, {Lane: otherProvider, N: 9}}})
		w.ok(err)
		got := map[store.Lane]int{}
		for _, j := range jobs {
			got[j.Lane()]++
		}
		w.same("claimed by lane", got, map[store.Lane]int{slowLane: 2, otherProject: 1, otherProvider: 3})
	})

	s.promise("a claim finds the one due job behind many that are not", func(w *world) {
		for range 200 {
			w.submitNew(at(0), runAt(at(day)))
		}
		due := w.submitNew(at(0), runAt(at(1)))
		w.same("Claim", ids(w.claim(at(2), lane, 10)), []uuid.UUID{due.ID})
	})
}

func priority(p int) func(*store.Job) { return func(j *store.Job) { j.Priority = p } }

// suspect makes a waiting job that has outlived three processes.
func (w *world) suspect(t time.Time, changes ...func(*store.Job)) store.Job {
	w.Helper()
	j := w.running(t, changes...)
	for i := range store.SuspectAfter {
		j = w.settle(j, uncertain(t))
		if i < store.SuspectAfter-1 {
			j = w.claim(t, j.Lane(), 1)[0]
		}
	}
	if !j.Suspect() {
		w.Fatalf("after %d uncertain attempts the job is not suspect", j.Uncertain)
	}
	return j
}

func exerciseSuspects(s suite) {
	s.promise("a suspect is not claimed with its lane", func(w *world) {
		w.suspect(at(0))
		good := w.submitNew(at(1))
		w.same("Claim", ids(w.claim(at(2), lane, 10)), []uuid.UUID{good.ID})
		w.crash()
		w.same("Claim after a crash", ids(w.claim(at(2), lane, 10)), []uuid.UUID(nil))
	})

	s.promise("a suspect is claimed where suspects are asked for", func(w *world) {
		want := w.suspect(at(0))
		got := w.claimSuspects(at(2), 1)
		want.Status, want.Node, want.Fence, want.StartedAt = ringback.Running, w.node, want.Fence+1, at(2)
		w.same("Claim", got, []store.Job{want})
	})

	s.promise("no job but suspects is claimed as one", func(w *world) {
		w.submitNew(at(0))
		w.settle(w.claimOne(at(1)), uncertain(at(2)))
		w.settle(w.claimOne(at(3)), uncertain(at(4)))
		w.same("Claim", w.claimSuspects(at(5), 10), []store.Job(nil))
	})

	s.promise("at most as many suspects are claimed as are asked for, of any lane", func(w *world) {
		first := w.suspect(at(0), in(slowLane))
		second := w.suspect(at(1))
		w.same("first", ids(w.claimSuspects(at(2), 1)), []uuid.UUID{first.ID})
		w.same("second", ids(w.claimSuspects(at(2), 1)), []uuid.UUID{second.ID})
		w.same("third", ids(w.claimSuspects(at(2), 1)), []uuid.UUID(nil))
	})

	s.promise("a suspect too is never claimed before its run_at", func(w *world) {
		w.suspect(at(0))
		j := w.claimSuspects(at(1), 1)[0]
		w.settle(j, retried(at(2), at(10)))
		w.same("before", w.claimSuspects(at(9), 1), []store.Job(nil))
		w.same("at run_at", ids(w.claimSuspects(at(10), 1)), []uuid.UUID{j.ID})
	})
}
