package main

import (
	"context"
	"fmt"
	"log"
	"time"
)

// promptSize is the bytes of a usual prompt.
const promptSize = 1000

// The names of the workloads that one start of a contender serves.
const (
	overhead   = "overhead"
	throughput = "throughput"
	latency    = "latency"
)

// measureCore starts each contender in turn and measures three things: what a job costs
// when there is little to do, the throughput, and how quickly it replies 202 at half of
// that.
func measureCore(ctx context.Context, b *bench) error {
	b.turns(ctx, throughput, b.present, func(ctx context.Context, c contender) error {
		u, err := b.start(ctx, c, options{})
		if err != nil {
			return err
		}
		defer u.stop()
		if _, err := b.flood(ctx, u, atOnce, promptSize, 50); err != nil {
			return err
		}
		if err := b.overhead(ctx, u, 20, b.seconds, ""); err != nil {
			return err
		}
		if c.durable {
			if err := b.overhead(ctx, u, 50, b.seconds/2, at50); err != nil {
				return err
			}
		}
		rate, err := b.throughput(ctx, u)
		if err != nil {
			return err
		}
		return b.latency(ctx, u, rate/2)
	})
	return nil
}

// at50 ends the names of the overhead's metrics at 50 jobs a second.
const at50 = " at 50 a second"

// overhead: jobs at a rate, each 200 ms at the provider; the rest of the time from the
// submission to the webhook is the contender's.
func (b *bench) overhead(ctx context.Context, u *up, perSecond, seconds float64, metric string) error {
	r, err := b.pace(ctx, u, behaviour{pause: 200 * time.Millisecond, pieces: 20, size: 500}, perSecond, int(perSecond*seconds))
	if err != nil {
		return fmt.Errorf("overhead: %w", err)
	}
	own := r.between(func(p *passage) int64 {
		return p.delivered.Load() - p.submitted.Load() - (p.answered.Load() - p.called.Load())
	})
	b.note(overhead, u.Name, "p50"+metric, "ms", quantile(own, 0.5)/1e6)
	b.note(overhead, u.Name, "p99"+metric, "ms", quantile(own, 0.99)/1e6)
	return nil
}

// throughput: as many jobs as it can do, end to end, from the first submission to the last
// webhook; submitters continue as soon as they have their 202, and the provider answers at
// once.
func (b *bench) throughput(ctx context.Context, u *up) (rate float64, err error) {
	warm, err := b.warm(ctx, u)
	if err != nil {
		return 0, err
	}
	before := measure(u.all()...)
	n := max(100, int(warm*b.seconds))
	err = b.profile.during(ctx, u, throughput, func() error {
		rate, err = b.flood(ctx, u, atOnce, promptSize, n)
		return err
	})
	if err != nil {
		return 0, err
	}
	b.note(throughput, u.Name, "jobs", "/s", rate)
	b.note(throughput, u.Name, "processor", "ms a job", float64((measure(u.all()...).CPU-before.CPU).Microseconds())/1e3/float64(n))
	return rate, nil
}

// warm floods for as long as just-in-time compilers and connection pools need to warm up,
// and returns the throughput reached by then.
func (b *bench) warm(ctx context.Context, u *up) (rate float64, err error) {
	rate = 100
	for start := time.Now(); time.Since(start).Seconds() < 0.75*b.seconds; {
		if rate, err = b.flood(ctx, u, atOnce, promptSize, max(50, int(rate))); err != nil {
			return 0, err
		}
	}
	return rate, nil
}

// latency: how long a submission waits for its 202, at half of the contender's throughput.
func (b *bench) latency(ctx context.Context, u *up, perSecond float64) error {
	r, err := b.pace(ctx, u, atOnce, perSecond, max(100, int(perSecond*b.seconds*0.75)))
	if err != nil {
		return fmt.Errorf("latency: %w", err)
	}
	took := r.between(func(p *passage) int64 { return p.accepted.Load() - p.submitted.Load() })
	b.note(latency, u.Name, "202 p50", "ms", quantile(took, 0.5)/1e6)
	b.note(latency, u.Name, "202 p99", "ms", quantile(took, 0.99)/1e6)
	return nil
}

const patience = 2 * time.Minute

// flood submits n jobs as fast as they are accepted, and returns how many a second were
// delivered.
func (b *bench) flood(ctx context.Context, u *up, how behaviour, prompt, n int) (rate float64, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r := b.world.begin(how, n, n)
	s := newSubmitter(b.world, r, u.apis, prompt)
	defer s.close()
	s.flood(ctx, 0, n, submitters)
	if err := s.err(); err != nil {
		return 0, err
	}
	accepted := time.Since(r.start)
	if err := r.wait(ctx); err != nil {
		return 0, err
	}
	took := time.Since(r.start)
	if b.verbose {
		log.Printf("      %s: %d in %s, accepted in %s", u.Name, n, took.Round(time.Millisecond), accepted.Round(time.Millisecond))
	}
	return float64(n) / took.Seconds(), nil
}

// pace submits n jobs at a rate and waits for all of them.
func (b *bench) pace(ctx context.Context, u *up, how behaviour, perSecond float64, n int) (*run, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r := b.world.begin(how, n, n)
	s := newSubmitter(b.world, r, u.apis, promptSize)
	defer s.close()
	s.pace(ctx, 0, n, perSecond)
	if err := s.err(); err != nil {
		return nil, err
	}
	return r, r.wait(ctx)
}

// wait waits until all wanted jobs are delivered.
func (r *run) wait(ctx context.Context) error {
	select {
	case <-r.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%d of %d jobs came back: %w", r.delivered.Load(), r.want, ctx.Err())
	}
}

// between returns a time in nanoseconds for each delivered job.
func (r *run) between(of func(*passage) int64) (all []int64) {
	for i := range r.jobs {
		if p := &r.jobs[i]; p.delivered.Load() > 0 {
			all = append(all, of(p))
		}
	}
	return all
}
