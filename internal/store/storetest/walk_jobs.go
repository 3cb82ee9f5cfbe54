package storetest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
)

func (w *walk) submitAny() {
	n := w.newJob(w.now, w.anyOptions)
	w.sameRow(w.submit(n), n.Job)
	w.accept(n)
}

func (w *walk) accept(n store.NewJob) {
	w.m.submit(n)
	w.touched[n.Job.ID] = true
	w.armed = false
	if n.Job.Node != "" {
		w.given = append(w.given, n.Job.Ref())
	}
	w.repeats = append(w.repeats, func() {
		if j := w.m.jobs[n.Job.ID]; j != nil {
			w.sameRow(w.submit(n), j.row)
		}
	})
}

func (w *walk) anyOptions(j *store.Job) {
	if w.oneIn(3, "in the slow lane") {
		in(slowLane)(j)
	} else if w.oneIn(3, "with a fallback") {
		j.Fallbacks = []string{slowLane.Model}
	}
	if w.oneIn(3, "with a priority") {
		j.Priority = w.number(1, store.MaxPriority, "priority")
	}
	if w.oneIn(3, "to another host") {
		to("https://b.example:443")(j)
	}
	if w.oneIn(4, "with a key") {
		w.keys++
		withKey(fmt.Sprintf("key-%d", w.keys), "hash")(j)
	}
	if w.oneIn(4, "only completions are wanted") {
		j.Options.Events = []ringback.EventType{ringback.EventCompleted}
	}
	if w.oneIn(3, "nearly a suspect") {
		j.Attempts, j.Uncertain = store.SuspectAfter-1, store.SuspectAfter-1
	}
	if w.oneIn(6, "never repeat the uncertain") {
		j.Options.RetryUncertain = ringback.RetryNever
	}
	if w.oneIn(2, "short-lived") {
		j.Options.ResultTTL = time.Minute
		j.ExpiresAt = w.now.Add(10 * time.Minute)
	}
	switch w.number(1, 4, "when") {
	case 1:
		bornOn(w.node)(j)
	case 2:
		j.RunAt = w.now.Add(time.Duration(w.number(1, 100, "seconds until run_at")) * time.Second)
	default:
	}
}

// replayAny repeats a job, if it may be.
func (w *walk) replayAny() {
	old := one(w, w.jobs(anyJob), "job")
	n := w.newJob(w.now, w.anyOptions, replayOf(old.row))
	got, err := w.Store().Replay(w.ctx(), n)
	last := w.m.jobs[old.row.ReplayedBy]
	switch {
	case !old.row.Status.Terminal():
		w.fails(err, store.ErrLive)
	case old.row.Status == ringback.Completed:
		w.fails(err, store.ErrEnded)
	case old.row.ContentGone:
		w.fails(err, store.ErrGone)
	case last != nil && !last.row.Status.Terminal():
		w.fails(err, store.ErrReplayed)
		w.sameRow(got, last.row)
	default:
		w.ok(err)
		w.sameRow(got, n.Job)
		old.row.ReplayedBy = n.Job.ID
		w.accept(n)
	}
}

// eraseAny deletes the content of a job, if it may be.
func (w *walk) eraseAny() {
	j := one(w, w.jobs(anyJob), "job")
	err := w.Store().Erase(w.ctx(), project, j.row.ID, w.now)
	switch {
	case !j.row.Status.Terminal():
		w.fails(err, store.ErrLive)
	case j.row.ContentGone:
		w.ok(err)
	default:
		w.ok(err)
		w.m.eraseContent(j, w.now)
		w.touched[j.row.ID] = true
	}
}

// submitKnown comes with an idempotency key that is taken.
func (w *walk) submitKnown() {
	known := one(w, w.jobs(func(j store.Job) bool { return j.IdempotencyKey != "" }), "job with a key")
	hash := one(w, []string{"hash", "another"}, "hash")
	got, replayed, err := w.Store().Submit(w.ctx(), w.newJob(w.now, withKey(known.row.IdempotencyKey, hash)))
	if hash != "hash" {
		w.fails(err, store.ErrMismatch)
		return
	}
	w.ok(err)
	w.same("replayed", replayed, true)
	w.sameRow(got, known.row)
}

