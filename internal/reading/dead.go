package reading

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/check"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/supervise"
)

// DeadPage asks for a page of dead letters.
type DeadPage struct {
	Filter ringback.DeadFilter
	Cursor string // of the page before; "" for the first
	Limit  int    // 1 to 100
}

// DeadJobs lists the jobs that failed and were neither replayed nor erased,
// newest first, without their bodies.
func (r *Reader) DeadJobs(ctx context.Context, project string, p DeadPage) (ringback.Page[ringback.Job], error) {
	page := ringback.Page[ringback.Job]{Data: []ringback.Job{}}
	q, err := deadQuery(project, p.Filter, p.Cursor)
	if err != nil {
		return page, err
	}
	q.Limit = p.Limit + 1 // one more, to know whether there is a next page
	jobs, next, err := r.store.DeadJobs(ctx, q)
	if err != nil {
		return page, err
	}
	jobs, next = cutPage(jobs, next, p.Limit, jobID)
	for i := range jobs {
		page.Data = append(page.Data, r.View(&jobs[i]))
	}
	page.NextCursor = cursor(next)
	return page, nil
}

// DeadDeliveries lists the deliveries that died and were neither delivered nor
// erased, newest first.
func (r *Reader) DeadDeliveries(ctx context.Context, project string, p DeadPage) (ringback.Page[ringback.Delivery], error) {
	page := ringback.Page[ringback.Delivery]{Data: []ringback.Delivery{}}
	q, err := deadQuery(project, p.Filter, p.Cursor)
	if err != nil {
		return page, err
	}
	q.Limit = p.Limit + 1
	deliveries, tries, next, err := r.store.DeadDeliveries(ctx, q)
	if err != nil {
		return page, err
	}
	return r.deliveryPage(deliveries, tries, next, p.Limit), nil
}

// deadQuery checks a filter.
func deadQuery(project string, f ringback.DeadFilter, cursor string) (store.DeadQuery, error) {
	q := store.DeadQuery{Project: project, Filter: f}
	c := check.Checks{}
	q.Filter.Kind = check.OneOf(&c, "kind", f.Kind, ringback.DeadJob, ringback.DeadDelivery)
	if f.Code != "" {
		check.OneOf(&c, "code", f.Code, ringback.ErrorDetailCodes...)
	}
	q.Hosts = hosts(&c, f.Host)
	if f.Kind == ringback.DeadDelivery {
		const message = " is about dead jobs; dead deliveries are selected by host and time"
		for field, given := range map[string]bool{
			"model": f.Model != "", "provider": f.Provider != "", "code": f.Code != "", "metadata": len(f.Metadata) > 0,
		} {
			if given {
				c.Fault(field, field+message)
			}
		}
	} else if f.Host != "" {
		c.Fault("host", "host is about dead deliveries; say kind=delivery")
	}
	if err := c.Err(); err != nil {
		return q, err
	}
	before, err := parseCursor(cursor)
	q.Before = before
	return q, err
}

const (
	deadActionFor = 20 * time.Second
	// deadBatch is how many are dealt with at once: they share commits.
	deadBatch = 100
)

// PurgeDead erases the dead jobs, or the bytes of the dead deliveries, that match.
func (r *Reader) PurgeDead(ctx context.Context, project string, a ringback.DeadAction) (ringback.DeadDone, error) {
	if a.Kind == ringback.DeadDelivery {
		return r.ToAllDead(ctx, project, a, func(ctx context.Context, id uuid.UUID) error {
			return r.store.EraseDelivery(ctx, project, id)
		})
	}
	return r.ToAllDead(ctx, project, a, func(ctx context.Context, id uuid.UUID) error {
		return r.store.Erase(ctx, project, id, r.clock.Stamped())
	})
}

