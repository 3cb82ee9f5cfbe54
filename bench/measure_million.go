package main

import (
	"context"
	"fmt"
	"syscall"
	"time"
)

const (
	backlog  = "1,000,000 queued"
	finished = "1,000,000 finished"
	million  = 1_000_000
)

// measureBacklog: a start on a million queued jobs, and how fast they are worked off. For
// Ringback only: the million is made within its own store.
func measureBacklog(ctx context.Context, b *bench) error {
	return b.withStores(func(c contender) error { return b.backlog(ctx, c) }, backlog)
}

// measureFinished: throughput beside a million finished jobs, and beside none,
// in turns.
func measureFinished(ctx context.Context, b *bench) error {
	return b.withStores(func(c contender) error { return b.finished(ctx, c) }, finished)
}

// withStores measures each of Ringback's stores.
func (b *bench) withStores(measure func(contender) error, workload string) error {
	for _, c := range b.present {
		if c.store != nil {
			if err := measure(c); err != nil {
				b.failed(workload, c.Name, err)
			}
		}
	}
	return nil
}

func (b *bench) backlog(ctx context.Context, c contender) error {
	u, err := b.start(ctx, c, options{concurrency: 1})
	if err != nil {
		return err
	}
	defer func() { u.stop() }()
	// The first job keeps the only slot; the second one waits.
	if err := b.put(ctx, u, behaviour{pause: time.Hour, pieces: 1, size: 10}, 2); err != nil {
		return err
	}
	u.processes[0].stop(syscall.SIGKILL)
	if err := c.store.multiply(ctx, u, million); err != nil {
		return err
	}
	b.world.begin(behaviour{pause: time.Hour, pieces: 1, size: 10}, 2, 2)
	took, err := b.restart(ctx, u)
	if err != nil {
		return err
	}
	b.note(backlog, c.Name, "start", "s", took.Seconds())
	b.note(backlog, c.Name, "memory after the start", "MB", float64(measure(u.processes...).Memory)/1e6)
	r := b.world.begin(atOnce, 2, 1<<40)
	u.kill()
	u.setup.concurrency = c.concurrency
	if _, err := b.restart(ctx, u); err != nil {
		return err
	}
	w := watch(200*time.Millisecond, u.processes...)
	const window = 5 * time.Second
	before := r.webhooks.Load()
	time.Sleep(window)
	b.note(backlog, c.Name, "jobs", "/s", float64(r.webhooks.Load()-before)/window.Seconds())
	b.note(backlog, c.Name, "peak memory at work", "MB", float64(w.end().peak)/1e6)
	return nil
}

// put submits n jobs, and waits only until the provider has the first.
func (b *bench) put(ctx context.Context, u *up, how behaviour, n int) error {
	r := b.world.begin(how, n, n)
	s := newSubmitter(b.world, r, u.apis, promptSize)
	defer s.close()
	s.flood(ctx, 0, n, 1)
	if err := s.err(); err != nil {
		return err
	}
	if !await(ctx, func() bool { return r.calls.Load() > 0 }) {
		return fmt.Errorf("the provider was not called: %w", ctx.Err())
	}
	return nil
}

// restart restarts a contender that was killed, and returns how long it took until its API
// was open.
func (b *bench) restart(ctx context.Context, u *up) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	began := time.Now()
	u.processes = nil
	if err := u.launch(ctx); err != nil {
		return 0, fmt.Errorf("start again: %w\n%s", err, tail(u.log))
	}
	return time.Since(began), nil
}

func (b *bench) finished(ctx context.Context, c contender) error {
	full, err := b.start(ctx, c, options{})
	if err != nil {
		return err
	}
	defer full.stop()
	if _, err := b.flood(ctx, full, atOnce, promptSize, 1); err != nil {
		return err
	}
	full.processes[0].stop(syscall.SIGTERM) // after the webhook is settled
	if err := c.store.multiply(ctx, full, million); err != nil {
		return err
	}
	size, err := c.store.size(ctx, full)
	if err != nil {
		return err
	}
	b.note(finished, c.Name, "disk for a job", "KB", float64(size)/1000/million)
	empty, err := b.start(ctx, c, options{})
	if err != nil {
		return err
	}
	defer empty.stop()
	if _, err := b.restart(ctx, full); err != nil {
		return err
	}
	for _, u := range []*up{empty, full} {
		if _, err := b.flood(ctx, u, atOnce, promptSize, 1000); err != nil {
			return err
		}
	}
	for range b.rounds {
		for _, side := range []struct {
			metric string
			up     *up
		}{{"beside none", empty}, {"beside a million", full}} {
			rate, err := b.flood(ctx, side.up, atOnce, promptSize, 4000)
			if err != nil {
				return err
			}
			b.note(finished, c.Name, side.metric, "jobs/s", rate)
		}
	}
	return nil
}
