package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
)

func (w *walk) submitAny() {
	w.claimer()
	n := w.newJob(w.now, w.anyOptions)
	if n.Job.Node != "" && !w.m.mayClaim(n.Job.Node) {
		_, _, err := w.Store().Submit(w.ctx(), n)
		w.fails(err, store.ErrNoLease)
		w.sayf("may not submit %s as running", nameOf(n.Job.ID))
		return
	}
	w.accept(n)
}

// accept submits a job.
func (w *walk) accept(n store.NewJob) {
	w.sameRow(w.submit(n), n.Job)
	w.accepted(n)
}

// accepted updates the model for a job that was stored.
func (w *walk) accepted(n store.NewJob) {
	w.m.submit(n)
	w.sawJob(w.world, n.Job)
	w.touched[n.Job.ID] = true
	w.armed = false
	if n.Job.Node != "" {
		w.claimed(n.Job)
	}
	w.sayf("submitted %s, %s", nameOf(n.Job.ID), n.Job.Status)
	w.repeats = append(w.repeats, repeat{"the submit of " + nameOf(n.Job.ID), func() {
		j := w.m.jobs[n.Job.ID]
		if j == nil {
			return
		}
		got, _, err := w.Store().Submit(w.ctx(), n)
		if errors.Is(err, store.ErrNoLease) && n.Job.Node != "" && !w.m.mayClaim(n.Job.Node) {
			return // it need not check whether the job exists
		}
		w.ok(err)
		w.sameRow(got, j.row)
	}})
}

// claimed records a claim that the store has granted.
func (w *walk) claimed(j store.Job) {
	w.same("whether it may be claimed for "+j.Node, w.m.mayClaim(j.Node), true)
	w.sawClaim(w.world, j.Ref())
	w.given = append(w.given, claim{j.Ref(), j.Node, j.ID})
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
		to(otherHost)(j)
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
		claimedOn(w.node)(j) // even if it has no lease
	case 2:
		j.RunAt = w.now.Add(time.Duration(w.number(1, 100, "seconds until run_at")) * time.Second)
	default:
	}
}

// replayAny repeats a job, if that is allowed.
func (w *walk) replayAny() {
	old := latest(w, w.jobs(anyJob), "job")
	w.claimer()
	n := w.newJob(w.now, w.anyOptions, replayOf(old.row))
	got, err := w.Store().Replay(w.ctx(), n)
	last := w.m.jobs[old.row.ReplayedBy]
	noLease := n.Job.Node != "" && !w.m.mayClaim(n.Job.Node)
	switch {
	case noLease && errors.Is(err, store.ErrNoLease): // whatever else is wrong with it
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
		w.same("whether it may start", noLease, false)
		w.ok(err)
		w.sameRow(got, n.Job)
		old.row.ReplayedBy = n.Job.ID
		w.accepted(n)
	}
}

// eraseAny deletes the content of a job, if that is allowed.
func (w *walk) eraseAny() {
	j := latest(w, w.jobs(anyJob), "job")
	w.anybody()
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

// submitKnown submits with an idempotency key that is taken.
func (w *walk) submitKnown() {
	known := latest(w, w.jobs(func(j store.Job) bool { return j.IdempotencyKey != "" }), "job with a key")
	hash := one(w, []string{"hash", "another"}, "hash")
	w.anybody()
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
	needs(w.jobs(isQueued))
	w.claimer()
	w.claimSome(w.number(0, 3, "jobs of "+lane.Model), w.number(0, 3, "jobs of "+slowLane.Model), w.number(0, 2, "suspects"))
}

// claimSome claims jobs of both lanes, and returns how many it got.
func (w *walk) claimSome(fast, slow, suspects int) int {
	c := store.ClaimJobs{Node: w.node, Now: w.now, Suspects: suspects, Lanes: []store.LaneWant{{Lane: lane, N: fast}, {Lane: slowLane, N: slow}}}
	got, err := w.Store().Claim(w.ctx(), c)
	if !w.m.mayClaim(w.node) {
		w.fails(err, store.ErrNoLease)
		w.sayf("may not claim")
		return 0
	}
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
		w.claimed(j)
		w.touched[j.ID] = true
	}
	w.sayf("claimed %q", namesOf(got))
	return len(got)
}

