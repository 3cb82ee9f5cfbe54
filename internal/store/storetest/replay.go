package storetest

import (
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
)

func replayOf(j store.Job) func(*store.Job) { return func(n *store.Job) { n.ReplayOf = j.ID } }

// replay stores a job that repeats another.
func (w *world) replay(dead store.Job, created time.Time, changes ...func(*store.Job)) store.Job {
	w.Helper()
	j, err := w.Store().Replay(w.ctx(), w.newJob(created, append(changes, replayOf(dead))...))
	w.ok(err)
	return j
}

// replayFails checks that a replay is refused.
func (w *world) replayFails(dead store.Job, created time.Time, want error) store.Job {
	w.Helper()
	j, err := w.Store().Replay(w.ctx(), w.newJob(created, replayOf(dead)))
	w.fails(err, want)
	return j
}

// died makes a job that failed at that time.
func (w *world) died(t time.Time, changes ...func(*store.Job)) store.Job {
	w.Helper()
	return w.settle(w.running(t, changes...), failed(t))
}

func exerciseReplay(s suite) {
	s.promise("a replay is a new job; the dead one has its id and is else the same", func(w *world) {
		dead := w.died(at(0))
		n := w.newJob(at(10), replayOf(dead))
		got, err := w.Store().Replay(w.ctx(), n)
		w.ok(err)
		w.same("Replay", got, n.Job)
		w.crash()
		w.same("the new job", w.read(n.Job.ID), n.Job)
		want := dead
		want.ReplayedBy = n.Job.ID
		w.same("the dead one", w.read(dead.ID), want)
		w.same("request", string(w.content(n.Job.ID).Request), string(requestOf(n.Job)))
		w.same("Claim", ids(w.claim(at(11), lane, 2)), []uuid.UUID{n.Job.ID})
	})

	s.promise("a replay may be claimed on insert", func(w *world) {
		j := w.replay(w.died(at(0)), at(10), claimedOn(w.node))
		w.same("Settle", w.settle(j, completed(at(11), "hello")).Status, ringback.Completed)
	})

	s.promise("a replay of which the commit is repeated is made once", func(w *world) {
		n := w.newJob(at(10), replayOf(w.died(at(0))))
		for range 2 {
			got, err := w.Store().Replay(w.ctx(), n)
			w.ok(err)
			w.same("Replay", got, n.Job)
		}
		w.same("Waiting", w.waiting().Jobs, 1)
	})

	s.promise("while a replay lives there is no second; afterwards there is", func(w *world) {
		dead := w.died(at(0))
		first := w.replay(dead, at(10))
		w.same("the one that lives", w.replayFails(dead, at(11), store.ErrReplayed), first)
		first = w.claimOne(at(12))
		w.same("the one that runs", w.replayFails(dead, at(13), store.ErrReplayed), first)
		w.settle(first, failed(at(14)))
		second := w.replay(dead, at(15))
		w.same("ReplayedBy", w.read(dead.ID).ReplayedBy, second.ID)
	})

	s.promise("a replay that is to be the only one is refused after another, whatever became of that", func(w *world) {
		dead := w.died(at(0))
		first := w.replay(dead, at(10))
		w.settle(w.claimOne(at(11)), completed(at(12), "hello"))
		again := w.newJob(at(13), replayOf(dead))
		again.Once = true
		_, err := w.Store().Replay(w.ctx(), again)
		w.fails(err, store.ErrReplayed)
		w.same("ReplayedBy", w.read(dead.ID).ReplayedBy, first.ID)
		w.same("Waiting", w.waiting().Jobs, 0)
	})

	s.promise("what was cancelled or has expired can be replayed too", func(w *world) {
		for _, end := range []store.Job{
			w.cancel(w.submitNew(at(0)).ID, cancelled(at(1))),
			func() store.Job {
				w.submitNew(at(0), expiresAt(at(60)))
				return w.expire(at(60), 1, expired(at(60)))[0]
			}(),
		} {
			w.replay(end, at(100))
		}
	})

	s.promise("only a job of the project that has ended without an answer can be replayed", func(w *world) {
		w.replayFails(w.submitNew(at(0)), at(10), store.ErrLive)
		w.replayFails(w.running(at(0)), at(10), store.ErrLive)
		w.replayFails(w.settle(w.running(at(0)), completed(at(1), "hello")), at(10), store.ErrEnded)
		w.replayFails(store.Job{ID: w.newID(at(0))}, at(10), store.ErrNotFound)
		dead := w.died(at(0))
		_, err := w.Store().Replay(w.ctx(), w.newJob(at(10), replayOf(dead), func(j *store.Job) { j.Project = "other" }))
		w.fails(err, store.ErrNotFound)
		w.prune(at(20 * day))
		w.replayFails(dead, at(20*day), store.ErrGone)
		w.same("how many wait", w.waiting().Jobs, 1)
	})
}
