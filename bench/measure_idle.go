package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"runtime/debug"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	idle   = "10,000 idle readers"
	idlers = 10_000
	// otherFiles is how many descriptors a process may need beside those of readers.
	otherFiles = 4_000
)

// measureIdle: what waiting readers occupy, and what they cost others.
func measureIdle(ctx context.Context, b *bench) error {
	for range b.rounds {
		if err := b.withStores(func(c contender) error { return b.idle(ctx, c, idlers) }, idle); err != nil {
			return err
		}
	}
	return nil
}

// idle: n readers of as many jobs that are not due; half of them vanish at once. What do
// they occupy, is it freed again, and what do they cost others?
func (b *bench) idle(ctx context.Context, c contender, n int) error {
	if err := allowFiles(n + otherFiles); err != nil {
		return err
	}
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // or the bench would scan its own readers all the time
	u, err := b.start(ctx, c, options{})
	if err != nil {
		return err
	}
	defer u.stop()
	rate, err := b.warm(ctx, u)
	if err != nil {
		return err
	}
	ids, err := b.putOff(ctx, u, n)
	if err != nil {
		return err
	}
	jobs := max(50, int(rate*b.seconds))
	for range 2 { // until the store is larger than what its processes cache
		if _, err := b.flood(ctx, u, atOnce, promptSize, jobs); err != nil {
			return err
		}
	}
	if err := b.floods(ctx, u, "jobs without readers", jobs, 2); err != nil {
		return err
	}
	b.holds(u, "before")
	all, err := b.connect(ctx, u, ids)
	if err != nil {
		return err
	}
	defer func() { all.leave(len(all.cancel)) }()
	b.note(idle, c.Name, "told to come again", "times", float64(b.world.run.Load().away.Load()))
	memory := b.holds(u, "with them").memory
	if err := b.rests(ctx, u); err != nil {
		return err
	}
	b.profile.snapshot(ctx, u, live+"-idle")
	if err := b.beside(ctx, u, jobs, memory); err != nil {
		return err
	}
	return b.vanish(ctx, u, all, jobs)
}

// beside notes the throughput beside readers, and the peak memory. The latter is sampled in
// a separate flood, since sampling takes time too.
func (b *bench) beside(ctx context.Context, u *up, jobs int, before float64) error {
	err := b.profile.during(ctx, u, live+"-beside", func() error {
		return b.floods(ctx, u, "jobs beside them", jobs, 3)
	})
	if err != nil {
		return err
	}
	w := watch(200*time.Millisecond, u.processes...)
	_, err = b.flood(ctx, u, atOnce, promptSize, jobs)
	b.note(idle, u.Name, "memory, at most", "MB", max(before, float64(w.end().peak)/1e6))
	return err
}

// rests notes what waiting readers cost.
func (b *bench) rests(ctx context.Context, u *up) error {
	return b.profile.during(ctx, u, live+"-rest", func() error {
		before, began := measure(u.processes...), time.Now()
		select {
		case <-time.After(time.Duration(2 * b.seconds * float64(time.Second))):
		case <-ctx.Done():
			return ctx.Err()
		}
		spent := measure(u.processes...).CPU - before.CPU
		b.note(idle, u.Name, "processor, where nothing else is done", "ms a second", float64(spent.Milliseconds())/time.Since(began).Seconds())
		if b.verbose {
			log.Printf("      %s: %.0f MB of heap, %.0f MB of stacks", u.Name, gauge(u, "go_memstats_heap_inuse_bytes")/1e6, gauge(u, "go_memstats_stack_inuse_bytes")/1e6)
		}
		return nil
	})
}

// floods notes the throughput, times times.
func (b *bench) floods(ctx context.Context, u *up, metric string, jobs, times int) error {
	for range times {
		rate, err := b.flood(ctx, u, atOnce, promptSize, jobs)
		if err != nil {
			return err
		}
		b.note(idle, u.Name, metric, "/s", rate)
	}
	return nil
}

// vanish lets half of the readers vanish, then the others.
func (b *bench) vanish(ctx context.Context, u *up, all *readers, jobs int) error {
	half := len(all.cancel) / 2
	before, began := measure(u.processes...).Descriptors, time.Now()
	all.leave(half)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if !await(ctx, func() bool { return measure(u.processes...).Descriptors <= before-half+closing }) {
		return errors.New("the descriptors of those that have vanished are still open")
	}
	b.note(idle, u.Name, "half of them vanish: their descriptors are closed after", "s", time.Since(began).Seconds())
	b.holds(u, "with half of them")
	all.leave(len(all.cancel))
	if err := b.floods(ctx, u, "jobs without readers", jobs, 2); err != nil {
		return err
	}
	b.holds(u, "when all have left")
	return nil
}

// closing is how many descriptors may come and go meanwhile.
const closing = 10

// holds notes what the contender's process occupies now.
func (b *bench) holds(u *up, when string) held {
	use := measure(u.processes...)
	h := held{memory: float64(use.Memory) / 1e6, descriptors: float64(use.Descriptors), goroutines: goroutines(u)}
	b.note(idle, u.Name, "memory "+when, "MB", h.memory)
	b.note(idle, u.Name, "goroutines "+when, "", h.goroutines)
	b.note(idle, u.Name, "descriptors "+when, "", h.descriptors)
	return h
}

// putOff submits jobs that are not due.
func (b *bench) putOff(ctx context.Context, u *up, n int) ([]string, error) {
	r := b.world.begin(atOnce, n, n)
	s := newWatchedSubmitter(b.world, r, u)
	defer s.close()
	s.also += fmt.Sprintf(`,"run_at":"%s"`, time.Now().Add(24*time.Hour).UTC().Format(time.RFC3339))
	s.flood(ctx, 0, n, submitters)
	return s.ids, s.err()
}

// readers are the waiting readers.
type readers struct {
	cancel []context.CancelFunc // of the readers that are present
	group  errgroup.Group
}

// connect opens and reads a stream for each job. The caller must release the readers.
func (b *bench) connect(ctx context.Context, u *up, ids []string) (*readers, error) {
	r := b.world.run.Load()
	all := &readers{cancel: make([]context.CancelFunc, len(ids))}
	opening, within := errgroup.WithContext(ctx)
	opening.SetLimit(2 * submitters)
	for i, id := range ids {
		reading, cancel := context.WithCancel(ctx)
		all.cancel[i] = cancel
		opening.Go(func() error {
			rd, err := r.open(within, u.streamOf(id), i)
			if err != nil {
				return err
			}
			all.group.Go(func() error { return rd.read(reading, r) })
			return nil
		})
	}
	if err := opening.Wait(); err != nil {
		all.leave(len(ids))
		return nil, err
	}
	return all, nil
}

// leave makes n of the readers vanish silently. The last call waits for all.
func (c *readers) leave(n int) {
	for _, cancel := range c.cancel[:min(n, len(c.cancel))] {
		cancel()
	}
	if c.cancel = c.cancel[min(n, len(c.cancel)):]; len(c.cancel) == 0 {
		_ = c.group.Wait() // they were cut off
	}
}

// allowFiles makes sure that this process, and those that it starts, may open n files.
func allowFiles(n int) error {
	want := uint64(n)
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return fmt.Errorf("read the limit of open files: %w", err)
	}
	if l.Cur >= want {
		return nil
	}
	most := max(l.Max, want)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: most, Max: most}); err != nil {
		return fmt.Errorf("it takes %d open files, of which %d are allowed; as root: ulimit -n %d", n, l.Cur, n)
	}
	return nil
}