// claimedIn checks that the first n of those that were due were claimed, and returns how
// many these are. Of two that are due since the same moment, either may come first.
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
	j := latest(w, w.jobs(isRunning), "job")
	w.by(j.row.Node)
	o := w.anyOutcome()(j.row)
	if d := o.Delivery; d != nil && d.Node != "" && !w.m.mayClaim(d.Node) {
		_, err := w.Store().Settle(w.ctx(), j.row.Ref(), always(o))
		w.fails(err, store.ErrNoLease)
		w.sayf("may not settle %s with its webhook in flight", nameOf(j.row.ID))
		d.Node = ""
	}
	w.end(j, o)
}

// end settles a running attempt.
func (w *walk) end(j *modelJob, o store.Outcome) {
	ref := j.row.Ref()
	got, err := w.Store().Settle(w.ctx(), ref, always(o))
	w.ok(err)
	j.settled[ref.Fence] = true
	w.applied(j, o, got)
	w.sayf("settled %s: %s", nameOf(ref.ID), o.Attempt.Outcome)
	w.repeats = append(w.repeats, repeat{fmt.Sprintf("the settle of %s under fence %d", nameOf(ref.ID), ref.Fence), func() {
		got, err := w.Store().Settle(w.ctx(), ref, always(o))
		if w.m.erased[ref.ID] {
			w.fails(err, store.ErrFenced)
			return
		}
		w.ok(err)
		w.sameRow(got, j.row)
	}})
}

// applied checks a job after an outcome.
func (w *walk) applied(j *modelJob, o store.Outcome, got store.Job) {
	w.m.apply(j, o)
	w.sameRow(got, j.row)
	w.touched[j.row.ID] = true
	if o.Delivery != nil && o.Delivery.Node != "" {
		w.noteInFlight(j.delivery.row)
	}
}

// settleZombie settles a claim that is over, with a new outcome.
func (w *walk) settleZombie() {
	over := slices.DeleteFunc(slices.Clone(w.given), func(c claim) bool { return w.runs(c) && w.m.jobs[c.ID].row.Fence == c.Fence })
	zombie := latest(w, favour(over, w.runs), "claim that is over")
	w.by(zombie.node)
	_, err := w.Store().Settle(w.ctx(), zombie.Ref, w.anyOutcome())
	if errors.Is(err, store.ErrNoLease) && !w.m.mayClaim(w.node) {
		return // it need not check further
	}
	w.fails(err, store.ErrFenced)
	w.sayf("was fenced off from %s", nameOf(zombie.ID))
}

// runs reports whether the job of a claim is running, under any fence.
func (w *walk) runs(c claim) bool {
	j := w.m.jobs[c.ID]
	return j != nil && isRunning(j.row)
}

// anyOutcome decides as a worker may, whatever the provider's response.
func (w *walk) anyOutcome() store.Decide {
	kind := one(w, []string{"answer", "another answer", "failure", "retry", "refusal", "release", "uncertain", "next model"}, "outcome")
	again := w.now.Add(time.Duration(w.number(0, 100, "seconds until the next attempt")) * time.Second)
	partial, log, node, now := w.oneIn(2, "with a partial"), w.oneIn(2, "with a log"), w.sentBy(2), w.now
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
			o.RunAt = earlier(j.RunAt, now)
		case kind == "uncertain":
			o = afterCrash(now, "")(j)
		default:
			o = retried(now, again)
			if kind == "next model" && len(j.Fallbacks) > 0 {
				o.NextModel, o.NextProvider = j.Fallbacks[0], j.Provider
			}
		}
		if partial && o.Status != ringback.Completed {
			o.Partial = store.Pack([]byte("what came until " + now.String()))
		}
		if log {
			o.Events = store.Pack([]byte("what happened until " + now.String()))
		}
		return notifying(j, o, node)
	}
}

