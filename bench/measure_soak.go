package main

import (
	"bufio"
	"context"
	"fmt"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// measureSoak: ten minutes at a third of Ringback's throughput, sampling its usage every
// two seconds. Whatever grows after the first two minutes would grow forever.
func measureSoak(ctx context.Context, b *bench) error {
	for _, c := range b.present {
		if c.Name == "ringback" {
			if err := b.soak(ctx, c); err != nil {
				b.failed(soaked, c.Name, err)
			}
		}
	}
	return nil
}

const (
	soaked    = "soak"
	soakEarly = ", minutes 3 and 4"
	soakLate  = ", the last two minutes"

	soakFor    = 10 * time.Minute
	soakSettle = 2 * time.Minute
)

// held is what a process occupies at one moment.
type held struct{ memory, goroutines, descriptors, log float64 }

func (b *bench) soak(ctx context.Context, c contender) error {
	u, err := b.start(ctx, c, options{})
	if err != nil {
		return err
	}
	defer u.stop()
	rate, err := b.flood(ctx, u, atOnce, promptSize, 2000)
	if err != nil {
		return err
	}
	rate /= 3
	n := int(rate * soakFor.Seconds())
	log.Printf("   %d jobs in %s, %.0f a second", n, soakFor, rate)
	r := b.world.begin(behaviour{pause: 200 * time.Millisecond, pieces: 20, size: 500}, n, n)
	s := newSubmitter(b.world, r, u.apis, promptSize)
	defer s.close()
	seen := make(chan []held)
	pacing, stop := context.WithCancel(ctx)
	go func() { seen <- b.look(pacing, u) }()
	s.pace(ctx, 0, n, rate)
	stop()
	samples := <-seen
	if err := s.err(); err != nil {
		return err
	}
	if err := r.wait(ctx); err != nil {
		return err
	}
	b.assess(c, samples)
	b.note(soaked, c.Name, "jobs", "", float64(r.delivered.Load()))
	return nil
}

const lookEvery = 2 * time.Second

// look samples what the process holds until ctx ends.
func (b *bench) look(ctx context.Context, u *up) (samples []held) {
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return samples
		case <-t.C:
		}
		use := measure(u.all()...)
		h := held{memory: float64(use.Memory) / 1e6, descriptors: float64(use.Descriptors), goroutines: goroutines(u)}
		if info, err := os.Stat(filepath.Join(u.dir, "data", "ringback.db-wal")); err == nil {
			h.log = float64(info.Size()) / 1e6
		}
		samples = append(samples, h)
	}
}

func goroutines(u *up) float64 { return gauge(u, "go_goroutines") }

// gauge reads a metric of Ringback's own; 0 if it can't be read.
func gauge(u *up, name string) float64 {
	resp, err := http.Get(u.apis[0] + "/metrics") //nolint:noctx // loopback
	if err != nil {
		return 0
	}
	defer func() { _ = resp.Body.Close() }()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if value, found := strings.CutPrefix(lines.Text(), name+" "); found {
			n, _ := strconv.ParseFloat(value, 64)
			return n
		}
	}
	return 0
}

// assess compares the two minutes after the first two with the last two.
func (b *bench) assess(c contender, samples []held) {
	settled, window := int(soakSettle/lookEvery), int(soakSettle/lookEvery)
	if len(samples) < settled+2*window {
		b.failed(soaked, c.Name, fmt.Errorf("only %d samples", len(samples)))
		return
	}
	for _, what := range []struct {
		name, unit string
		of         func(held) float64
	}{
		{"memory", "MB", func(h held) float64 { return h.memory }},
		{"goroutines", "", func(h held) float64 { return h.goroutines }},
		{"descriptors", "", func(h held) float64 { return h.descriptors }},
		{"write-ahead log", "MB", func(h held) float64 { return h.log }},
	} {
		curve := series{Name: "soak: " + what.name}
		values := make([]float64, len(samples))
		for i, h := range samples {
			values[i] = what.of(h)
			curve.Points = append(curve.Points, [2]float64{float64(i+1) * lookEvery.Seconds(), values[i]})
		}
		b.results.Series = append(b.results.Series, curve)
		early, late := values[settled:settled+window], values[len(values)-window:]
		b.note(soaked, c.Name, what.name+soakEarly, what.unit, median(early))
		b.note(soaked, c.Name, what.name+soakLate, what.unit, median(late))
	}
}
