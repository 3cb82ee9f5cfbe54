package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
)

// exerciseManyCallers are histories of concurrent moves, which share a transaction or wait
// for each other.
func exerciseManyCallers(s suite) {
	s.promise("32 callers submit, claim and settle: each job ends exactly once", manyCallers)
	s.promise("a job that was submitted while a claim read is claimed by the next", claimsRaceSubmits)
	s.promise("one job and many claims: one gets it", oneJobManyClaims)
	s.promise("one claim and many settles: one end is stored", oneClaimManySettles)
	s.promise("a cancelled caller in a group commit fails none of the others", cancelledCaller)
	s.promise("a constraint clash of one member fails none of the others", clashOfOneMember)
	s.promise("a member without a lease fails none of the others", noLeaseOfOneMember)
	s.promise("a panic of one member fails none of the others", panicOfOneMember)
	s.promise("a commit of many callers whose outcome is unknown", manyLostAtOnce)
	s.promise("Close waits for the moves under way: each is done, or was refused", closeUnderLoad)
}

// patience bounds the wait for other goroutines: it is only reached if something was lost.
const patience = time.Minute

func manyCallers(w *world) {
	const callers, each = 32, 10
	ctx, stop := context.WithTimeout(w.ctx(), patience)
	defer stop()
	var ended atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	for range callers {
		var jobs []store.NewJob
		for range each {
			jobs = append(jobs, w.newJob(at(0)))
		}
		g.Go(func() error {
			for _, n := range jobs {
				if _, _, err := w.Store().Submit(ctx, n); err != nil {
					return err
				}
				claimed, err := w.Store().Claim(ctx, store.ClaimJobs{Node: w.node, Now: at(1), Lanes: []store.LaneWant{{Lane: lane, N: 2}}})
				if err != nil {
					return err
				}
				for _, j := range claimed {
					if _, err := w.Store().Settle(ctx, j.Ref(), always(notified(j, at(2)))); err != nil {
						return err
					}
					ended.Add(1)
				}
			}
			return nil
		})
	}
	w.ok(g.Wait())
	w.same("ends", ended.Load(), int64(callers*each))
	jobs := w.list(store.Query{Project: project, Status: ringback.Completed, Limit: 100})
	w.same("completed jobs", len(jobs), callers*each)
	for _, j := range jobs {
		w.same("how many attempts", len(w.ledger(j.ID)), 1)
		w.delivery(j.ID)
	}
	w.same("Waiting", w.waiting().Jobs, 0)
	w.same("Waiting deliveries", w.waiting().Deliveries, callers*each)
}

// claimsRaceSubmits claims until everything that was submitted has been claimed; a job that
// is left behind makes it time out.
func claimsRaceSubmits(w *world) {
	const submitters, each = 4, 50
	ctx, stop := context.WithTimeout(w.ctx(), patience)
	defer stop()
	g, ctx := errgroup.WithContext(ctx)
	for range submitters {
		var jobs []store.NewJob
		for range each {
			jobs = append(jobs, w.newJob(at(0)))
		}
		g.Go(func() error {
			for _, n := range jobs {
				if _, _, err := w.Store().Submit(ctx, n); err != nil {
					return err
				}
			}
			return nil
		})
	}
	var mu sync.Mutex
	seen := map[uuid.UUID]int{}
	missing := func() int {
		mu.Lock()
		defer mu.Unlock()
		return submitters*each - len(seen)
	}
	for range 4 {
		g.Go(func() error {
			for missing() > 0 {
				claimed, err := w.Store().Claim(ctx, store.ClaimJobs{Node: w.node, Now: at(1), Lanes: []store.LaneWant{{Lane: lane, N: 7}}})
				if err != nil {
					return fmt.Errorf("with %d jobs not claimed: %w", missing(), err)
				}
				mu.Lock()
				for _, j := range claimed {
					seen[j.ID]++
				}
				mu.Unlock()
			}
			return nil
		})
	}
	w.ok(g.Wait())
	for id, times := range seen {
		if times != 1 {
			w.Errorf("job %s was claimed %d times, want once", id, times)
		}
	}
	w.waits(store.Waiting{})
}

