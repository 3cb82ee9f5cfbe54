package dispatch

import (
	"context"
	"fmt"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/outcome"
	"github.com/ringback/ringback/internal/store"
)

// FreeSwept decides about the jobs of nodes that died. Their attempts ended without an
// outcome: the provider may have answered. done takes over what was freed; workedBeside
// reports whether this node worked at the same time as another one.
//
// Dead nodes make no more calls, so this node, if it worked beside them, may make as many
// beyond its own slots: these jobs have waited for the length of a lease already. (A
// process that came after them may run on the same machine, within the same limits.)
func (d *Dispatcher) FreeSwept(now time.Time) (decide store.Decide, done func(freed []store.Job, workedBeside func(node string) bool)) {
	seen := decisions{}
	decide = d.careful(seen, func(j store.Job) store.Outcome { return d.cfg.Policy.Lost(j, now) })
	return decide, func(freed []store.Job, workedBeside func(node string) bool) {
		var begun []store.Lane
		for _, j := range freed {
			d.names.used(j.Model)
			if j.Status == ringback.Queued && !j.Suspect() && workedBeside(seen[j.ID].before.Node) {
				begun = append(begun, j.Lane())
			}
		}
		d.scheduler.lend(begun)
		d.freed(seen, freed)
	}
}

// FreeUnbegun decides about jobs that were claimed and not begun. done takes over what was
// freed.
func (d *Dispatcher) FreeUnbegun(now time.Time) (decide store.Decide, done func(freed []store.Job)) {
	seen := decisions{}
	decide = d.careful(seen, func(j store.Job) store.Outcome { return outcome.Release(j, now) })
	return decide, func(freed []store.Job) { d.freed(seen, freed) }
}

// freed passes on what the freeing of jobs causes: their next attempts, their ends.
func (d *Dispatcher) freed(seen decisions, jobs []store.Job) {
	d.recorder.moves(seen, jobs...)
	for _, j := range jobs {
		d.cfg.Moved(j.ID) // it has ended, or another node may begin it next
	}
	d.Wake()
	d.cfg.Caused()
}

// FreeDrained gives back, in one transaction, the attempts that a node still holds when it
// has drained. It returns how many those were.
func (d *Dispatcher) FreeDrained(ctx context.Context, node string, held []store.Ref) (int, error) {
	now := d.cfg.Clock.Stamped()
	seen := decisions{}
	freed, err := d.cfg.Store.Release(ctx, node, held, d.careful(seen, func(j store.Job) store.Outcome {
		res, ok := d.inflight.drained[j.Ref()]
		if !ok { // its claim was committed, and its result is not known here: it was not begun
			res = outcome.Stopped(outcome.Drained, nil)
		}
		return d.cfg.Policy.Decide(j, res, now)
	}))
	if err != nil {
		return 0, fmt.Errorf("free jobs: %w", err)
	}
	d.recorder.moves(seen, freed...)
	for _, j := range freed {
		if j.Status.Terminal() {
			d.cfg.Moved(j.ID)
		}
	}
	return len(freed), nil
}

// Quarantine ends a job that can't be decided about. If even its webhook makes us panic, it
// has none.
func (d *Dispatcher) Quarantine(j store.Job) (o store.Outcome) {
	plain := outcome.Quarantine(j, d.cfg.Clock.Stamped())
	defer func() {
		if v := recover(); v != nil {
			_ = d.cfg.Supervisor.Panicked("make the webhook of a job", v, "job_id", j.ID)
			o = plain
		}
	}()
	return d.cfg.Webhooks.Conclude(j, plain)
}

// hastenBatch is how many jobs one transaction hastens.
const hastenBatch = 200

// Hasten makes the jobs due that a key refused: a restart often follows a repair.
func (d *Dispatcher) Hasten(ctx context.Context) error {
	for {
		now := d.cfg.Clock.Stamped()
		jobs, err := d.cfg.Store.Hasten(ctx, now, hastenBatch, func(store.Job) store.Outcome { return outcome.Hasten(now) })
		if err != nil || len(jobs) < hastenBatch {
			return err
		}
	}
}