func (w *walk) claimAny() {
	c := store.ClaimJobs{Node: w.node, Now: w.now, Suspects: w.number(0, 2, "suspects")}
	for _, l := range []store.Lane{lane, slowLane} {
		c.Lanes = append(c.Lanes, store.LaneWant{Lane: l, N: w.number(0, 3, "jobs of "+l.Model)})
	}
	got, err := w.Store().Claim(w.ctx(), c)
	w.ok(err)
	claimed := 0
	for _, want := range c.Lanes {
		claimed += w.claimedIn(got, want.N, func(j store.Job) bool { return j.Lane() == want.Lane && !j.Suspect() })
	}
	claimed += w.claimedIn(got, c.Suspects, func(j store.Job) bool { return j.Suspect() })
	w.same("how many were claimed", len(got), claimed)
	for _, j := range got {
		m := w.m.jobs[j.ID]
		m.claim(w.node, w.now)
		w.sameRow(j, m.row)
		w.given = append(w.given, j.Ref())
		w.touched[j.ID] = true
	}
}

// claimedIn wants the first n of those that were due, and says how many these
// are. Of two that are due since the same moment, either may come first.
func (w *walk) claimedIn(got []store.Job, n int, want func(store.Job) bool) int {
	due := w.m.due(w.now, want)
	due = due[:min(n, len(due))]
	var claimed, first []turn
	for _, j := range got {
		m := w.m.jobs[j.ID]
		if m == nil {
			w.Fatalf("Claim gave a job that does not exist: %s", j.ID)
		}
		if want(m.row) {
			w.same("status of a job before its claim", m.row.Status, ringback.Queued)
			claimed = append(claimed, turnOf(m.row))
		}
	}
	for _, j := range due {
		first = append(first, turnOf(j.row))
	}
	w.same("priority and run_at of those claimed", claimed, first)
	return len(claimed)
}

func (w *walk) settleAny() {
	j := one(w, w.jobs(isRunning), "running job")
	ref, o := j.row.Ref(), w.anyOutcome()(j.row)
	got, err := w.Store().Settle(w.ctx(), ref, always(o))
	w.ok(err)
	j.settled[ref.Fence] = true
	w.applied(j, o, got)
	w.repeats = append(w.repeats, func() {
		got, err := w.Store().Settle(w.ctx(), ref, always(o))
		if w.m.erased[ref.ID] {
			w.fails(err, store.ErrFenced)
			return
		}
		w.ok(err)
		w.sameRow(got, j.row)
	})
}

// applied is what a job must be after an outcome.
func (w *walk) applied(j *modelJob, o store.Outcome, got store.Job) {
	w.m.apply(j, o)
	w.sameRow(got, j.row)
	w.touched[j.row.ID] = true
	if o.Delivery != nil && o.Delivery.Node != "" {
		w.tried = append(w.tried, j.delivery.row.Ref())
	}
}

// settleZombie settles a claim that is over, with news of its own.
func (w *walk) settleZombie() {
	ref := one(w, slices.DeleteFunc(slices.Clone(w.given), func(ref store.Ref) bool {
		j := w.m.jobs[ref.ID]
		return j != nil && isRunning(j.row) && j.row.Fence == ref.Fence
	}), "claim that is over")
	_, err := w.Store().Settle(w.ctx(), ref, w.anyOutcome())
	w.fails(err, store.ErrFenced)
}

// anyOutcome decides as a worker may, whatever comes back from the provider.
func (w *walk) anyOutcome() store.Decide {
	kind := one(w, []string{"answer", "another answer", "failure", "retry", "refusal", "release", "uncertain", "next model"}, "outcome")
	again := w.now.Add(time.Duration(w.number(0, 100, "seconds until the next attempt")) * time.Second)
	partial, node, now := w.oneIn(2, "with a partial"), w.bornFor(2), w.now
	return func(j store.Job) store.Outcome {
		var o store.Outcome
		switch {
		case strings.HasSuffix(kind, "answer"):
			o = completed(now, "the answer at "+now.String())
		case j.CancelRequested:
			o = cancelled(now)(j)
			o.Attempt = attempt(now, ringback.AttemptCancelled)
		case kind == "failure":
			o = failed(now)
			o.Failed = true
		case kind == "refusal":
			o = refused(now, again)
		case kind == "release":
			o = released(now)
		case kind == "uncertain":
			o = afterCrash(now)(j)
		default:
			o = retried(now, again)
			if kind == "next model" && len(j.Fallbacks) > 0 {
				o.NextModel, o.NextProvider = j.Fallbacks[0], j.Provider
			}
		}
		if partial && o.Status != ringback.Completed {
			o.Partial = store.Pack([]byte("what came until " + now.String()))
		}
		return notifying(j, o, node)
	}
}

// bornFor is who sends the webhook at once, if anybody does.
func (w *walk) bornFor(oneIn int) string {
	if w.oneIn(oneIn, "with its webhook in flight") {
		return w.node
	}
	return ""
}