// sentBy returns the node that sends the webhook at once, if any.
func (w *walk) sentBy(oneIn int) string {
	if w.oneIn(oneIn, "with its webhook in flight") {
		return w.node
	}
	return ""
}

// notifying adds the webhook that an end causes, if it is wanted.
func notifying(j store.Job, o store.Outcome, node string) store.Outcome {
	if o.Status.Terminal() && slices.Contains(j.Options.Events, ringback.EventOf(o.Status)) {
		o.Delivery = newDelivery(j, o.Status, o.At)
		o.Delivery.Node = node
	}
	return o
}

// afterCrash decides about a job whose process died. If it ends, the given node, if any,
// sends its webhook at once.
func afterCrash(now time.Time, node string) store.Decide {
	return func(j store.Job) store.Outcome {
		o := freed(now)(j)
		if !j.CancelRequested && j.Options.RetryUncertain == ringback.RetryNever {
			o = failed(now)
			o.Attempt = attempt(now, ringback.AttemptUncertain)
		}
		return notifying(j, o, node)
	}
}

func (w *walk) cancelAny() {
	j := latest(w, w.jobs(anyJob), "job")
	w.claimer()
	node := w.sentBy(3)
	decide := func(j store.Job) store.Outcome { return notifying(j, cancelled(w.now)(j), node) }
	got, err := w.Store().Cancel(w.ctx(), project, j.row.ID, decide)
	if j.row.Status.Terminal() && j.row.Status != ringback.Cancelled {
		w.fails(err, store.ErrEnded)
		w.sameRow(got, j.row)
		return
	}
	var ends []*modelJob
	if j.row.Status == ringback.Queued {
		ends = append(ends, j)
	}
	if w.refused(err, ends, decide) {
		return
	}
	switch j.row.Status {
	case ringback.Queued:
		w.applied(j, decide(j.row), got)
	case ringback.Running:
		j.row.CancelRequested = true
	default:
	}
	w.sayf("cancelled %s", j)
	w.sameRow(got, j.row)
	w.touched[j.row.ID] = true
}

func (w *walk) expireAny() {
	w.passTime(0, 11*time.Minute, 2*time.Hour)
	w.claimer()
	limit, node := w.number(1, 4, "limit"), w.sentBy(3)
	over := w.jobs(func(j store.Job) bool { return j.Status == ringback.Queued && !j.EndBy.After(w.now) })
	decide := func(j store.Job) store.Outcome { return notifying(j, expired(w.now)(j), node) }
	got, err := w.Store().Expire(w.ctx(), w.now, limit, decide)
	if w.refused(err, over, decide) {
		return
	}
	w.sayf("let %q expire", namesOf(got))
	w.swept(got, over, limit, decide)
}

// swept checks that as many of the jobs as the limit allows have become what was decided.
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

// releaseAny releases some of what a node holds, and some that it does not.
func (w *walk) releaseAny() {
	needs(w.given)
	w.anybody()
	refs := refsOf(w.some(favour(w.given, func(c claim) bool { return w.runs(c) && w.m.jobs[c.ID].row.Node == w.node })))
	held := w.jobs(func(j store.Job) bool { return isRunning(j) && j.Node == w.node && slices.Contains(refs, j.Ref()) })
	node, decide := w.node, afterCrash(w.now, "")
	got, err := w.Store().Release(w.ctx(), node, refs, decide)
	w.ok(err)
	w.sayf("gave back %q", namesOf(got))
	w.swept(got, held, len(held), decide)
	w.repeats = append(w.repeats, repeat{fmt.Sprintf("the release by %s of %q", node, namesOf(got)), func() {
		got, err := w.Store().Release(w.ctx(), node, refs, decide)
		w.ok(err)
		w.same("what is given back once more", got, []store.Job(nil))
	}})
}

// some picks up to three claims.
func (w *walk) some(from []claim) []claim {
	var some []claim
	for range w.number(1, 3, "how many") {
		if c := latest(w, from, "claim"); !slices.Contains(some, c) {
			some = append(some, c)
		}
	}
	return some
}
