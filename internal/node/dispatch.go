package node

import (
	"cmp"
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/ringback/ringback/internal/outcome"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/supervise"
)

// dispatchJobs gives free slots to what waits in the store, whenever something
// happened that may allow it: a job came, a slot was freed, a time is over.
func (n *Node) dispatchJobs(ctx context.Context) error {
	return n.supervisor.Dispatch(ctx, "claim jobs", n.wakeJobs, n.claimJobs)
}

// claimJobs starts as many waiting jobs as there is room for. It returns when
// time alone may make more room.
func (n *Node) claimJobs(ctx context.Context, now time.Time) (next time.Time, err error) {
	l := n.members.Session()
	if n.draining.Load() || n.disk.Full() || n.supervisor.Short() || !l.Leased() {
		return now.Add(supervise.Idle), nil
	}
	if n.memory.Answers.Full() {
		return now.Add(10 * time.Millisecond), nil
	}
	w, err := n.store.DueJobs(ctx, now)
	if err != nil {
		return next, err
	}
	n.names.wait(w.Lanes)
	n.jobs.wait(w.Lanes)
	p, next := n.plan(w, l, now)
	if len(p.permits) == 0 {
		return next, nil
	}
	defer p.giveBack()
	defer underway(&n.claiming)()
	jobs, err := n.store.Claim(ctx, p.claim)
	if err != nil {
		return next, err
	}
	n.metrics.Dispatch.Claims.Add(float64(len(jobs)))
	for _, j := range jobs {
		n.names.used(j.Model)
		n.jobs.claimed(j.Lane())
		n.start(j, nil, p.permitFor(j))
	}
	// What was left in the lanes is seen at once, not only when a slot is freed.
	supervise.Wake(n.wakeJobs)
	return next, nil
}

// plan is what a claim asks for, with a permit for each job that it may get.
type plan struct {
	claim   store.ClaimJobs
	permits map[store.Lane][]*callPermit
}

// suspects is the key of the permit for suspect jobs.
var suspects = store.Lane{Project: "suspect"}

// plan deals free slots to the lanes in which something is due, one in turn,
// those that hold fewest first.
func (n *Node) plan(w store.DueJobs, l session, now time.Time) (p plan, next time.Time) {
	p = plan{claim: store.ClaimJobs{Node: l.ID()}, permits: map[store.Lane][]*callPermit{}}
	defer p.under(l)
	due, next := w.Lanes, w.Next
	n.jobs.order(due)
	anyone := len(due) > 0
	for len(due) > 0 {
		due = slices.DeleteFunc(due, func(l store.LaneWaiting) bool {
			if len(p.permits[l.Lane]) >= l.Count {
				return true
			}
			t := n.jobs.takeWaiting(l.Lane)
			if t == nil {
				if at := n.clock.Shared(n.jobs.next(l.Lane)); at.After(now) {
					next = earlier(next, at)
				}
				return true
			}
			p.permits[l.Lane] = append(p.permits[l.Lane], t)
			return false
		})
	}
	for lane, permits := range p.permits {
		p.claim.Lanes = append(p.claim.Lanes, store.LaneWant{Lane: lane, N: len(permits)})
	}
	n.planSuspect(&p, w.Suspects, anyone, now)
	p.claim.Now = n.clock.Now() // after the permits: an attempt begins when the one that had its permit has ended
	return p, next
}

// suspectPatience is how long a suspect job is put behind all others.
const suspectPatience = time.Minute

// planSuspect lets one suspect job start, when nothing else is due or it has
// waited long enough. Its lane is known only when it is claimed, so it takes
// its permit then.
func (n *Node) planSuspect(p *plan, w store.LaneWaiting, othersDue bool, now time.Time) {
	if w.Count == 0 || (othersDue && now.Sub(w.Due) < suspectPatience) {
		return
	}
	if t := n.jobs.takeSuspect(); t != nil {
		p.claim.Suspects = 1
		p.permits[suspects] = []*callPermit{t}
	}
}

func (p *plan) permitFor(j store.Job) *callPermit {
	lane := j.Lane()
	if j.Suspect() {
		lane = suspects
	}
	permits := p.permits[lane]
	t := permits[len(permits)-1]
	p.permits[lane] = permits[:len(permits)-1]
	return t
}

// under makes it a claim of a session.
func (p *plan) under(l session) {
	for _, permits := range p.permits {
		for _, t := range permits {
			t.session = l
		}
	}
}

func (p *plan) giveBack() {
	for _, permits := range p.permits {
		for _, t := range permits {
			t.give()
		}
	}
}

// order puts lanes that hold few slots before those that hold many.
func (s *callScheduler) order(lanes []store.LaneWaiting) {
	s.mu.Lock()
	defer s.mu.Unlock()
	slices.SortFunc(lanes, func(a, b store.LaneWaiting) int {
		return cmp.Or(
			cmp.Compare(s.lanes[s.sharing(a.Lane)], s.lanes[s.sharing(b.Lane)]),
			a.Due.Compare(b.Due))
	})
}

// earlier is the earlier of two times; a zero one counts for nothing.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}

// later is the later of two times.
func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// start runs an attempt that is committed. Its goroutine owns the permit.
func (n *Node) start(j store.Job, request []byte, t *callPermit) {
	n.inflight.start(j.Ref(), t.session)
	n.group.Go(func() error {
		defer func() {
			n.inflight.leave(j.Ref())
			t.give()
			supervise.Wake(n.wakeJobs)
		}()
		if t.suspect && !t.enterLate(j.Lane()) {
			held := outcome.Stopped(outcome.OnHold, nil)
			held.Refusal.Until = n.clock.Shared(n.jobs.next(j.Lane()))
			n.settle(&j, held, n.clock.Now(), nil)
			return nil
		}
		if err := n.supervisor.Guarded("make an attempt", func() error { n.generate(&j, request, t); return nil }, "job_id", j.ID, "attempt", j.Fence); err != nil {
			_ = n.supervisor.Guarded(supervise.StepSettle, func() error { n.settle(&j, outcome.Failed(internalError(err, true)), n.clock.Now(), nil); return nil }, "job_id", j.ID)
		}
		return nil
	})
}

// underway records when a claim is requested, until its end: before that, nobody here knows
// what it returns.
func underway(claim *atomic.Pointer[time.Time]) (over func()) {
	claim.Store(new(time.Now()))
	return func() { claim.Store(nil) }
}