// notifying adds the webhook that an end causes, where it is wanted.
func notifying(j store.Job, o store.Outcome, node string) store.Outcome {
	if o.Status.Terminal() && slices.Contains(j.Options.Events, ringback.EventOf(o.Status)) {
		o.Delivery = newDelivery(j, o.Status, o.At)
		o.Delivery.Node = node
	}
	return o
}

// afterCrash decides about a job whose process died.
func afterCrash(now time.Time) store.Decide {
	return func(j store.Job) store.Outcome {
		o := freed(now)(j)
		if !j.CancelRequested && j.Options.RetryUncertain == ringback.RetryNever {
			o = failed(now)
			o.Attempt = attempt(now, ringback.AttemptUncertain)
		}
		return notifying(j, o, "")
	}
}

func (w *walk) cancelAny() {
	j := one(w, w.jobs(anyJob), "job")
	node := w.bornFor(3)
	decide := func(j store.Job) store.Outcome { return notifying(j, cancelled(w.now)(j), node) }
	got, err := w.Store().Cancel(w.ctx(), project, j.row.ID, decide)
	if j.row.Status.Terminal() && j.row.Status != ringback.Cancelled {
		w.fails(err, store.ErrEnded)
		w.sameRow(got, j.row)
		return
	}
	w.ok(err)
	switch j.row.Status {
	case ringback.Queued:
		w.applied(j, decide(j.row), got)
	case ringback.Running:
		j.row.CancelRequested = true
	default:
	}
	w.sameRow(got, j.row)
	w.touched[j.row.ID] = true
}

func (w *walk) expireAny() {
	w.passTime(0, 11*time.Minute, 2*time.Hour)
	limit, node := w.number(1, 4, "limit"), w.bornFor(3)
	over := w.jobs(func(j store.Job) bool { return j.Status == ringback.Queued && !j.EndBy.After(w.now) })
	decide := func(j store.Job) store.Outcome { return notifying(j, expired(w.now)(j), node) }
	got, err := w.Store().Expire(w.ctx(), w.now, limit, decide)
	w.ok(err)
	w.swept(got, over, limit, decide)
}

// swept wants as many of the jobs as the limit allows to have gone the way that
// was decided.
func (w *walk) swept(got []store.Job, from []*modelJob, limit int, decide store.Decide) {
	w.same("how many were swept", len(got), min(limit, len(from)))
	for _, g := range got {
		i := slices.IndexFunc(from, func(j *modelJob) bool { return j.row.ID == g.ID })
		if i < 0 {
			w.Fatalf("job %s was swept, and should not have been (or twice)", g.ID)
		}
		w.applied(from[i], decide(from[i].row), g)
		from = slices.Delete(from, i, i+1)
	}
}

// releaseAny gives back some of what runs, and of what does not any more.
func (w *walk) releaseAny() {
	var refs []store.Ref
	for _, ref := range w.given {
		if w.oneIn(2, "give back a claim") {
			refs = append(refs, ref)
		}
	}
	held := w.jobs(func(j store.Job) bool { return isRunning(j) && j.Node == w.node && slices.Contains(refs, j.Ref()) })
	got, err := w.Store().Release(w.ctx(), w.node, refs, afterCrash(w.now))
	w.ok(err)
	w.swept(got, held, len(held), afterCrash(w.now))
}

// sweepAll frees up to limit of what dead nodes hold, and says whether there may be more.
func (w *walk) sweepAll(limit int) (more bool) {
	jobs := w.jobs(func(j store.Job) bool { return isRunning(j) && j.Node != w.node })
	deliveries := w.deliveries(func(d *modelDelivery) bool { return d.row.InFlight && d.row.Node != w.node })
	got, err := w.Store().Sweep(w.ctx(), w.node, w.now, limit, afterCrash(w.now))
	w.ok(err)
	w.swept(got.Jobs, jobs, limit, afterCrash(w.now))
	w.same("how many tries were lost", got.Deliveries, min(limit, len(deliveries)))
	w.lost(deliveries, got.Deliveries)
	return len(got.Jobs) == limit || got.Deliveries == limit
}

// crashAny ends the process. Mostly what a start does first comes at once; where
// it does not, claims of the dead process are still running.
func (w *walk) crashAny() {
	w.crash()
	if w.oneIn(3, "without the first steps of a start") {
		return
	}
	for w.sweepAll(3) {
	}
	w.same("running jobs after a restart", len(w.jobs(isRunning)), 0)
	w.same("tries in flight after a restart", len(w.deliveries(isInFlight)), 0)
}
