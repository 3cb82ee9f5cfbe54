package storetest

import (
	"errors"
	"sync"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
)

// exerciseFullDisk: a move that finds no space returns ErrFull and changes nothing. The
// moves that must not fit have a large body: a small change may fit into space that the
// store already has.
func exerciseFullDisk(s suite) {
	s.promise("on a full disk nothing is half done, and afterwards all goes on", fullDisk)
	s.promise("on a full disk a small move is done, or nothing of it", smallMovesOnFullDisk)
	s.promise("a disk that is full for a batch of many fails each of them", manyOnFullDisk)

	s.promise("on a full disk an answer is not settled, and is not lost to its owner", func(w *world) {
		running := w.running(at(0))
		restore := w.FullDisk()
		_, err := w.Store().Settle(w.ctx(), running.Ref(), always(large(running, notified(running, at(1)))))
		w.fails(err, store.ErrFull)
		w.same("Job", w.read(running.ID), running)
		w.noDelivery(running.ID)
		restore()
		w.settle(running, large(running, notified(running, at(1))))
		w.delivery(running.ID)
	})

	s.promise("what was stored before the disk was full survives a crash", func(w *world) {
		running := w.running(at(0))
		restore := w.FullDisk()
		_, _, err := w.Store().Submit(w.ctx(), largeJob(w))
		w.fails(err, store.ErrFull)
		restore()
		w.crash()
		w.same("List", w.list(store.Query{Project: project, Limit: 9}), []store.Job{running})
	})
}

// largeBody does not fit anywhere, compressed or not.
var largeBody = sync.OnceValue(func() store.Blob { return store.Pack(noise(1 << 20)) })

func largeJob(w *world) store.NewJob {
	n := w.newJob(at(0))
	n.Request = largeBody()
	return n
}

// large gives an end a large webhook.
func large(j store.Job, o store.Outcome) store.Outcome {
	o.Delivery = newDelivery(j, o.Status, o.At)
	o.Delivery.Body = largeBody()
	return o
}

func largely(decide store.Decide) store.Decide {
	return func(j store.Job) store.Outcome { return large(j, decide(j)) }
}

func fullDisk(w *world) {
	lost := w.running(at(0))
	w.die()
	waiting, running := w.submitNew(at(0), expiresAt(at(60))), w.running(at(0))
	restore := w.FullDisk()
	st, ctx := w.Store(), w.ctx()
	moves := []struct {
		name string
		make func() error
	}{
		{"Submit", func() error { _, _, err := st.Submit(ctx, largeJob(w)); return err }},
		{"Settle", func() error {
			_, err := st.Settle(ctx, running.Ref(), largely(always(completed(at(1), "hello"))))
			return err
		}},
		{"Cancel", func() error { _, err := st.Cancel(ctx, project, waiting.ID, largely(cancelled(at(1)))); return err }},
		{"Expire", func() error { _, err := st.Expire(ctx, at(99), 9, largely(expired(at(99)))); return err }},
		{"Release", func() error {
			_, err := st.Release(ctx, w.node, []store.Ref{running.Ref()}, largely(always(failed(at(1)))))
			return err
		}},
		{"Sweep", func() error { _, err := st.Sweep(ctx, w.node, at(1), 9, largely(always(failed(at(1))))); return err }},
	}
	for _, move := range moves {
		if err := move.make(); !errors.Is(err, store.ErrFull) {
			w.Errorf("%s: got error %v, want %q", move.name, err, store.ErrFull)
		}
		w.same("the waiting job after "+move.name, w.read(waiting.ID), waiting)
		w.same("the running job after "+move.name, w.read(running.ID), running)
		w.same("the dead node's job after "+move.name, w.read(lost.ID), lost)
		w.same("the ledger after "+move.name, w.ledger(running.ID)[0].Outcome, ringback.AttemptOutcome(""))
		w.same("Waiting after "+move.name, w.waiting().Jobs, 1)
		w.noDelivery(waiting.ID)
		w.noDelivery(running.ID)
	}
	w.ok(st.Reconcile(ctx))

	restore()
	for _, move := range moves {
		if err := move.make(); err != nil {
			w.Errorf("%s, when there is space again: %v", move.name, err)
		}
	}
	w.same("the waiting job", w.read(waiting.ID).Status, ringback.Cancelled)
	w.same("the running job", w.read(running.ID).Status, ringback.Completed)
	w.same("the dead node's job", w.read(lost.ID).Status, ringback.Failed)
	w.same("Waiting", w.waiting().Jobs, 1)
}

func smallMovesOnFullDisk(w *world) {
	j := w.submitNew(at(0))
	delivering := w.delivering(at(0))
	restore := w.FullDisk()
	_, err := w.Store().Claim(w.ctx(), store.ClaimJobs{Node: w.node, Now: at(1), Lanes: []store.LaneWant{{Lane: lane, N: 1}}})
	w.same("Status", w.read(j.ID).Status == ringback.Running, w.doneOrFull(err))
	_, err = w.Store().ClaimDeliveries(w.ctx(), store.ClaimHosts{Node: w.node, Now: at(1), Hosts: []store.HostWant{{Host: store.Host{Project: project, Host: host}, N: 1}}})
	claimed := w.doneOrFull(err)
	d, _ := w.delivery(delivering.ID)
	w.same("InFlight", d.InFlight, claimed)
	if claimed {
		_, err = w.Store().SettleDelivery(w.ctx(), d.Ref(), delivered(at(2)))
		settled := w.doneOrFull(err)
		d, tries := w.delivery(delivering.ID)
		w.same("delivered", d.Status == ringback.DeliveryDelivered, settled)
		w.same("the try is stored", len(tries) == 1, settled)
	}
	w.ok(w.Store().Reconcile(w.ctx()))
	restore()
}

func (w *world) doneOrFull(err error) bool {
	w.Helper()
	if err != nil {
		w.fails(err, store.ErrFull)
	}
	return err == nil
}

func manyOnFullDisk(w *world) {
	const callers = 16
	var errs [callers]error
	var jobs [callers]store.NewJob
	for i := range callers {
		jobs[i] = largeJob(w)
	}
	submitAll := func() {
		var wg sync.WaitGroup
		for i, n := range jobs {
			wg.Go(func() { _, _, errs[i] = w.Store().Submit(w.ctx(), n) })
		}
		wg.Wait()
	}
	restore := w.FullDisk()
	submitAll()
	for _, err := range errs {
		w.fails(err, store.ErrFull)
	}
	w.same("Waiting", w.waiting().Jobs, 0)
	restore()
	submitAll()
	w.ok(errors.Join(errs[:]...))
	w.same("Waiting", w.waiting().Jobs, callers)
}