func oneJobManyClaims(w *world) {
	const callers = 16
	w.submitNew(at(0))
	var got atomic.Int64
	var g errgroup.Group
	for range callers {
		g.Go(func() error {
			jobs, err := w.Store().Claim(w.ctx(), store.ClaimJobs{Node: w.node, Now: at(1), Lanes: []store.LaneWant{{Lane: lane, N: 1}}})
			got.Add(int64(len(jobs)))
			return err
		})
	}
	w.ok(g.Wait())
	w.same("claims that got it", got.Load(), int64(1))
}

// oneClaimManySettles is a zombie and its owner, many times over.
func oneClaimManySettles(w *world) {
	const callers = 16
	running := w.running(at(0))
	var won atomic.Int64
	var g errgroup.Group
	for i := range callers {
		g.Go(func() error {
			o := completed(at(i+1), fmt.Sprint(i))
			o.Delivery = newDelivery(running, o.Status, o.At)
			_, err := w.Store().Settle(w.ctx(), running.Ref(), always(o))
			if err == nil {
				won.Add(1)
			}
			if errors.Is(err, store.ErrFenced) {
				return nil
			}
			return err
		})
	}
	w.ok(g.Wait())
	w.same("settles that won", won.Load(), int64(1))
	ended := w.read(running.ID)
	w.same("Answer", string(w.content(running.ID).Answer), fmt.Sprint(int(ended.EndedAt.Sub(at(1)).Seconds())))
	d, _ := w.delivery(running.ID)
	w.same("MadeAt", d.MadeAt, ended.EndedAt)
	w.same("how many attempts", len(w.ledger(running.ID)), 1)
}

func cancelAndSettleAtOnce(w *world) {
	for range 10 {
		running := w.running(at(0))
		var g errgroup.Group
		g.Go(func() error {
			_, err := w.Store().Cancel(w.ctx(), project, running.ID, cancelled(at(1)))
			if errors.Is(err, store.ErrEnded) {
				return nil
			}
			return err
		})
		g.Go(func() error {
			_, err := w.Store().Settle(w.ctx(), running.Ref(), always(notified(running, at(1))))
			return err
		})
		w.ok(g.Wait())
		got := w.read(running.ID)
		w.same("Status", got.Status, ringback.Completed)
		w.same("how many attempts", len(w.ledger(running.ID)), 1)
		w.delivery(running.ID)
	}
}

func cancelledCaller(w *world) {
	const callers = 32
	var jobs [callers]store.NewJob
	var errs [callers]error
	var wg sync.WaitGroup
	for i := range callers {
		jobs[i] = w.newJob(at(0))
		wg.Go(func() {
			ctx, leave := context.WithCancel(w.ctx())
			defer leave()
			if i%2 == 1 {
				go leave()
			}
			_, _, errs[i] = w.Store().Submit(ctx, jobs[i])
		})
	}
	wg.Wait()
	stored := 0
	for i, err := range errs {
		if i%2 == 0 {
			w.ok(err)
		} else if err != nil {
			w.fails(err, context.Canceled)
		}
		_, c, missing := w.Store().Job(w.ctx(), project, jobs[i].Job.ID, allParts)
		switch {
		case missing == nil: // even one whose caller left too late
			stored++
			w.same("Request", string(c.Request), string(requestOf(jobs[i].Job)))
		case err == nil:
			w.Errorf("job %s was accepted and is lost: %v", jobs[i].Job.ID, missing)
		}
	}
	w.same("Waiting", w.waiting().Jobs, stored)
}

