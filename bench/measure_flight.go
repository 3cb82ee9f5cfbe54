package main

import (
	"context"
	"fmt"
	"time"
)

// flights are how many jobs are in flight at once.
var flights = []int{2000, 10000}

// measureFlight: that many jobs at once on a provider that streams for 10 s. Ringback and
// the ceiling run both numbers; the peers run the greater one only if they managed the
// smaller.
func measureFlight(ctx context.Context, b *bench) error {
	for _, n := range flights {
		for _, c := range b.present {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if c.variant || b.notEven(c, n) {
				continue
			}
			if err := b.flight(ctx, c, n); err != nil {
				b.failed(flightName(n), c.Name, err)
			}
		}
	}
	return nil
}

// notEven reports whether a contender did not manage a smaller number in flight at once, so
// that the greater one would only waste time.
func (b *bench) notEven(c contender, n int) bool {
	for _, smaller := range flights {
		if at := b.results.median(flightName(smaller), c.Name, atOnceMetric); smaller < n && at < float64(smaller) {
			b.failed(flightName(n), c.Name, fmt.Errorf("not tried: of %d it had %.0f at the provider at once", smaller, at))
			return true
		}
	}
	return false
}

const atOnceMetric = "at the provider at once"

func flightName(n int) string { return fmt.Sprintf("in flight %d", n) }

func (b *bench) flight(ctx context.Context, c contender, n int) error {
	const streaming = 10 * time.Second
	workload := flightName(n)
	u, err := b.start(ctx, c, options{concurrency: n + n/4, stream: true}) // a quarter more, so that only the jobs bound it
	if err != nil {
		return err
	}
	defer u.stop()
	if _, err := b.flood(ctx, u, atOnce, promptSize, 100); err != nil {
		return err
	}
	before := measure(u.all()...)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r := b.world.begin(behaviour{stream: streaming, pieces: 20, size: 2000}, n, n)
	s := newSubmitter(b.world, r, u.apis, promptSize)
	defer s.close()
	w := watch(500*time.Millisecond, u.all()...)
	s.flood(ctx, 0, n, submitters)
	b.profile.snapshot(ctx, u, workload)
	err = s.err()
	if err == nil {
		err = r.wait(ctx)
	}
	w.end()
	if err != nil {
		return err
	}
	after := measure(u.all()...)
	own := r.between(func(p *passage) int64 {
		return p.delivered.Load() - p.accepted.Load() - (p.answered.Load() - p.called.Load())
	})
	b.note(workload, u.Name, atOnceMetric, "jobs", float64(r.peak.Load()))
	b.note(workload, u.Name, "memory a job", "KB", float64(w.peak-before.Memory)/1000/float64(n))
	b.note(workload, u.Name, "peak memory", "MB", float64(w.peak)/1e6)
	b.note(workload, u.Name, "processor", "s per 1,000 jobs", (after.CPU-before.CPU).Seconds()/float64(n)*1000)
	b.note(workload, u.Name, "overhead p50", "ms", quantile(own, 0.5)/1e6)
	b.note(workload, u.Name, "overhead p99", "ms", quantile(own, 0.99)/1e6)
	b.note(workload, u.Name, "all done after", "s", time.Since(r.start).Seconds())
	return nil
}