// ToAllDead applies do to each dead letter that matches, newest first, until all are done,
// the limit is reached, or it has taken long. It skips those for which do fails. An error
// that concerns all of them ends it, and is returned if nothing has been done yet.
func (r *Reader) ToAllDead(ctx context.Context, project string, a ringback.DeadAction, do func(context.Context, uuid.UUID) error) (ringback.DeadDone, error) {
	var done ringback.DeadDone
	q, err := deadQuery(project, a.DeadFilter, a.Cursor)
	if err != nil {
		return done, err
	}
	limit, err := checkAction(a)
	if err != nil {
		return done, err
	}
	start := time.Now()
	if a.Cursor == "" {
		if done.Matched, err = r.store.CountDead(ctx, q); err != nil {
			return done, err
		}
	}
	one := func(ctx context.Context, id uuid.UUID) error {
		return r.cfg.Guarded("deal with a dead letter", func() error { return do(ctx, id) }, "id", id)
	}
	for b := (&batch{do: one}); ; {
		q.Limit = min(deadBatch, limit-b.done-b.skipped)
		ids, next, err := r.deadIDs(ctx, q)
		if b.err = err; err == nil {
			b.run(ctx, ids)
		}
		if b.err == nil {
			q.Before = next
		}
		over := next == nil || b.done+b.skipped >= limit || time.Since(start) > deadActionFor
		switch {
		case b.err != nil && b.done == 0:
			return done, r.cfg.Refused(b.err)
		case b.err != nil: // the next call, which begins with what is left, returns it
			done.NextCursor = cursor(cmp.Or(q.Before, &uuid.Max))
		case over && b.invalid != nil && b.done == 0:
			return done, b.invalid
		case !over:
			continue
		default:
			done.NextCursor = cursor(next)
		}
		done.Done, done.Skipped = b.done, b.skipped
		return done, nil
	}
}

// checkAction checks an action, and returns how many dead letters it may apply to.
func checkAction(a ringback.DeadAction) (limit int, err error) {
	c := check.Checks{}
	limit = c.Number("limit", a.Limit)
	f := a.DeadFilter
	all := f.Model == "" && f.Provider == "" && f.Code == "" && len(f.Metadata) == 0 && f.Host == "" &&
		cmp.Or(f.CreatedAfter, f.CreatedBefore, f.EndedAfter, f.EndedBefore) == nil
	if all && !a.All {
		c.Fault("all", "a filter is required, or all: true for every dead letter")
	}
	if err := c.Err(); err != nil {
		return 0, err
	}
	return limit, nil
}

// deadIDs reads the ids of the next dead letters.
func (r *Reader) deadIDs(ctx context.Context, q store.DeadQuery) (ids []uuid.UUID, next *uuid.UUID, err error) {
	if q.Filter.Kind == ringback.DeadDelivery {
		deliveries, _, next, err := r.store.DeadDeliveries(ctx, q)
		for _, d := range deliveries {
			ids = append(ids, d.ID)
		}
		return ids, next, err
	}
	jobs, next, err := r.store.DeadJobs(ctx, q)
	for _, j := range jobs {
		ids = append(ids, j.ID)
	}
	return ids, next, err
}

// batch applies do to several dead letters at once.
type batch struct {
	do func(context.Context, uuid.UUID) error

	mu            sync.Mutex
	done, skipped int
	invalid       error // the first about what is asked for
	err           error // one that concerns all of them
}

// run applies do to all of ids.
func (b *batch) run(ctx context.Context, ids []uuid.UUID) {
	var g errgroup.Group
	for _, id := range ids {
		g.Go(func() error {
			b.note(b.do(ctx, id))
			return nil
		})
	}
	_ = g.Wait() // its functions return nil
}

// note counts the outcome of one.
func (b *batch) note(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e, recorded := errors.AsType[*ringback.Error](err)
	switch {
	case err == nil:
		b.done++
	case recorded && (e.Code == ringback.InvalidRequest || e.Code == ringback.TooLarge): // the patch, or the present configuration, does not suit it
		b.skipped++
		b.invalid = cmp.Or(b.invalid, err)
	case concernsOne(err):
		b.skipped++
	default:
		b.err = err
	}
}

// concernsOne reports whether an error is about one dead letter, not about all.
func concernsOne(err error) bool {
	for _, fact := range []error{
		store.ErrNotFound, store.ErrLive, store.ErrEnded, store.ErrGone, store.ErrReplayed, store.ErrNotDead, store.ErrInFlight, supervise.ErrPanic, store.ErrUnreadable,
	} {
		if errors.Is(err, fact) {
			return true
		}
	}
	return false
}
