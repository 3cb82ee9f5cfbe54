package main

import (
	"context"
	"fmt"
	"log"
	"sync"
	"time"
)

const (
	killed = "kill -9"
	goesOn = "first interrupted job goes on after"
	// recoveryPatience is how long a killed contender is waited for.
	recoveryPatience = 75 * time.Second
	interrupted      = 10 // jobs that are at the provider when it is killed
)

// measureKill: ten jobs are at the provider when all the contender's processes are killed
// (its database keeps running), and restarted at once. How long until the first of the ten
// is at the provider again, and until all webhooks have arrived? All contenders at once,
// since they do little but wait; each with its defaults. If a contender has two APIs, only
// the first dies, and the other has to take over.
func measureKill(ctx context.Context, b *bench) error {
	var among []contender
	for _, c := range b.present {
		if c.service != nil || c.durable {
			if !c.variant || c.apis > 1 {
				among = append(among, c)
			}
		}
	}
	// Long enough to be killed in, for all of them.
	r := b.world.begin(behaviour{pause: 3 * time.Second, pieces: 20, size: 500}, interrupted*len(among), interrupted*len(among))
	var wg sync.WaitGroup
	var mu sync.Mutex
	for i, c := range among {
		wg.Go(func() {
			err := b.killOne(ctx, c, r, i*interrupted, &mu)
			if err != nil {
				mu.Lock()
				defer mu.Unlock()
				b.failed(killed, c.Name, err)
			}
		})
	}
	wg.Wait()
	return nil
}

func (b *bench) killOne(ctx context.Context, c contender, r *run, first int, mu *sync.Mutex) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	u, err := b.start(ctx, c, options{concurrency: max(c.concurrency, 2*interrupted)})
	if err != nil {
		return err
	}
	defer u.stop()
	s := newSubmitter(b.world, r, u.apis[:1], promptSize)
	defer s.close()
	s.flood(ctx, first, first+interrupted, interrupted)
	if err := s.err(); err != nil {
		return err
	}
	jobs := r.jobs[first : first+interrupted]
	if !await(ctx, func() bool { return count(jobs, func(p *passage) bool { return p.called.Load() > 0 }) == len(jobs) }) {
		return fmt.Errorf("not all jobs came to the provider")
	}
	began := r.now()
	restarted, err := u.lose(ctx)
	if err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(ctx, recoveryPatience)
	defer stop()
	again := await(ctx, func() bool { return firstAgain(jobs, began) > 0 })
	all := again && await(ctx, func() bool { return count(jobs, func(p *passage) bool { return p.delivered.Load() > 0 }) == len(jobs) })
	mu.Lock()
	defer mu.Unlock()
	if restarted > 0 {
		b.note(killed, c.Name, "started again after", "s", restarted.Seconds())
	}
	if !again {
		log.Printf("   %s: none of the interrupted jobs within %s", c.Name, recoveryPatience)
	} else {
		b.note(killed, c.Name, goesOn, "s", time.Duration(firstAgain(jobs, began)-began).Seconds())
	}
	b.note(killed, c.Name, "came back within 75 s", "of 10", float64(count(jobs, func(p *passage) bool { return p.delivered.Load() > 0 })))
	if all {
		var last int64
		for i := range jobs {
			last = max(last, jobs[i].delivered.Load())
		}
		b.note(killed, c.Name, "all delivered after", "s", time.Duration(last-began).Seconds())
	}
	return nil
}

// lose kills the node behind the first API if there is another one. Otherwise it kills all
// programs, starts them again, and returns how long that took.
func (u *up) lose(ctx context.Context) (time.Duration, error) {
	if len(u.apis) > 1 {
		u.processes[0].kill()
		return 0, nil
	}
	began := time.Now()
	u.kill()
	if err := u.launch(ctx); err != nil {
		return 0, fmt.Errorf("start again: %w", err)
	}
	return time.Since(began), nil
}

// firstAgain returns when the first of the jobs was called for after the kill; 0 if none
// was.
func firstAgain(jobs []passage, after int64) (first int64) {
	for i := range jobs {
		if at := jobs[i].calledAgain.Load(); at > after && (first == 0 || at < first) {
			first = at
		}
	}
	return first
}

func count(jobs []passage, so func(*passage) bool) (n int) {
	for i := range jobs {
		if so(&jobs[i]) {
			n++
		}
	}
	return n
}

// await polls until so reports true; it returns false if ctx ended first.
func await(ctx context.Context, so func() bool) bool {
	for !so() {
		select {
		case <-ctx.Done():
			return so()
		case <-time.After(2 * time.Millisecond):
		}
	}
	return true
}