// clashOfOneMember gives every third settle a webhook whose id is taken.
func clashOfOneMember(w *world) {
	const callers = 24
	taken := w.delivering(at(0))
	var jobs [callers]store.Job
	for i := range callers {
		jobs[i] = w.running(at(0))
	}
	var errs [callers]error
	var wg sync.WaitGroup
	for i, j := range jobs {
		wg.Go(func() {
			o := notified(j, at(1))
			if i%3 == 0 {
				o.Delivery.ID = deliveryID(taken.ID, ringback.EventCompleted)
			}
			_, errs[i] = w.Store().Settle(w.ctx(), j.Ref(), always(o))
		})
	}
	wg.Wait()
	for i, j := range jobs {
		got := w.read(j.ID)
		if i%3 == 0 {
			w.same("whether the clash was refused", errs[i] != nil, true)
			w.same("the job of the clash", got, j)
			continue
		}
		w.ok(errs[i])
		w.same("Status", got.Status, ringback.Completed)
		w.delivery(j.ID)
	}
}

// noLeaseOfOneMember makes every third submit start on a node that has never joined.
func noLeaseOfOneMember(w *world) {
	const callers = 24
	var jobs [callers]store.NewJob
	var errs [callers]error
	var wg sync.WaitGroup
	for i := range callers {
		node := w.node
		if i%3 == 0 {
			node = "another"
		}
		jobs[i] = w.newJob(at(0), claimedOn(node))
		wg.Go(func() { _, _, errs[i] = w.Store().Submit(w.ctx(), jobs[i]) })
	}
	wg.Wait()
	for i, n := range jobs {
		if i%3 == 0 {
			w.fails(errs[i], store.ErrNoLease)
			w.notFound(n.Job.ID)
			w.noContent(n.Job.ID)
			continue
		}
		w.ok(errs[i])
		w.same("Job", w.read(n.Job.ID), n.Job)
	}
}

func panicOfOneMember(w *world) {
	const callers = 16
	var jobs [callers]store.Job
	for i := range callers {
		jobs[i] = w.running(at(0))
	}
	var errs [callers]error
	var wg sync.WaitGroup
	for i, j := range jobs {
		wg.Go(func() {
			defer func() { _ = recover() }() // an error or a panic: both belong to the caller
			_, errs[i] = w.Store().Settle(w.ctx(), j.Ref(), func(j store.Job) store.Outcome {
				if i == 0 {
					panic("a bug above")
				}
				return notified(j, at(1))
			})
		})
	}
	wg.Wait()
	w.same("the job of the panic", w.read(jobs[0].ID), jobs[0])
	for i, j := range jobs[1:] {
		w.ok(errs[i+1])
		w.same("Status", w.read(j.ID).Status, ringback.Completed)
		w.delivery(j.ID)
	}
}

func manyLostAtOnce(w *world) {
	const callers = 24
	var running [callers]store.Job
	var fresh [callers]store.NewJob
	for i := range callers {
		running[i], fresh[i] = w.running(at(0)), w.newJob(at(0), in(slowLane))
	}
	var g errgroup.Group
	for i := range callers {
		if i%6 == 0 {
			w.LoseCommit()
		}
		g.Go(func() error {
			_, err := w.Store().Settle(w.ctx(), running[i].Ref(), always(notified(running[i], at(1))))
			return err
		})
		g.Go(func() error {
			_, _, err := w.Store().Submit(w.ctx(), fresh[i])
			return err
		})
	}
	w.ok(g.Wait())
	for _, j := range running {
		w.same("Status", w.read(j.ID).Status, ringback.Completed)
		w.same("how many attempts", len(w.ledger(j.ID)), 1)
		w.delivery(j.ID)
	}
	w.same("Waiting", w.waiting().Jobs, callers)
	w.same("Waiting deliveries", w.waiting().Deliveries, callers)
}

func closeUnderLoad(w *world) {
	const callers = 32
	var jobs [callers]store.NewJob
	var errs [callers]error
	var wg sync.WaitGroup
	for i := range callers {
		jobs[i] = w.newJob(at(0))
		wg.Go(func() { _, _, errs[i] = w.Store().Submit(w.ctx(), jobs[i]) })
	}
	w.ok(w.Store().Close())
	wg.Wait()
	w.crash() // opens it again
	for i, err := range errs {
		_, _, missing := w.Store().Job(w.ctx(), project, jobs[i].Job.ID, 0)
		if err == nil {
			w.ok(missing)
			continue
		}
		w.fails(err, store.ErrClosed)
		w.fails(missing, store.ErrNotFound)
	}
}
